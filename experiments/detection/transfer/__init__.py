"""`evaluate.py transfer`: detectors, trained on, tested on."""
