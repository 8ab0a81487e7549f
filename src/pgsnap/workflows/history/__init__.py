"""History: what snapshots there are, what is in them, and what they take."""
