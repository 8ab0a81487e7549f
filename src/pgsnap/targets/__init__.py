"""Restore targets: scratch databases, psql, and the swap that puts a scratch database in
service."""
