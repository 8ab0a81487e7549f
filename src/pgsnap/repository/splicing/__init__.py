"""Making a section of its former version and what changed in it."""
