"""Restore of what differs, in place: `snap restore --changed-only`."""
