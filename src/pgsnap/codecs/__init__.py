"""Chunk <-> frame bytes."""
