"""Lists of chunks of many snapshots, as arrays of numbers."""
