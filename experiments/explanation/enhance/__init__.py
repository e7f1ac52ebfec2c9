"""`evaluate.py enhance`: class pairs, recovery of adversarial images, reaction of maps (Gu & Tresp)."""
