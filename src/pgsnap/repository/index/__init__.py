"""The index: SQLite, derived, and where it lies."""
