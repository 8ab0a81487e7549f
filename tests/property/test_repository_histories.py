"""Random histories of commits, tags, losses of the index and reads, against a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from pgsnap.errors import TagExists
from pgsnap.model import SectionKind, SectionName, VolatileKind, VolatileLine
from pgsnap.repository.repository import Repository
from pgsnap.repository.revisions import resolve
from pgsnap.repository.stream import snapshot_stream
from pgsnap.workflows.tagging import set_tag
from support.dumps import Dump, Part, ScriptedSource, dump, rows, table, text, texts
from support.repositories import make, record

WORDS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12)
ROW = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"\\n"))
# Some rows again and again, so that chunks are shared; some long, so that there are several.
ROWS = st.one_of(
    st.lists(ROW, max_size=20),
    st.builds(rows, st.integers(0, 3000), seed=st.integers(1, 3)),
)


@st.composite
def dumps(draw: st.DrawFn) -> Dump:
    names = draw(st.lists(st.tuples(WORDS, WORDS), max_size=4, unique=True))
    tables = [table(schema, name, draw(ROWS)) for schema, name in names]
    globals_text = draw(st.none() | st.binary(max_size=50))
    return dump(*tables, globals_text=globals_text)


class Histories(RuleBasedStateMachine):
    """The model: what each snapshot holds, per label the order of snapshots, and the tags."""

    snapshots = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="snap-histories-"))
        self.held: dict[bytes, Dump] = {}
        self.order: dict[str, list[bytes]] = {}
        self.tags: dict[tuple[str, str], bytes] = {}

    @initialize()
    def begin(self) -> None:
        self.path = make(self.folder / "backups")
        self.repo = Repository.open(self.path)

    def teardown(self) -> None:
        self.repo.close()
        shutil.rmtree(self.folder)

    @rule(target=snapshots, dumped=dumps(), database=st.sampled_from(["shop", "blög"]))
    def commit(self, dumped: Dump, database: str) -> bytes:
        report = record(self.repo, dumped, database=database)
        before = self.order.setdefault(database, [])
        assert report.snapshot.parent == (before[-1] if before else None)
        if before:
            same = [part for part in self.held[before[-1]].texts if part[0].kind != "globals"]
            assert report.unchanged == (
                same == [part for part in dumped.texts if part[0].kind != "globals"]
            )
        before.append(report.snapshot_id)
        self.held[report.snapshot_id] = dumped
        return report.snapshot_id

    @rule(snapshot=snapshots, name=st.sampled_from(["one", "two", "a/b"]), force=st.booleans())
    def tag(self, snapshot: bytes, name: str, force: bool) -> None:
        key = (self.repo.snapshot(snapshot).database, name)
        if not force and self.tags.get(key, snapshot) != snapshot:
            with pytest.raises(TagExists):
                set_tag(self.repo, name, snapshot)
            return
        set_tag(self.repo, name, snapshot, force=force)
        self.tags[key] = snapshot

    @rule(snapshot=snapshots)
    def read(self, snapshot: bytes) -> None:
        assert texts(self.repo, snapshot) == self.held[snapshot].texts

    @rule()
    def open_again(self) -> None:
        self.repo.close()
        self.repo = Repository.open(self.path)

    @rule()
    def lose_the_index(self) -> None:
        self.repo.close()
        for file in self.path.glob("index.sqlite*"):
            file.unlink()
        self.repo = Repository.open(self.path)

    @invariant()
    def what_is_listed_is_what_was_recorded(self) -> None:
        for database, order in self.order.items():
            assert self.repo.newest(database) == order[::-1]
            for back in range(len(order)):
                found = resolve(self.repo, f"latest~{back}", database=database)
                assert found == order[-1 - back]
        assert {(tag.database, tag.name): tag.snapshot for tag in self.repo.tags.all()} == self.tags


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, derandomize=True
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Dump, bytes]:
    """Return a dump with volatile lines, and its text with the key KEY in them."""
    parts, lines, whole = [], [], []
    for number in range(draw(st.integers(1, 4))):
        content = draw(st.one_of(st.binary(max_size=200), st.builds(long_text, st.integers(1, 3))))
        part = Part(SectionName(SectionKind.PRE_DATA, part=number), content)
        parts.append(part)
        positions = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
        done = 0
        for position in positions:
            kind = draw(st.sampled_from(list(VolatileKind)))
            stored = {
                VolatileKind.RESTRICT: b"\\restrict old\n",
                VolatileKind.UNRESTRICT: b"\\unrestrict old\n",
                VolatileKind.VERSION: b"-- Dumped by pg_dump version 15.18\n",
            }[kind]
            lines.append(VolatileLine(part.name, position, kind, stored))
            whole += [content[done:position], stored.replace(b" old\n", b" KEY\n")]
            done = position
        whole.append(content[done:])
    return Dump(tuple(parts), tuple(lines)), b"".join(whole)


def long_text(seed: int) -> bytes:
    return b"\n".join(rows(2500, seed=seed))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.open(make(tmp_path_factory.mktemp("streams") / "backups"))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(streams(), st.integers(1, 200_000))
def test_a_dump_comes_back_byte_for_byte_with_fresh_keys(
    repo: Repository, stream: tuple[Dump, bytes], block_bytes: int
) -> None:
    from pgsnap.workflows.commit import commit

    dumped, whole = stream
    source = ScriptedSource(dumped, block_bytes=max(block_bytes, 500))
    made = commit(repo, source, database="shop", message="m")
    assert b"".join(snapshot_stream(repo, made.snapshot, restrict_key="KEY")) == whole


def test_neither_globals_nor_the_databases_own_statements_are_sent(tmp_path: Path) -> None:
    dumped = Dump(
        (
            text(SectionKind.PREAMBLE, b"-- a dump\n"),
            text(SectionKind.DATABASE, b"DROP DATABASE shop;\n"),
            text(SectionKind.TRAILER, b"-- end\n"),
            text(SectionKind.GLOBALS, b"CREATE ROLE app;\n"),
        )
    )
    with Repository.open(make(tmp_path / "backups")) as repo:
        made = record(repo, dumped).snapshot
        assert b"".join(snapshot_stream(repo, made, restrict_key=None)) == b"-- a dump\n-- end\n"
        chosen = {SectionName(SectionKind.GLOBALS)}
        sent = snapshot_stream(repo, made, restrict_key=None, sections=chosen)
        assert b"".join(sent) == b"CREATE ROLE app;\n"
