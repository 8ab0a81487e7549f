"""A manifest that claims to be pg_dump's is believed as far as its text looks so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import SectionKind
from pgsnap.repository.repository import Repository
from pgsnap.workflows.contents.trust import snapshot_to_run
from support.dumps.scripted import PREAMBLE, TRAILER, Dump, Part, table, text
from support.repositories.made import make, record

HEADER = (
    b"--\n-- Name: t; Type: TABLE; Schema: public; Owner: bob\n--\n\nCREATE TABLE t (a int);\n\n"
)
FOREIGN = b"CREATE ROLE mallory SUPERUSER LOGIN;\n"
ROWS = table("public", "t", [b"1\tx"])


def trusted(path: Path, *parts: Part) -> bool:
    with Repository.open(make(path / "repo")) as repo:
        made = record(repo, Dump(parts)).snapshot_id
        assert repo.snapshot(made).origin.is_pg_dump
        return snapshot_to_run(repo, made).origin.is_pg_dump


def test_what_looks_like_pg_dump_s_is_taken_for_that(tmp_path: Path) -> None:
    parts = (
        text(SectionKind.GLOBALS, b"CREATE ROLE bob;\n"),
        text(SectionKind.PREAMBLE, PREAMBLE),
        text(SectionKind.PRE_DATA, b"DROP TABLE IF EXISTS public.t;\n" + HEADER),
        ROWS,
        text(SectionKind.TRAILER, TRAILER),
    )
    assert trusted(tmp_path, *parts)


@pytest.mark.parametrize(
    "parts",
    [
        (text(SectionKind.PRE_DATA, FOREIGN),),
        (text(SectionKind.PRE_DATA, HEADER), text(SectionKind.TRAILER, TRAILER)),
        (text(SectionKind.PREAMBLE, FOREIGN), text(SectionKind.TRAILER, TRAILER)),
        (text(SectionKind.PREAMBLE, FOREIGN + PREAMBLE), text(SectionKind.TRAILER, TRAILER)),
        (text(SectionKind.PREAMBLE, PREAMBLE), text(SectionKind.PRE_DATA, HEADER)),
        (text(SectionKind.PREAMBLE, PREAMBLE), text(SectionKind.TRAILER, FOREIGN)),
        (
            text(SectionKind.PRE_DATA, HEADER),
            text(SectionKind.PREAMBLE, PREAMBLE),
            text(SectionKind.TRAILER, TRAILER),
        ),
        (
            text(SectionKind.PREAMBLE, PREAMBLE),
            text(SectionKind.PRE_DATA, FOREIGN),
            text(SectionKind.TRAILER, TRAILER),
        ),
        (ROWS,),
    ],
)
def test_what_does_not_is_a_stranger_s_sql_whatever_its_manifest_says(
    tmp_path: Path, parts: tuple[Part, ...]
) -> None:
    assert not trusted(tmp_path, *parts)
