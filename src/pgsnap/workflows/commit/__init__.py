"""Commit: from a server or from files."""
