"""Git for the contents of a PostgreSQL database."""

__version__ = "0.2.0"

__all__ = ["__version__"]
