"""Snapshots in throw-away servers: which server, what runs against it, what is printed."""
