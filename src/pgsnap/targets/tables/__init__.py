"""Single tables in a live database: what they are, and SQL that replaces them."""
