"""The terminal and progress."""
