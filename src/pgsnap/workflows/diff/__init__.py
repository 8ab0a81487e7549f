"""Diff: two snapshots, or one and a live database."""
