"""SQL that asks, renames and creates: one connection, held open."""
