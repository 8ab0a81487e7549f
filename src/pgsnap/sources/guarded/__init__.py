"""pg_dump guarded by a snapshot of our own: no table is rewritten behind it unnoticed."""
