"""Buckets and containers of object stores, by obstore."""
