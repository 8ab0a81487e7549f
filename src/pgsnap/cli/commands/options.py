"""Options and arguments shared by several commands."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from pgsnap.cli.config.keys import Key
from pgsnap.cli.config.snap_toml import KEYS


def option_of(key: Key, **more: Any) -> Any:
    """Return the option that overrides *key*, as typer takes it."""
    option = key.option
    assert option is not None
    return typer.Option(option.name, metavar=option.metavar or None, help=option.help, **more)


MaskFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Mask rows as this file says; snap mask init writes a first one.",
    ),
]
Revision: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="REV", help="The snapshot: a tag, an id, latest, latest~2 or @2026-01-02."
    ),
]
KeyColumns: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="COLUMN,COLUMN",
        show_default=False,
        help="The columns of the key, or the name of a unique one. [default: the primary key]",
    ),
]
AllowNewerClient: TypeAlias = Annotated[bool, option_of(KEYS["allow_newer_client"])]
NoSafetySnapshot: TypeAlias = Annotated[bool, option_of(KEYS["safety_snapshot"])]
WithExtensionSequences: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--with-extension-sequences",
        help="With the values of extensions' sequences, which pg_dump leaves out.",
    ),
]
Bandwidth: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--bandwidth",
        metavar="RATE",
        help="How much of the line a store gets, such as 10MB/s, whatever snap.toml says.",
    ),
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IKnow: TypeAlias = Annotated[
    bool, typer.Option("--i-know", help="Go on although snap.toml protects the database.")
]
Stop: TypeAlias = Annotated[list[str] | None, option_of(KEYS["services"])]
OnlyTables: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="SCHEMA.TABLE",
        help="Load the rows of this table only (repeatable).",
    ),
]
Install: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--install", help="Get PostgreSQL's server programs first, if this machine lacks them."
    ),
]
