"""Blocks of PL/pgSQL: what has to look at the server, and act, within one transaction."""

from __future__ import annotations

MAKE_LANGUAGE = "CREATE EXTENSION plpgsql;\n"
DROP_LANGUAGE = "DROP EXTENSION plpgsql;\n"
"""For a database that has not got it: only the transaction that makes it ever sees it."""


def do(tag: str, declare: str, body: str) -> str:
    """Return a DO block; *tag* is nothing that can stand in a name."""
    head = f"{declare}\n" if declare else ""
    return f"DO $snap_{tag}$\n{head}BEGIN\n  {body}\nEND $snap_{tag}$;\n"
