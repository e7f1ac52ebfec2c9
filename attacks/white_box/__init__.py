"""Attacks on a classifier and a detector together; scores above 0 mean rejected."""
