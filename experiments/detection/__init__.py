"""How well detectors detect: transfer, strength, threshold, shift, speed, gallery."""
