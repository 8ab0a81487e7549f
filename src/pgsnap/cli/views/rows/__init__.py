"""Single rows as lines and JSON."""
