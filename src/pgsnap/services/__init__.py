"""What depends on a database: stopped before it is swapped, started again whatever happens."""
