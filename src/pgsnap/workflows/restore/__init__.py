"""Planning and running a restore."""
