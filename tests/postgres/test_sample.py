"""The sample database keeps what the corpus promises: it dumps, restores, and dumps the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.demo import sample
from support.servers.databases import Database, daily_activity, load_sample, new_name


@pytest.fixture
def empty_databases(cluster: Cluster) -> Iterator[list[Database]]:
    made = [Database(cluster, new_name("copy")) for _ in range(2)]
    for each in made:
        cluster.create_database(each.name)
    yield made
    for each in made:
        cluster.drop_database(each.name)


def copy_blocks(dump: bytes) -> dict[bytes, bytes]:
    """Return the rows of each table, by the COPY statement before them."""
    blocks = re.findall(
        rb"^-- Data for Name: .*?\n--\n\n(COPY .*?;\n)(.*?^)\\\.$", dump, re.M | re.S
    )
    return dict(blocks)


def test_the_sample_restores_to_a_fixed_point(
    sample_database: Database, empty_databases: list[Database]
) -> None:
    first_copy, second_copy = empty_databases
    original = sample_database.dump()
    first_copy.restore(original)
    once = first_copy.dump()
    second_copy.restore(once)
    assert second_copy.dump() == once
    assert copy_blocks(once) == copy_blocks(original)
    assert len(copy_blocks(once)) > 50


def test_a_varchar_check_comes_back_with_other_casts(
    sample_database: Database, empty_databases: list[Database]
) -> None:
    original = sample_database.dump("--schema-only")
    empty_databases[0].restore(original)
    assert empty_databases[0].dump("--schema-only") != original


def test_two_loads_of_the_sample_are_the_same(
    cluster: Cluster, sample_database: Database, database: Database
) -> None:
    load_sample(cluster, database.name)
    assert database.dump() == sample_database.dump()


def test_the_sample_has_every_kind_of_object(sample_database: Database) -> None:
    dump = sample_database.dump()
    kinds = set(re.findall(rb"^-- (?:Data for )?Name: .*?; Type: ([A-Z ]+); Schema:", dump, re.M))
    assert kinds >= {
        b"ACL", b"AGGREGATE", b"BLOB METADATA" if b"Type: BLOB METADATA" in dump else b"BLOB",
        b"CAST", b"CHECK CONSTRAINT" if b"Type: CHECK CONSTRAINT" in dump else b"CONSTRAINT",
        b"COLLATION", b"COMMENT", b"CONSTRAINT", b"DEFAULT", b"DEFAULT ACL", b"DOMAIN",
        b"EVENT TRIGGER", b"EXTENSION", b"FK CONSTRAINT", b"FOREIGN DATA WRAPPER", b"FOREIGN TABLE",
        b"FUNCTION", b"INDEX", b"INDEX ATTACH", b"MATERIALIZED VIEW", b"MATERIALIZED VIEW DATA",
        b"OPERATOR", b"POLICY", b"PROCEDURE", b"PUBLICATION", b"PUBLICATION TABLE", b"ROW SECURITY",
        b"RULE", b"SCHEMA", b"SEQUENCE", b"SEQUENCE OWNED BY", b"SEQUENCE SET", b"SERVER",
        b"STATISTICS", b"TABLE", b"TABLE ATTACH", b"TEXT SEARCH CONFIGURATION",
        b"TEXT SEARCH DICTIONARY", b"TRIGGER", b"TYPE", b"USER MAPPING", b"VIEW",
    }  # fmt: skip


def test_the_sample_s_extension_has_a_configuration_table_with_own_rows(
    sample_database: Database,
) -> None:
    rows = copy_blocks(sample_database.dump())
    mine = [block for statement, block in rows.items() if b"vat_rates" in statement]
    assert mine == [b"DK\t25\tf\nNO\t25.5\tf\n"]


def test_the_sample_s_properties_are_set(sample_database: Database) -> None:
    name = sample_database.name
    settings = sample_database.psql(
        "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
        f"WHERE d.datname = '{name}'"
    )
    assert settings == "3"
    owner, limit, public = sample_database.psql(
        "SELECT datdba::regrole, datconnlimit, has_database_privilege('public', oid, 'CONNECT') "
        f"FROM pg_database WHERE datname = '{name}'"
    ).split("|")
    assert (owner, limit, public) == ("snap_demo_owner", "77", "f")


def test_the_bad_migration_destroys_what_it_says(
    cluster: Cluster, sample_database: Database
) -> None:
    count = "SELECT count(*) FROM shop.orders"
    before = int(sample_database.psql(count))
    cluster.psql(sample.bad_migration(), sample_database.name)
    assert int(sample_database.psql(count)) == before // 2
    assert sample_database.psql("SELECT count(*) FROM shop.chat_messages") == "0"
    assert sample_database.psql("SELECT sum(price) FROM shop.products") == "0.00"
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'shop' "
    assert sample_database.psql(columns + "AND column_name = 'email'") == "0"


def test_a_day_changes_a_little_and_the_same_each_time(
    cluster: Cluster, sample_database: Database, database: Database
) -> None:
    load_sample(cluster, database.name)
    before = database.dump()
    for each in (database, sample_database):
        for day in (1, 2):
            daily_activity(cluster, each.name, day)
    after = database.dump()
    # In any order: autovacuum decides where a changed row finds room.
    assert sorted(after.splitlines()) == sorted(sample_database.dump().splitlines())
    old = set(before.splitlines())
    new = [line for line in after.splitlines() if line not in old]
    assert 0 < len(new) < 0.06 * len(old)
