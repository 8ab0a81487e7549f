"""Verify: is everything there, and is every byte what was stored?"""
