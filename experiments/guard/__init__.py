"""A trained detector in use: verdicts on files, and its export. Commands that take a checkpoint."""
