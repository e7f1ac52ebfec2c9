"""From image files to bytes, kept in a file that is mapped into memory."""
