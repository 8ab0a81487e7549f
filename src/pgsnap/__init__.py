"""Git for the contents of a PostgreSQL database."""

__version__ = "0.1.0"

__all__ = ["__version__"]
