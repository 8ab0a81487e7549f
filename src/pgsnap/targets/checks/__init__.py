"""Checks of a server before anything on it is changed."""
