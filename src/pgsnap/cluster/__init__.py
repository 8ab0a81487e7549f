"""A private, throw-away PostgreSQL: found, installed on request, started and cleaned up after."""
