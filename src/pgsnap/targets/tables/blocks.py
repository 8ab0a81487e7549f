"""PL/pgSQL blocks: for what has to query the server and act on it within one transaction."""

from __future__ import annotations

MAKE_LANGUAGE = "CREATE EXTENSION plpgsql;\n"
DROP_LANGUAGE = "DROP EXTENSION plpgsql;\n"
"""For a database without PL/pgSQL: only the transaction that creates it ever sees it."""


def do(tag: str, declare: str, body: str) -> str:
    """Return a DO block; *tag* is a word that cannot occur in a name."""
    head = f"{declare}\n" if declare else ""
    return f"DO $snap_{tag}$\n{head}BEGIN\n  {body}\nEND $snap_{tag}$;\n"
