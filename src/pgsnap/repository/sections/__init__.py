"""What is kept of a section besides its bytes."""
