"""Restore of single tables, and of rows only."""
