"""What `snap export` writes to, besides a dump file."""
