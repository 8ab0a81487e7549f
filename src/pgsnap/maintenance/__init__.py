"""Maintenance of a repository's own state: verify, gc, repair, reindex."""
