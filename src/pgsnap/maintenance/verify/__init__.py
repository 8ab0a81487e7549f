"""Verify: checks that nothing is missing, and that every byte is what was stored."""
