"""Columns of Arrow from COPY text: types, values, Parquet files."""
