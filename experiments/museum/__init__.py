"""The museum: published detectors, and the published attacks on them, repeated here."""
