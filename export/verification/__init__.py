"""Comparing everything that can run a bundle with the reference, and reporting it."""
