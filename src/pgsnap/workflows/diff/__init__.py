"""Diff: between two snapshots, or a snapshot and a live database."""
