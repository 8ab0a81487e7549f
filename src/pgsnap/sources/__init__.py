"""Sources of dumps."""
