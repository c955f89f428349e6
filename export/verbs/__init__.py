"""The verbs of `lsu export`, one file each; what they need is imported when they run."""
