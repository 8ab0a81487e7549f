"""Single tables in a live database: their properties, and SQL that replaces them."""
