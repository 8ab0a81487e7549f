"""Snapshots: manifests, notes, tags, and the chains that snapshots form."""
