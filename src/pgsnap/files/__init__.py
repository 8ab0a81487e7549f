"""Access to files in folders that somebody else may have written to."""
