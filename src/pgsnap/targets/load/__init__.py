"""Loading a database: psql's input, its messages, and the result."""
