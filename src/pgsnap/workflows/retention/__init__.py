"""Retention: which snapshots are kept, which are forgotten, and garbage collection."""
