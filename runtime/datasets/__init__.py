"""Data sets on disk: which files belong together, and how their labels are read."""
