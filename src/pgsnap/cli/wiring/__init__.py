"""Connects settings with the other rooms."""
