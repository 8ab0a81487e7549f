"""Where exported tables go, and how their values are written, from what stands on the command
line."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap import extras
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.tabular.base import Wishes
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean

if TYPE_CHECKING:
    from pgsnap.targets.table_files import Output

FORMATS = ("sql", "parquet", "csv", "sqlite")
_SQLITE_ENDINGS = (".sqlite", ".sqlite3", ".db")
_DIGITS_MAX = 76
_EXAMPLES = {
    "s3": "s3://BUCKET/PREFIX",
    "gs": "gs://BUCKET/PREFIX",
    "az": "az://CONTAINER/PREFIX",
    "sftp": "sftp://USER@HOST/PATH",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What the tables are written to; *name* is that of an SQLite file in it."""

    format: str
    output: Output
    shown: str
    name: str = ""


def place_of(invocation: Invocation, file: str, format_: str, *, force: bool) -> Place:
    """Return where tables go. Raises UsageError, StoreError."""
    from pgsnap.stores.address import is_url, nearly_url
    from pgsnap.targets.table_files import FolderOutput

    if format_ not in FORMATS:
        raise UsageError(
            f'there is no format "{format_}"',
            hint=did_you_mean(format_, FORMATS, f"The formats are {', '.join(FORMATS)}."),
        )
    if format_ == "parquet":
        _require_pyarrow()
    if file == "-":
        raise UsageError("tables are written to files only", hint="Name a folder.")
    if format_ == "sqlite":
        if is_url(file) or not file.endswith(_SQLITE_ENDINGS):
            raise UsageError(
                "an SQLite database is a file on this host",
                hint=f"Let its name end with {', '.join(_SQLITE_ENDINGS[:-1])}"
                f" or {_SQLITE_ENDINGS[-1]}.",
            )
        path = Path(file)
        if not path.parent.is_dir():
            raise UsageError(
                f'there is no folder "{path.parent}"', hint=f"Make it: mkdir -p {path.parent}"
            )
        return Place(format_, FolderOutput(path.parent, force=force), file, path.name)
    if is_url(file) and not file.startswith("file://"):
        return Place(format_, _store(file, force=force), file)
    scheme = nearly_url(file)
    if scheme is not None:
        raise UsageError(f'"{file}" looks like a URL', hint=f"Begin it with {scheme}://")
    from pgsnap.stores.address import parse

    return Place(format_, FolderOutput(Path(parse(file).path), force=force), file)


def _require_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            "Parquet files need pyarrow, which is not installed",
            detail="CSV and SQLite need nothing besides snap.",
            hint=extras.hint("parquet"),
        )


def wishes_of(
    as_text: Sequence[str], numeric: str | None, *, lossy: bool, is_parquet: bool
) -> Wishes:
    """Return how values are to be written. Raises UsageError."""
    from pgsnap.workflows.history.tables_chosen import column_named

    if numeric is not None and not is_parquet:
        raise UsageError("--numeric is for --format parquet: elsewhere numbers keep all digits")
    digits = None
    if numeric is not None:
        match = re.fullmatch(r"(\d{1,2}),(\d{1,2})", numeric)
        digits = (int(match[1]), int(match[2])) if match is not None else (0, 0)
        if not 0 < digits[0] <= _DIGITS_MAX or digits[1] > digits[0]:
            raise UsageError(
                f'"{numeric}" is no precision and scale',
                detail=f"A decimal has at most {_DIGITS_MAX} digits in all, SCALE of them last.",
                hint="For example: --numeric 38,9",
            )
    return Wishes(frozenset(map(column_named, as_text)), lossy, digits)


def _store(url: str, *, force: bool) -> Output:
    from pgsnap.stores.address import parse
    from pgsnap.stores.opening import open_store
    from pgsnap.targets.table_files import StoreOutput

    address = parse(url)
    above, _, folder = address.path.rstrip("/").rpartition("/")
    if not folder or folder in (".", "..", "~"):
        raise UsageError(
            f"{url} names no folder for the tables",
            hint=f"Add one: {_EXAMPLES[address.scheme]}",
        )
    if address.scheme == "sftp":
        from pgsnap.stores.sftp.store import SftpStore

        # Nothing is written beside the folder: that may be forbidden, or somebody else's.
        only = SftpStore(address, is_only=True)
        return StoreOutput(only, "", url, force=force, close=only.close)
    store = open_store(replace(address, path=above), os.environ)
    return StoreOutput(store, folder, url, force=force)
