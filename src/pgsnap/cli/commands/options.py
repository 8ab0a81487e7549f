"""Options and arguments that several commands have, declared once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Revision: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="REV", help="The snapshot: a tag, an id, latest, latest~2 or @2026-01-02."
    ),
]
AllowNewerClient: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-newer-client", help="Let client programs do it that are newer than the server."
    ),
]
WithExtensionSequences: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--with-extension-sequences",
        help="With the values of extensions' sequences, which pg_dump leaves out.",
    ),
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IKnow: TypeAlias = Annotated[
    bool, typer.Option("--i-know", help="Go on although snap.toml protects the database.")
]
Stop: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="SERVICE",
        help="Stop it before the swap, start it after (repeatable).",
    ),
]
