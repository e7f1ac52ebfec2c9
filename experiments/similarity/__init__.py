"""What `evaluate.py similarity` is made of."""
