"""Diff of snapshots: right also where chunks are cut inside rows, and nothing is read twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.model import RecipeEntry, SectionKind, SectionName
from pgsnap.repository.repository import Repository
from pgsnap.workflows.diff.diff import diff, diff_rows, stored_version
from pgsnap.workflows.diff.recipe_steps import Step, steps
from pgsnap.workflows.diff.report import DiffReport, TableDiff
from support.dumps.scripted import Dump, Part, ScriptedSource, dump, rows, table, text
from support.repositories.made import make, record

PRIMARY_KEY = b"""--
-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: bob
--

ALTER TABLE ONLY public.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id);
"""


def keyed(found: Sequence[bytes], *more: Part) -> Dump:
    """Return a dump of one table t (id, value) with a primary key."""
    parts = list(dump(table("public", "t", found), *more).parts)
    parts[-2] = text(SectionKind.POST_DATA, PRIMARY_KEY)
    return Dump(tuple(parts))


def both_ways(folder: Path, before: Dump, after: Dump) -> list[DiffReport]:
    """Compare two dumps as snapshots, and the first as a snapshot with the second as a source."""
    with Repository.open(make(folder)) as repo:
        first, second = record(repo, before).snapshot_id, record(repo, after).snapshot_id
        return [diff(repo, first, second), diff(repo, first, ScriptedSource(after))]


def counted(found: TableDiff) -> tuple[int | None, int | None, int | None]:
    return found.removed, found.added, found.changed


def expected(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[int, int, int]:
    """Count as SQL would: by whole rows, then by the key in the first column."""
    old, new = Counter(before), Counter(after)
    removed, added = list((old - new).elements()), list((new - old).elements())
    keys = {row.split(b"\t")[0] for row in removed} & {row.split(b"\t")[0] for row in added}
    return len(removed) - len(keys), len(added) - len(keys), len(keys)


def with_long_rows(count: int, *, seed: int) -> list[bytes]:
    """Return rows some of which are longer than the largest chunk, so that chunks end in them."""
    chance = random.Random(seed)
    found = rows(count, seed=seed, width=2000)
    for number in chance.sample(range(count), 6):
        size = chance.choice([900_000, 1_300_000, 3_000_000, 5_000_000])
        found[number] = b"%d\t%s" % (number, chance.randbytes(size // 2).hex().encode())
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counts_are_exact_where_rows_are_longer_than_chunks(tmp_path: Path, seed: int) -> None:
    before = with_long_rows(600, seed=seed)
    chance = random.Random(-seed)
    after = list(before)
    for number in chance.sample(range(600), 5):
        after[number] = after[number] + b"!"
    longest = sorted(range(600), key=lambda n: len(before[n]))[-6:]
    after[longest[0]] = after[longest[0]][:700_000] + b"?" + after[longest[0]][700_001:]
    after[longest[1]] = after[longest[1]] + b"."
    after.insert(longest[2], b"9999\tin front of a long row")
    del after[longest[3]]
    for report in both_ways(tmp_path / "r", keyed(before), keyed(after)):
        [found] = report.tables
        assert counted(found) == expected(before, after)
        assert found.key == ("id",)


@pytest.mark.parametrize("size", [2_300_000, 2_900_000, 4_000_000])
def test_a_long_row_that_became_short_is_compared_whole(tmp_path: Path, size: int) -> None:
    """The cuts inside it stay where its beginning is the same, though it would not be cut now."""
    before = rows(300, width=2000)
    value = random.Random(size).randbytes(2_500_000).hex().encode()
    before[150] = b"150\t" + value
    short, shorter = list(before), list(before)
    short[150], shorter[150] = b"150\t" + value[:size], b"150\t" + value[: size - 400_000]
    with Repository.open(make(tmp_path / "r")) as repo:
        first, second, third = (
            record(repo, keyed(found)).snapshot_id for found in (before, short, shorter)
        )
        for one, other in ((first, second), (second, third), (third, first)):
            [found] = diff(repo, one, other).tables
            assert counted(found) == (0, 0, 1)


def test_of_snapshots_only_chunks_that_differ_are_read(tmp_path: Path) -> None:
    before = rows(60_000, width=100)
    after = [*before[:30_000], b"x\tnew", *before[30_000:]]
    for report in both_ways(tmp_path / "r", keyed(before), keyed(after)):
        [found] = report.tables
        assert counted(found) == (0, 1, 0)
        assert report.read_bytes < sum(map(len, before)) / 3


def test_rows_in_another_order_are_no_difference_but_are_mentioned(tmp_path: Path) -> None:
    before = rows(9000, width=200)
    after = [*before[5000:], *before[:5000]]
    for report in both_ways(tmp_path / "r", keyed(before), keyed(after)):
        [found] = report.tables
        assert found.reordered
        assert not report.contents_differ


def test_tables_in_several_parts_are_compared_as_one(tmp_path: Path) -> None:
    some = rows(400)
    before = dump(table("public", "t", some[:200]), table("public", "t", some[200:], part=1))
    after = dump(table("public", "t", some[:100]), table("public", "t", some[100:], part=1))
    for report in both_ways(tmp_path / "r", before, after):
        assert not report.contents_differ


def test_equal_sections_are_not_read_at_all(tmp_path: Path) -> None:
    one = keyed(rows(5000), table("public", "u", rows(5000, seed=3)))
    two = keyed(rows(5000), table("public", "u", rows(5001, seed=3)))
    stored, live = both_ways(tmp_path / "r", one, two)
    assert [found.table for found in stored.tables] == [("public", "u")]
    assert stored.unchanged_tables == live.unchanged_tables == 1
    assert stored.tables == live.tables


def test_nothing_of_a_source_is_recorded(tmp_path: Path) -> None:
    path = make(tmp_path / "r")
    with Repository.open(path) as repo:
        first = record(repo, keyed(rows(5000))).snapshot_id
        before = sorted(file for file in path.rglob("*") if "index" not in file.name)
        report = diff(repo, first, ScriptedSource(keyed(rows(5000, seed=9))))
        assert report.contents_differ
        assert sorted(file for file in path.rglob("*") if "index" not in file.name) == before


def test_the_rows_of_a_table_that_was_dropped_or_made_are_shown(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        one = record(repo, dump(table("public", "t", [b"1\ta"]))).snapshot_id
        second = dump(table("public", "u", [b"2\tb"]))
        two = record(repo, second).snapshot_id
        for after in (two, ScriptedSource(second)):
            with diff_rows(repo, one, after, "t") as found:
                assert (found.counts.removed, found.counts.added) == (1, 0)
        with diff_rows(repo, one, ScriptedSource(second), "public.u") as found:
            [change] = found.changes(None)
            assert change.after is not None
            assert change.after.text == b"2\tb"
        with pytest.raises(UsageError, match="neither side"), diff_rows(repo, one, two, "v"):
            pass


def test_sections_that_both_snapshots_have_alike_are_held_once(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        same, other = table("public", "t", rows(10)), table("public", "u", rows(11))
        one = record(repo, dump(same, table("public", "u", rows(10)))).snapshot_id
        two = record(repo, dump(same, other)).snapshot_id
        before = stored_version(repo, one)
        after = stored_version(repo, two, beside=before.sections)
        assert after.sections == stored_version(repo, two).sections
        alike = {
            name.name: section is before.sections[name]
            for name, section in after.sections.items()
            if name.kind is SectionKind.DATA
        }
        assert alike == {"t": True, "u": False}


def chunk(name: int) -> RecipeEntry:
    return RecipeEntry(b"%032d" % name, 1000, 1)


@pytest.mark.parametrize("at_once", [8, 40_000])
def test_steps_give_back_both_lists_and_find_what_they_share(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("pgsnap.workflows.diff.recipe_steps._CHUNKS_AT_ONCE", at_once)
    chance = random.Random(5)
    for _ in range(200):
        a = [chance.randrange(30) for _ in range(chance.randrange(40))]
        b = [name for name in a if chance.random() < 0.8]
        b[5:5] = [99] * chance.randrange(3)
        found = list(steps(map(chunk, a), map(chunk, b)))
        assert [s.before.entry for s in found if s.before] == [*map(chunk, a)]
        assert [s.after.entry for s in found if s.after] == [*map(chunk, b)]
        assert all(s.before.entry == s.after.entry for s in found if s.before and s.after)
    same = list(steps(map(chunk, range(100)), map(chunk, range(1, 101))))
    assert sum(is_common(step) for step in same) == 99


def is_common(step: Step) -> bool:
    return step.before is not None and step.after is not None


def test_what_both_sides_list_alike_is_counted_and_what_was_redefined_of_it_is_told(
    tmp_path: Path,
) -> None:
    def version(number: int, column: str) -> Dump:
        tables = [table("public", f"t{one:04}", rows(1, seed=one)) for one in range(3_000)]
        tables[7] = table("public", "t0007", rows(1 + number, seed=7))
        head = "--\n-- Name: t2345; Type: TABLE; Schema: public; Owner: bob\n--\n\n"
        parts = list(dump(*tables).parts)
        create = f"{head}CREATE TABLE public.t2345 (\n    {column} integer\n);\n\n\n"
        parts[1] = text(SectionKind.PRE_DATA, create.encode())
        return Dump(tuple(parts))

    for report in both_ways(tmp_path / "backups", version(0, "a"), version(1, "b")):
        assert [(one.table[1], one.added, one.schema_changed) for one in report.tables] == [
            ("t0007", 1, False),
            ("t2345", 0, True),
        ]
        assert report.unchanged_tables == 2_998


def test_a_table_that_a_dump_did_not_change_has_no_rows_that_differ(tmp_path: Path) -> None:
    dumped = dump(table("public", "t", rows(20)), table("public", "u", rows(5000)))
    with Repository.open(make(tmp_path / "r")) as repo:
        one = record(repo, dumped).snapshot_id
        for name in ("t", "u"):
            with diff_rows(repo, one, ScriptedSource(dumped), name) as found:
                assert (found.counts.removed, found.counts.added, found.counts.changed) == (0, 0, 0)
                assert list(found.changes(None)) == []


def test_what_a_dump_did_not_change_is_held_once(tmp_path: Path) -> None:
    def version(count: int, comment: bytes) -> Dump:
        tables = table("public", "t", rows(20)), table("public", "u", rows(count))
        parts = list(dump(*tables).parts)
        parts.insert(2, text(SectionKind.PRE_DATA, comment_of("u", comment), part=1))
        parts[-2] = text(SectionKind.POST_DATA, PRIMARY_KEY)
        return Dump(tuple(parts))

    before, after = version(10, b"old"), version(11, b"new")
    with Repository.open(make(tmp_path / "r")) as repo:
        report = diff(repo, record(repo, before).snapshot_id, ScriptedSource(after))
        assert [entry.key for entry in report.definitions] == [("COMMENT", "public", "TABLE u")]
        old, new = report.before.sections, report.after.sections
        assert list(new) == [part.name for part in after.parts]
        assert {name for name in new if new[name] is not old[name]} == {
            SectionName(SectionKind.DATA, "public", "u"),
            SectionName(SectionKind.PRE_DATA, part=1),
        }
        for part in after.parts:
            if part.name.kind in (SectionKind.PRE_DATA, SectionKind.POST_DATA):
                assert report.after.read(new[part.name]) == part.text


def comment_of(name: str, comment: bytes) -> bytes:
    head = f"--\n-- Name: TABLE {name}; Type: COMMENT; Schema: public; Owner: bob\n--\n\n"
    return b"%sCOMMENT ON TABLE public.%s IS '%s';\n\n\n" % (head.encode(), name.encode(), comment)


def test_a_table_one_part_of_which_changed_counts_as_one(tmp_path: Path) -> None:
    def version(count: int) -> Dump:
        tables = [table("public", f"t{one:04}", rows(1, seed=one)) for one in range(3_000)]
        # The first part is listed in a piece that both have, the second is not.
        tables.append(table("public", "t0003", rows(count), part=1))
        return dump(*tables)

    for report in both_ways(tmp_path / "r", version(1), version(2)):
        assert [one.table[1] for one in report.tables] == ["t0003"]
        assert report.unchanged_tables == 2_999
