"""What stands between a stored dump and psql: generators from events to events, each by a table of
inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest

from pgsnap.dump.copy_head import copy_into, with_heads
from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.events import occurs, text_of, text_of_kind, to_section_end
from pgsnap.errors import CorruptionError
from pgsnap.model import DumpEvent, SectionKind, SectionName, SectionStart
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.event_triggers import quiet_event_triggers
from pgsnap.targets.load.row_order import keep_order
from support.dumps.texts import as_events

Filter = Callable[[Iterable[DumpEvent]], Iterator[DumpEvent]]

PREAMBLE = SectionName(SectionKind.PREAMBLE)
PRE_DATA = SectionName(SectionKind.PRE_DATA)
ROWS = SectionName(SectionKind.DATA, "s", "t")
OTHER = SectionName(SectionKind.DATA, "s", "u")
VALUES = SectionName(SectionKind.SEQUENCES)
OBJECTS = SectionName(SectionKind.LARGE_OBJECTS)
POST_DATA = SectionName(SectionKind.POST_DATA)
TRAILER = SectionName(SectionKind.TRAILER)
WHOLE = [
    (PREAMBLE, b"SET transaction_timeout = 0;\nSET x = 1;\n"),
    (PRE_DATA, b"CREATE TABLE s.t ();\n"),
    (ROWS, b"\nCOPY s.t (a) FROM stdin;\n1\n\\.\n"),
    (OTHER, b"\nCOPY s.u (a) FROM stdin;\n\\.\n"),
    (VALUES, b"SELECT pg_catalog.setval('s.q', 3000000000, true);\n"),
    (OBJECTS, b"ALTER LARGE OBJECT 7 OWNER TO bob;\nSELECT 1;\n"),
    (POST_DATA, b"CREATE INDEX i ON s.t (a);\n"),
    (TRAILER, b"-- end\n"),
]


def events(parts: list[tuple[SectionName, bytes]], size: int) -> list[DumpEvent]:
    return [
        event
        for name, text in parts
        for event in as_events(name, *(text[at : at + size] for at in range(0, len(text), size)))
    ]


def kept_in_order(found: Iterable[DumpEvent]) -> Iterator[DumpEvent]:
    return keep_order(found, {("s", "t"): 0}, lambda: {("s", "t"), ("s", "u")}, "")


def without_owners(found: Iterable[DumpEvent]) -> Iterator[DumpEvent]:
    return leave_out(found, LeftOut(owners=True), "UTF8")


FILTERS: dict[str, tuple[Filter, dict[SectionName, bytes]]] = {
    "unknown sets": (lambda e: without_unknown_sets(e, 15), {PREAMBLE: b"SET x = 1;\n"}),
    "known sets": (lambda e: without_unknown_sets(e, 18), {}),
    "left out": (
        without_owners,
        {
            VALUES: b"ALTER SEQUENCE s.q AS bigint; " + dict(WHOLE)[VALUES],
            OBJECTS: b"SELECT 1;\n",
        },
    ),
    "order kept": (
        kept_in_order,
        {ROWS: b'BEGIN; TRUNCATE ONLY "s"."t"; ' + dict(WHOLE)[ROWS] + b"COMMIT; "},
    ),
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_changes_its_own_sections_and_passes_on_all_others(
    name: str, size: int
) -> None:
    passing, changed = FILTERS[name]
    got: dict[SectionName, bytes] = {}
    found = iter(passing(events(WHOLE, size)))
    for event in found:
        assert isinstance(event, SectionStart), "nothing stands outside of sections"
        got[event.name] = b"".join(to_section_end(found))
    assert got == dict(WHOLE) | changed
    assert list(got) == [section for section, _ in WHOLE]


@pytest.mark.parametrize("size", [3, 1000])
def test_all_filters_one_after_another_do_what_each_does_alone(size: int) -> None:
    found: Iterable[DumpEvent] = events(WHOLE, size)
    want = dict(WHOLE)
    for passing, changed in FILTERS.values():
        found = passing(found)
        want |= changed
    assert b"".join(text_of(found)) == b"".join(want.values())


@pytest.mark.parametrize(
    ("sections", "begins", "ends"),
    [
        ([PRE_DATA, ROWS, POST_DATA, TRAILER], POST_DATA, True),
        ([PRE_DATA, POST_DATA, SectionName(SectionKind.POST_DATA, part=1)], POST_DATA, True),
        ([PRE_DATA, ROWS, TRAILER], None, False),
    ],
)
def test_event_triggers_are_quiet_from_the_definitions_behind_the_rows_to_the_end(
    sections: list[SectionName], begins: SectionName | None, ends: bool
) -> None:
    found = list(quiet_event_triggers(events([(name, b"x\n") for name in sections], 9)))
    ours = [at for at, each in enumerate(found) if isinstance(each, bytes) and b"DO $snap$" in each]
    assert len(ours) == 2 * ends
    if ends:
        assert found[ours[0] - 1] == SectionStart(begins or TRAILER)
        assert ours[1] == len(found) - 1
        assert b"DISABLE" in b"".join(text_of(found[: ours[0] + 1]))


HEAD = b"--\n-- Data\n--\n\nCOPY s.t (a, b) FROM stdin;\n"


@pytest.mark.parametrize("size", [1, 8, len(HEAD), 1000])
@pytest.mark.parametrize(
    ("head", "names", "want"),
    [
        (HEAD, {("s", "t"): ("staging", "T")}, b'\nCOPY "staging"."T" (a, b) FROM stdin;\n'),
        (HEAD, {}, b"\nCOPY s.t (a, b) FROM stdin;\n"),
        (HEAD.replace(b"s.t", b"s.u"), {}, None),
        (HEAD.replace(b"COPY", b"cOPY"), {}, None),
    ],
)
def test_rows_go_into_a_table_of_another_name(
    size: int, head: bytes, names: dict[tuple[str, str], tuple[str, str]], want: bytes | None
) -> None:
    rows = b"1\tCOPY s.t (a)\n\\.\n\n"
    found = with_heads(
        events([(ROWS, head + rows), (OTHER, head)], size),
        lambda name: (
            (len(head), partial(copy_into, copied=("s", "t"), names=names, encoding=""))
            if name == ROWS
            else None
        ),
    )
    if want is None:
        with pytest.raises(CorruptionError, match="do not begin with their COPY"):
            list(found)
    else:
        text = b"".join(text_of(found))
        assert text == want + rows + head


@pytest.mark.parametrize("size", range(1, 12))
def test_a_word_is_found_wherever_blocks_end(size: int) -> None:
    text = b"a text with a word in it"
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    assert occurs(lambda part: b"a word" in part, blocks, 6)
    assert not occurs(lambda part: b"a wore" in part, blocks, 6)


def test_the_text_of_one_kind_is_that_of_all_its_sections() -> None:
    parts = [*WHOLE, (SectionName(SectionKind.PRE_DATA, part=1), b"more\n")]
    assert b"".join(text_of_kind(events(parts, 5), SectionKind.PRE_DATA)) == (
        b"CREATE TABLE s.t ();\nmore\n"
    )
