"""Reads the text of a snapshot: tables, rows, roles, foreign SQL."""
