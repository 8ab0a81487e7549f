"""The data sets of bench_storage.py: what each holds, and what its versions change.

Every change is SQL or COPY text that depends on the seed, the set, the version's number and the row
alone, so that the same seed gives the same tables, down to the order of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import data
from rows import GOLDEN, TABLES, U64, Batch, Sizes, mixed
from workshop import Workshop

# The share of each table in the application's dump (Sizes.of_megabytes).
SHARES = {"users": 0.10, "orders": 0.15, "order_items": 0.20, "events": 0.35, "chat": 0.20}
INSERT_SHARE = 0.01
STAGING = "staging"

JSON_KEYS = 40
JSON_ROW_BYTES = 1_555
FILE_BYTES_MIN = 2_000
FILE_BYTES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """*load* makes version 1 in an empty database; *change* turns version n - 1 into n."""

    name: str
    what: str
    load: Callable[[Workshop], None]
    change: Callable[[Workshop, int], None]
    label: Callable[[int, int], str] = lambda version, versions: "app"


# -- the application ---------------------------------------------------------------------------


def load_application(shop: Workshop) -> None:
    data.load(shop.dsn, shop.megabytes, shop.seed)


def change_application(shop: Workshop, version: int) -> None:
    """A day's work: 1 to 2 % of the rows updated, 1 % added, 0.1 % of two tables deleted."""
    shop.update(
        "users",
        20,
        "seen_at = {time}, settings = CASE WHEN {draw:theme:4} = 0 THEN jsonb_set(settings,"
        " '{theme}', to_jsonb({word:theme})) ELSE settings END",
    )
    shop.update(
        "orders",
        20,
        "state = (ARRAY['paid', 'shipped', 'delivered', 'returned'])[1 + {draw:state:4}],"
        " shipped_at = {time}, note = CASE WHEN {draw:note:5} = 0"
        " THEN {word:note 1} || ' ' || {word:note 2} ELSE note END",
    )
    shop.update(
        "order_items",
        15,
        "quantity = 1 + {draw:quantity:6}, discount = {draw:discount:3000} / 100.0",
    )
    shop.update(
        "events", 10, "payload = payload || jsonb_build_object('duration_ms', {draw:took:9000})"
    )
    shop.update("chat", 10, "body = body || ' ' || {word:body 1} || ' ' || {word:body 2}")
    shop.delete("events", 1)
    shop.delete("order_items", 1)
    insert_rows(shop, tuple(TABLES), version, INSERT_SHARE)
    shop.execute("SELECT setval('orders_id_seq', (SELECT max(id) FROM orders))")
    shop.vacuum(*TABLES)


def insert_rows(shop: Workshop, tables: tuple[str, ...], version: int, share: float) -> None:
    """Add *share* of the rows that each table began with, numbered after all that there were."""
    begun = sizes(shop, tables)
    steps = {table: max(1, round(getattr(begun, table) * share)) for table in TABLES}
    # References may reach what this version adds.
    grown = Sizes(**{name: getattr(begun, name) + steps[name] * (version - 1) for name in TABLES})
    for table in tables:
        # The rows that there were at first set the pace of the times; items follow their orders.
        pace = grown if table == "order_items" else begun
        batch = Batch(
            shop.seed,
            table,
            first=getattr(begun, table) + steps[table] * (version - 2),
            rows=steps[table],
            table_rows=getattr(pace, table),
            sizes=grown,
        )
        shop.copy(table, TABLES[table](batch))


def sizes(shop: Workshop, tables: tuple[str, ...]) -> Sizes:
    """Return the sizes at which *tables* alone are as large as the whole is to be."""
    return Sizes.of_megabytes(shop.megabytes / sum(SHARES[table] for table in tables))


def change_to_staging(shop: Workshop, version: int) -> None:
    """Production goes on; the last version is another database, made from production's."""
    if version < shop.versions:
        change_application(shop, version)
        return
    shop.move_to_a_copy()
    shop.update("users", 20, "secret = 'none', email = 'user' || id || '@staging.example.com'")
    shop.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) / 50")
    shop.execute(
        "INSERT INTO chat SELECT max(id) + 1, 1, 1, NULL,"
        f" '{shop.time_text(version)}', 'staging' FROM chat"
    )
    shop.vacuum(*TABLES)


# -- one table of the application --------------------------------------------------------------


def load_tables(*tables: str) -> Callable[[Workshop], None]:
    def load(shop: Workshop) -> None:
        others = ", ".join(table for table in TABLES if table not in tables)
        shop.execute(data.SCHEMA)
        shop.execute(f"DROP TABLE {others}")
        for table in tables:
            data.fill(shop.dsn, table, sizes(shop, tables), shop.seed)

    return load


def append_events(shop: Workshop, version: int) -> None:
    insert_rows(shop, ("events",), version, 0.03)


def update_orders(shop: Workshop, version: int) -> None:
    shop.update(
        "orders",
        30,
        "state = (ARRAY['paid', 'shipped', 'delivered', 'returned'])[1 + {draw:state:4}],"
        " total = {draw:total:900000} / 100.0, shipped_at = {time}",
    )
    shop.vacuum("orders")


def update_a_column(shop: Workshop, version: int) -> None:
    shop.execute("UPDATE order_items SET unit_price = round(unit_price * 1.01, 2) + 0.01")
    shop.vacuum("order_items")


def delete_and_refill(shop: Workshop, version: int) -> None:
    """One version loses a tenth of the rows at a stretch and 5 % of the rest; the next fills up."""
    if version % 2 == 0:
        rows = sizes(shop, ("events",)).events
        first = rows * (version // 2) // (shop.versions // 2 + 2)
        shop.execute(f"DELETE FROM events WHERE id BETWEEN {first} AND {first + rows // 10}")
        shop.delete("events", 50)
    else:
        insert_rows(shop, ("events",), version, 0.14)
    shop.vacuum("events")


def vacuum_full(shop: Workshop, version: int) -> None:
    """Small changes; every second version VACUUM FULL packs the table."""
    shop.update("chat", 30, "body = body || ' ' || {word:body}")
    shop.delete("chat", 20)
    insert_rows(shop, ("chat",), version, INSERT_SHARE)
    shop.vacuum("chat", full=version % 2 == 0)


def cluster_orders(shop: Workshop, version: int) -> None:
    """Small changes; every version is in the order of the other one of two indexes."""
    shop.update("orders", 10, "shipped_at = {time}")
    index = "orders_user_id_idx" if version % 2 == 0 else "orders_placed_at_idx"
    shop.execute(f"CLUSTER orders USING {index}")
    shop.vacuum("orders")


def add_columns(shop: Workshop, version: int) -> None:
    """Every second version gains a column that differs from row to row; else small changes."""
    if version % 2:
        shop.update("order_items", 10, "quantity = 1 + {draw:quantity:6}")
    elif version % 4:
        shop.execute(
            f"SELECT setseed({1 / version})",
            f"ALTER TABLE order_items ADD COLUMN score_{version} integer NOT NULL"
            " DEFAULT (random() * 1000000)::integer",
        )
    else:
        shop.execute(
            f"CREATE SEQUENCE line_{version}_seq",
            f"ALTER TABLE order_items ADD COLUMN line_{version} bigint NOT NULL"
            f" DEFAULT nextval('line_{version}_seq')",
        )
    shop.vacuum("order_items")


# -- wide rows ---------------------------------------------------------------------------------


def load_documents(shop: Workshop) -> None:
    shop.execute(
        "CREATE TABLE documents (id bigint PRIMARY KEY, kind text NOT NULL,"
        " updated_at timestamptz NOT NULL, body jsonb NOT NULL)"
    )
    rows = max(2, round(shop.megabytes * 1e6 / JSON_ROW_BYTES))
    for first in range(0, rows, 2_000):
        count = min(2_000, rows - first)
        batch = Batch(shop.seed, "documents", first, count, rows, Sizes.of_megabytes(1))
        shop.copy("documents", documents(batch))
    shop.vacuum("documents")


def documents(batch: Batch) -> list[str]:
    """Return rows with a jsonb of 40 keys: numbers, texts, UUIDs, lists."""
    columns = []
    for number in range(JSON_KEYS):
        column = f"field {number}"
        if number % 4 == 0:
            columns.append([str(value) for value in batch.skewed(column, 1_000_000)])
        elif number % 4 == 3 and number % 8 == 3:
            columns.append([f'"{value}"' for value in batch.uuids(column)])
        elif number % 4 == 3:
            columns.append([f'["{value}"]' for value in batch.texts(column, 1, 3)])
        else:
            columns.append([f'"{value}"' for value in batch.texts(column, 2, 9)])
    names = [f"{'attribute_' * (number % 3)}{number}" for number in range(JSON_KEYS)]
    return [
        f"{id_}\t{kind}\t{at}\t{{"
        + ", ".join(f'"{name}": {value}' for name, value in zip(names, values, strict=True))
        + "}\n"
        for id_, kind, at, *values in zip(
            batch.ids(),
            batch.choice("kind", ("product", "customer", "invoice")),
            batch.times("updated"),
            *columns,
            strict=True,
        )
    ]


def update_documents(shop: Workshop, version: int) -> None:
    shop.update(
        "documents",
        30,
        "updated_at = {time}, body = body || jsonb_build_object('0', {draw:number:1000000},"
        " '12', {draw:other:1000000}, 'attribute_1', {word:text 1} || ' ' || {word:text 2})",
    )
    shop.vacuum("documents")


def load_files(shop: Workshop) -> None:
    shop.execute(
        "CREATE TABLE files (id bigint PRIMARY KEY, name text NOT NULL,"
        " changed_at timestamptz NOT NULL, content bytea NOT NULL)"
    )
    add_files(shop, 1, 0, files(shop))
    shop.vacuum("files")


def files(shop: Workshop) -> int:
    """Return the number of files at first: in a dump a byte is two hex digits."""
    mean = (FILE_BYTES_MIN + FILE_BYTES_MAX) / 2
    return max(2, round(shop.megabytes * 1e6 / 2 / mean))


def add_files(shop: Workshop, version: int, first: int, count: int) -> None:
    def lines() -> Iterator[str]:
        for id_ in range(first + 1, first + count + 1):
            content = file_content(shop, id_, version).hex()
            yield f"{id_}\tfile-{id_:06d}.bin\t{shop.time_text(version)}\t\\\\x{content}\n"

    shop.copy("files", lines())


def file_content(shop: Workshop, id_: int, version: int) -> bytes:
    """Return random bytes, 2 to 100 kB of them."""
    key = mixed(U64(shop.salt("content", version=version)) + np.arange(1, dtype=U64) + U64(id_))
    length = FILE_BYTES_MIN + int(key[0] % U64(FILE_BYTES_MAX - FILE_BYTES_MIN))
    words = np.arange(length // 8 + 1, dtype=U64) * GOLDEN + key
    return mixed(words).tobytes()[:length]


def replace_files(shop: Workshop, version: int) -> None:
    """3 % of the files get other contents, 2 % are added."""
    begun = files(shop)
    step = max(1, begun // 50)
    keys = Batch(shop.salt("files"), "files", 0, begun, begun, Sizes.of_megabytes(1))
    chosen = [
        id_ for id_, number in zip(keys.ids(), keys.below("which", 100), strict=True) if number < 3
    ]
    shop.replace(
        "UPDATE files SET content = %s, changed_at = %s WHERE id = %s",
        ((file_content(shop, id_, version), shop.time_text(version), id_) for id_ in chosen),
    )
    add_files(shop, version, begun + step * (version - 2), step)
    shop.vacuum("files")


def _all() -> Iterator[DataSet]:
    yield DataSet(
        "app",
        "an application's day: 1 to 2 % of the rows updated, 1 % added, a few deleted",
        load_application,
        change_application,
    )
    yield DataSet("append", "events, 3 % appended", load_tables("events"), append_events)
    yield DataSet(
        "random", "orders, 3 % updated here and there", load_tables("orders"), update_orders
    )
    yield DataSet(
        "column",
        "one column of every order item updated",
        load_tables("order_items"),
        update_a_column,
    )
    yield DataSet(
        "vacuum",
        "events: 15 % deleted, VACUUM, then 14 % put into the gaps",
        load_tables("events"),
        delete_and_refill,
    )
    yield DataSet(
        "full", "chat: 6 % changed, VACUUM FULL every second time", load_tables("chat"), vacuum_full
    )
    yield DataSet(
        "cluster",
        "orders: 1 % updated, then CLUSTER by one index and by another in turn",
        load_tables("orders"),
        cluster_orders,
    )
    yield DataSet(
        "addcolumn",
        "order items: a column with a value of its own in every row, and 1 % updated, in turn",
        load_tables("order_items"),
        add_columns,
    )
    yield DataSet(
        "jsonb", "jsonb of 1.6 kB, fields of 3 % of them updated", load_documents, update_documents
    )
    yield DataSet(
        "bytea", "random bytea of 2 to 100 kB, 3 % replaced, 2 % added", load_files, replace_files
    )
    yield DataSet(
        STAGING,
        "the application, and at last the first snapshot of its staging copy",
        load_application,
        change_to_staging,
        lambda version, versions: STAGING if version == versions else "app",
    )


DATA_SETS = {one.name: one for one in _all()}
