"""What searches through snapshots print."""
