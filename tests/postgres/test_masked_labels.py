"""Masks of columns whose enums have all that the columns may hold in their definitions."""

from __future__ import annotations

import re

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

DEFINED = """
CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE TYPE "Tone of" AS ENUM ('Ann', 'Bob');
CREATE DOMAIN tones AS "Tone of"[];
CREATE TYPE deep AS (a mood, b tones);
CREATE TYPE deeper AS (a int, b deep[]);
CREATE TABLE o (id int PRIMARY KEY, ts tones, tss tones[], d deeper, k mood);
INSERT INTO o VALUES (1, '{Ann}', NULL, NULL, 'sad');
"""
COLUMNS = ("id", "ts", "tss", "d", "k")


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> CommandLine:
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql(DEFINED)
    snap.ok("init")
    snap.ok("commit", "-m", "first")
    return snap


def write(snap: CommandLine, masked: str, visible: str) -> None:
    """Write masks.toml: all columns are kept but the *masked* one."""
    rules = ", ".join(f'{c} = "{"null" if c == masked else "keep"}"' for c in COLUMNS)
    (snap.work / "masks.toml").write_text(
        f"visible_labels = [{visible}]\ntables.o = {{ {rules} }}\n"
    )


@pytest.mark.parametrize(
    ("masked", "message"),
    [
        ("ts", 'public."Tone of" (ts of public.o)'),
        ("tss", 'public."Tone of" (tss of public.o)'),
        ("d", 'public."Tone of" (d of public.o), public.mood (d of public.o)'),
        ("k", "public.mood (k of public.o)"),
    ],
)
def test_the_labels_of_an_enum_do_not_go_out_unless_they_may_be_seen(
    masked: str, message: str, shop: CommandLine
) -> None:
    write(shop, masked, "")
    found = shop("mask", "check", "latest")
    assert (found.code, f"the labels of enums: {message}" in found.err) == (4, True), found.err
    refused = shop("cat", "latest", "--mask", "masks.toml")
    assert (refused.code, refused.out) == (2, "")
    # The hint is what to write.
    accepted = re.search(r"visible_labels = \[(.*)\]", found.err)
    assert accepted is not None
    write(shop, masked, accepted[1])
    told = shop.ok("mask", "check", "latest", "--json").json["warnings"]
    assert f"the labels of the enums of masked columns stay: {message}" in told


def test_labels_that_are_kept_or_gone(shop: CommandLine) -> None:
    write(shop, "", "")
    shop.ok("mask", "check", "latest")
    write(shop, "", '"public.moot"')
    gone = shop("mask", "check", "latest")
    assert (gone.code, "public.moot is in visible_labels, and no column" in gone.err) == (4, True)
    assert "Was it renamed to public.mood?" in gone.err
