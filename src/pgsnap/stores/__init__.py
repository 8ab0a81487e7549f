"""Storage of named objects."""
