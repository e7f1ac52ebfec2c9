"""Recovery of localized attacks: what `evaluate.py recover` is made of."""
