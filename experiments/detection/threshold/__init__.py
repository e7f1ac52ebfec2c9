"""`evaluate.py threshold`: detection against the size of the perturbation."""
