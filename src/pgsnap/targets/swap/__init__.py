"""Databases made, renamed and dropped: scratch, live and kept."""
