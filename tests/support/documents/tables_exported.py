"""Tables that were exported, and whether values in them are those that PostgreSQL writes."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.tabular.base import Wishes
from pgsnap.targets.table_files import FolderOutput
from pgsnap.workflows.history.export_tables import (
    ExportTablesReport,
    TableExport,
    export_tables,
)

LOSSY = Wishes(lossy=True)
EXACT = Wishes(
    as_text=frozenset(
        f"corners.{column}"
        for column in ("times.d", "times.t", "times.z", "times.h", "composites.b", "composites.a")
    )
)


def exported(
    repo: Repository, snapshot: SnapshotId, folder: Path, asked: TableExport, name: str = ""
) -> ExportTablesReport:
    return export_tables(repo, snapshot, FolderOutput(folder, force=False), asked, sqlite_name=name)


def is_same(value: Any, text: str | None, kind: pa.DataType) -> bool:
    """Return whether a value of a Parquet file is the one that PostgreSQL writes as *text*."""
    if value is None or text is None:
        return value is text
    if pa.types.is_floating(kind):
        expected = float(np.float32(text)) if kind == pa.float32() else float(text)
        is_signed = math.copysign(1, value) == math.copysign(1, expected)
        return (math.isnan(value) and math.isnan(expected)) or (value == expected and is_signed)
    if pa.types.is_boolean(kind):
        return value is (text == "t")
    if pa.types.is_decimal(kind):
        # Money is written as in the locale C.
        return str(value) == str(Decimal(text.replace("$", "").replace(",", "")))
    if pa.types.is_binary(kind):
        return bool(value == bytes.fromhex(text[2:]))
    if kind == pa.uuid():
        return bool(value == UUID(text))
    if pa.types.is_timestamp(kind):
        shown = value.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
        return bool(shown == text.removesuffix("+00"))
    return str(value) == text or (pa.types.is_time(kind) and value.isoformat() == text)
