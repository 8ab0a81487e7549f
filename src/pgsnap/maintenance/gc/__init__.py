"""Garbage collection: marking, sweeping, re-encoding."""
