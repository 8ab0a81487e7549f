"""Monitoring: check, doctor, metrics, scheduled runs."""
