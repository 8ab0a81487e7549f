"""Snapshots: manifests, notes, tags, and which of them belong together."""
