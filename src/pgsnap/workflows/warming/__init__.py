"""Warm copies: databases that are ready to take the place of a restore."""
