"""Properties of a database that no dump of it holds: owner, privileges, settings."""
