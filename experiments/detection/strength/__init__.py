"""`evaluate.py strength`: success and norms of each attack."""
