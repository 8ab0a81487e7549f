"""Warm copies: made when nobody waits for them."""
