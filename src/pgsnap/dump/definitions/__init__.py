"""What the definitions in a dump say: tables, rights, roles, sequences."""
