"""Retention: which snapshots stay, which are forgotten, what is collected."""
