"""Creates, renames and drops databases: scratch, live and kept."""
