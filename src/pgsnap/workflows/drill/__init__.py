"""Drill: a restore that proves a snapshot."""
