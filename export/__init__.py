"""From checkpoints to bundles that are proven right."""
