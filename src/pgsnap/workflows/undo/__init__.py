"""Undo: put back what was replaced."""
