"""Chunks: stored in packs, located through the index, and verified by hash when read."""
