"""Comparing rows: multisets of the rows of COPY text, in bounded memory."""
