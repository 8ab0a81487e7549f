"""Load the benchmark's application data into a PostgreSQL database, the same for the same seed.

    python benchmarks/data.py --dsn DSN --megabytes 1000
    python benchmarks/data.py --dsn DSN --row-megabytes 200 --row-kind bytea

The database must be empty. Tables are filled by COPY, two at a time; keys and indexes come after,
as in a dump. At the end every table is vacuumed and frozen, so that no later reader pays for
hint bits, and a checkpoint is made. The rows are the same everywhere; their order in the table is
that of their numbers but for a few short ones, which COPY puts into room left on earlier pages.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg import sql

from rows import TABLES, Batch, Sizes, copy_blocks, mixed

SEED = 20_240_229
# One each for the two cores of the smallest machine that we measure on.
LOADERS = 2
BLOCK_BYTES = 1 << 20
LARGE_ROW_KINDS = ("bytea", "text")

SCHEMA = """
CREATE TABLE users (
    id bigint NOT NULL, public_id uuid NOT NULL, email text NOT NULL, name text NOT NULL,
    secret text NOT NULL, city text, active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz, settings jsonb);
CREATE TABLE orders (
    id bigint NOT NULL, public_id uuid NOT NULL, user_id bigint NOT NULL,
    state varchar(16) NOT NULL, currency char(3) NOT NULL, total numeric(12,2) NOT NULL,
    placed_at timestamptz NOT NULL, shipped_at timestamptz, address text NOT NULL, note text);
CREATE TABLE order_items (
    id bigint NOT NULL, order_id bigint NOT NULL, sku varchar(32) NOT NULL, title text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0), unit_price numeric(12,2) NOT NULL,
    discount numeric(12,2) NOT NULL DEFAULT 0);
CREATE TABLE events (
    id bigint NOT NULL, user_id bigint NOT NULL, session uuid NOT NULL, kind text NOT NULL,
    occurred_at timestamptz NOT NULL, payload jsonb NOT NULL);
CREATE TABLE chat (
    id bigint NOT NULL, room_id integer NOT NULL, user_id bigint NOT NULL, reply_to bigint,
    sent_at timestamptz NOT NULL, body text NOT NULL);
"""

# Keys and indexes of one table need no other table, so two tables can have theirs made at once.
INDEXES = {
    "users": "ALTER TABLE users ADD PRIMARY KEY (id), ADD UNIQUE (email);",
    "orders": "ALTER TABLE orders ADD PRIMARY KEY (id);"
    "CREATE INDEX ON orders (user_id); CREATE INDEX ON orders (placed_at);",
    "order_items": "ALTER TABLE order_items ADD PRIMARY KEY (id);"
    "CREATE INDEX ON order_items (order_id); CREATE INDEX ON order_items (sku);",
    "events": "ALTER TABLE events ADD PRIMARY KEY (id);"
    "CREATE INDEX ON events (user_id, occurred_at);",
    "chat": "ALTER TABLE chat ADD PRIMARY KEY (id);CREATE INDEX ON chat (room_id, sent_at);",
}

FOREIGN_KEYS = """
ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders;
ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE chat ADD FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE chat ADD FOREIGN KEY (reply_to) REFERENCES chat;
CREATE SEQUENCE orders_id_seq OWNED BY orders.id;
ALTER TABLE orders ALTER COLUMN id SET DEFAULT nextval('orders_id_seq');
SELECT setval('orders_id_seq', (SELECT max(id) FROM orders));
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded: rows and bytes of COPY text for each table, and the seconds that it took."""

    rows: dict[str, int]
    copy_bytes: dict[str, int]
    seconds: float

    @property
    def total_bytes(self) -> int:
        return sum(self.copy_bytes.values())


def load(dsn: str, megabytes: float, seed: int = SEED) -> Loaded:
    """Fill the empty database *dsn* with about *megabytes* MB (10^6 bytes) of dump text."""
    started = time.monotonic()
    sizes = Sizes.of_megabytes(megabytes)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SCHEMA)
    # The largest first, so that the last one does not run alone for long.
    order = sorted(TABLES, key=lambda table: table not in ("events", "order_items"))
    with ProcessPoolExecutor(LOADERS) as pool:
        filled = [pool.submit(fill, dsn, table, sizes, seed) for table in order]
        copied = {table: future.result() for table, future in zip(order, filled, strict=True)}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute(FOREIGN_KEYS)
        connection.execute("CHECKPOINT")
    rows = {table: getattr(sizes, table) for table in TABLES}
    ordered = {table: copied[table] for table in TABLES}
    return Loaded(rows, ordered, time.monotonic() - started)


def load_large_row(dsn: str, megabytes: float, kind: str, seed: int = SEED) -> Loaded:
    """Fill the empty database *dsn* with a table of three rows, one with *megabytes* MB.

    *kind* is bytea (random bytes, so twice as much dump text) or text (words without a line end).
    """
    started = time.monotonic()
    value_bytes = round(megabytes * 1e6)
    copy_bytes = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        table = "CREATE TABLE attachments (id bigint PRIMARY KEY, name text NOT NULL, body {})"
        connection.execute(sql.SQL(table).format(sql.SQL(kind)))
        with connection.cursor().copy("COPY attachments FROM STDIN") as copy:
            for block in _large_row_blocks(value_bytes, kind, seed):
                copy.write(block)
                copy_bytes += len(block)
        connection.execute("VACUUM (FREEZE, ANALYZE) attachments")
        connection.execute("CHECKPOINT")
    seconds = time.monotonic() - started
    return Loaded({"attachments": 3}, {"attachments": copy_bytes}, seconds)


def fill(dsn: str, table: str, sizes: Sizes, seed: int) -> int:
    """Fill one table, make its indexes, vacuum it; return the bytes of its COPY text."""
    copy_bytes = 0
    name = sql.Identifier(table)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
            for block in copy_blocks(table, sizes, seed):
                copy.write(block)
                copy_bytes += len(block)
        connection.execute(INDEXES[table].encode())
        connection.execute(sql.SQL("VACUUM (FREEZE, ANALYZE) {}").format(name))
    return copy_bytes


def _large_row_blocks(value_bytes: int, kind: str, seed: int) -> Iterator[bytes]:
    prefix = b"\\\\x" if kind == "bytea" else b""
    small = prefix + (b"00" if kind == "bytea" else b"small")
    yield b"1\tbefore\t" + small + b"\n2\tlarge\t" + prefix
    left = value_bytes
    for number in range(0, value_bytes, BLOCK_BYTES):
        taken = min(BLOCK_BYTES, left)
        left -= taken
        yield _value_piece(number, taken, kind, seed)
    yield b"\n3\tafter\t" + small + b"\n"


def _value_piece(start: int, value_bytes: int, kind: str, seed: int) -> bytes:
    if kind == "bytea":
        words = np.arange(start // 8, (start + value_bytes + 7) // 8, dtype=np.uint64)
        return mixed(words + np.uint64(seed)).tobytes()[:value_bytes].hex().encode()
    rows = BLOCK_BYTES // 40
    batch = Batch(seed, "attachments", start, rows, 1, Sizes.of_megabytes(0))
    return " ".join(batch.texts("body", 12, 25)).encode()[:value_bytes].ljust(value_bytes, b".")


def main() -> None:
    parser = argparse.ArgumentParser(description="Load the benchmark's data into a database.")
    parser.add_argument("--dsn", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--megabytes", type=float, default=1000, help="MB of dump text")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--row-megabytes", type=float, help="one large row instead")
    parser.add_argument("--row-kind", choices=LARGE_ROW_KINDS, default="bytea")
    arguments = parser.parse_args()
    if arguments.row_megabytes:
        loaded = load_large_row(
            arguments.dsn, arguments.row_megabytes, arguments.row_kind, arguments.seed
        )
    else:
        loaded = load(arguments.dsn, arguments.megabytes, arguments.seed)
    for table, rows in loaded.rows.items():
        print(f"{table:12} {rows:>11,} rows {loaded.copy_bytes[table]:>14,} bytes")
    print(f"{loaded.total_bytes / 1e6:.0f} MB in {loaded.seconds:.1f} s")


if __name__ == "__main__":
    main()
