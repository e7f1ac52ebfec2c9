"""`evaluate.py shift`: distances of saliency maps under attack."""
