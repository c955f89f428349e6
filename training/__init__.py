"""Teachers and students: drawn data, configurations, networks, fitting and checkpoints. Needs torch."""
