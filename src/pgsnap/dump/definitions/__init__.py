"""Reading the definitions in a dump: tables, rights, roles, sequences."""
