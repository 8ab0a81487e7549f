"""Services that use a database: stopped before a swap, started again whatever happens."""
