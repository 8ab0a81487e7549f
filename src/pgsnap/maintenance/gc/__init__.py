"""Garbage collection: marked, swept, encoded again."""
