"""Reads the notes on kept databases and verdicts."""
