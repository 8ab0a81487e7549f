"""Streams to chunks: row-aligned, content-defined, vectorised. Does no I/O."""
