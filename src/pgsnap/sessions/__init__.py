"""SQL to query, rename and create: one connection, held open."""
