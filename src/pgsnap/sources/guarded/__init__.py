"""pg_dump by a snapshot of our own: no table is rewritten or locked behind it unseen."""
