"""Lists of chunks of many snapshots, as numbers."""
