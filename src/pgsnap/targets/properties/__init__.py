"""What a database has that no dump of it holds: owner, rights, settings."""
