"""Repair: saves what can be saved, from the repository itself or from another copy."""
