"""What the text of a snapshot says: tables, rows, roles, foreign SQL."""
