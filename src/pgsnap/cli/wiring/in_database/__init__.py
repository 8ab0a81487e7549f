"""What changes the live database itself: restores of what differs, and undos."""
