"""Drill: a test restore that proves a snapshot."""
