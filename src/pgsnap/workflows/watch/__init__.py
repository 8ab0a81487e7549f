"""Watching: check, doctor, metrics, scheduled runs."""
