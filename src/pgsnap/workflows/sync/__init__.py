"""Push, pull and clone: snapshots travel between repositories."""
