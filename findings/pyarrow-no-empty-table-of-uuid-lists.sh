#!/usr/bin/env bash
# pyarrow makes no empty table with a column of lists of UUIDs: "extension". It makes one with a
# column of UUIDs, and writes and reads lists of them in Parquet; an empty slice is the way round.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" --disable-pip-version-check install -q 'pyarrow==26.0.1'
"$folder/env/bin/python" - <<'PYTHON'
import io

import pyarrow as pa
import pyarrow.parquet as pq

print("pyarrow", pa.__version__)


def tried(make):
    try:
        return f"{make().num_rows} rows"
    except pa.ArrowNotImplementedError as error:
        return f"{type(error).__name__}: {error}"


plain = tried(pa.schema([("id", pa.uuid())]).empty_table)
nested = tried(pa.schema([("ids", pa.list_(pa.uuid()))]).empty_table)
print("an empty table of UUIDs:", plain)
print("an empty table of lists of UUIDs:", nested)

stored = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 2, pa.binary(16)))
table = pa.table({"ids": pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), stored)})
file = io.BytesIO()
pq.write_table(table, file)
read = pq.read_table(io.BytesIO(file.getvalue()))
print("read from Parquet:", read.schema.field("ids").type, "-", read.num_rows, "row")
print("an empty slice of it:", read.slice(0, 0).num_rows, "rows")
expected = ("0 rows", "ArrowNotImplementedError: extension", pa.list_(pa.uuid()))
if (plain, nested, read.schema.field("ids").type) != expected:
    raise SystemExit("This has changed.")
PYTHON
