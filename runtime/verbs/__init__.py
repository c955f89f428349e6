"""The runtime's verbs of `lsu`, one module each; heavy modules are imported when a verb runs."""
