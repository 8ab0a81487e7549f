"""Filling a database: what psql gets, what it says, and what came of it."""
