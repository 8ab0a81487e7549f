"""What of a snapshot stands on the server already, so that nothing has to be loaded."""
