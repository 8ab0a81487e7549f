"""Compression: chunk <-> frame bytes."""
