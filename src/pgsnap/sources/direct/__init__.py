"""Reads tables over connections of its own, beside a pg_dump of the same snapshot."""
