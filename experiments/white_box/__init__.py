"""White-box attacks on the detectors of a run: subjects, suite, records."""
