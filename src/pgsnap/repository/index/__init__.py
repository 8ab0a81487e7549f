"""The index: a derived SQLite database, and where it is stored."""
