"""Masks: whether they fit a snapshot, what they make of it, and a first file of them."""
