"""Repair: what can be saved is saved, from here or from another copy."""
