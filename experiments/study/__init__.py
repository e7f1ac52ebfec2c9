"""A run under evaluation: its parts, its images under attack, maps, metrics, a user's own modules, provenance."""
