"""Bytes <-> model: every stored form, as docs/format.md specifies it. Pure: no I/O, no clock."""
