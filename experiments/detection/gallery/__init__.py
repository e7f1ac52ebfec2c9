"""`evaluate.py gallery`: images, attacks and maps in grids."""
