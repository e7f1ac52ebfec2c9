"""The museum: published detectors, what broke them, and whether it breaks them here."""
