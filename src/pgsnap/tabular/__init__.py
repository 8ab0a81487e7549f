"""Rows of COPY text as tables for other programs: Parquet, CSV, SQLite."""
