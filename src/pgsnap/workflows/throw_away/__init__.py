"""Snapshots in throw-away servers, to be looked into: loads, questions, searches."""
