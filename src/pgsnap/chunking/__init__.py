"""Cutting streams into chunks: row-aligned, content-defined, vectorised. Does no I/O."""
