"""What connects settings with rooms."""
