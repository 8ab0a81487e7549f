"""Chunks: stored in packs, found again, and read back hashed."""
