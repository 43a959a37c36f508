"""Frozen banks of every layout that was ever published, and how they were made; see README.md."""
