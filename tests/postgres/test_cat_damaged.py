"""`snap cat | psql` without pipefail: damage inside anything makes psql fail, and say why."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.model import Location
from pgsnap.repository import layout
from pgsnap.repository.chunks import chunks
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.cat import cat
from support.faults.damaging import HEAD, TAIL, flip
from support.restoring.clients import commit_file
from support.servers.databases import Database


def words(seed: int) -> str:
    """Return 1.5 MB that do not compress to nothing: a section of several chunks."""
    chance = random.Random(seed)
    return "\n".join(chance.randbytes(30).hex() for _ in range(25_000))


def entry(name: str, kind: str, text: str) -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: u\n--\n\n{text}\n\n"


CREATE = entry("t", "TABLE", "CREATE TABLE public.t (a text);")
BODIES = {
    "a function's body": entry(
        "f()", "FUNCTION",
        "CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $fn$\n"
        f"SELECT '{words(1)}'\n$fn$;",
    ),
    "a string": entry("t", "COMMENT", f"COMMENT ON TABLE public.t IS 'it''s {words(2)}';"),
    "an escaped string": entry("t", "COMMENT", f"COMMENT ON TABLE public.t IS E'\\\\{words(3)}';"),
    "a comment": entry("t", "COMMENT", f"/* {words(4)} */\nCOMMENT ON TABLE public.t IS 'x';"),
    "a bracket": entry(
        "t_check", "CHECK CONSTRAINT",
        "ALTER TABLE public.t ADD CHECK (a NOT IN (\n'"
        + words(5).replace("\n", "',\n'") + "'));",
    ),
    "rows": "--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: u\n--\n\n"
    f"COPY public.t (a) FROM stdin;\n{words(6)}\n\\.\n\n\n",
}  # fmt: skip


def largest_section_chunk(repo: Repository, snapshot: bytes, number: int) -> Location:
    """Return where the chunk with this *number*, of the largest section, lies."""
    section = max(repo.sections(repo.snapshot(snapshot)), key=lambda found: found.plain_bytes)
    entries = list(walk(section.segments[0].recipe, repo.chunks.read))
    assert len(entries) > number + 1
    chunk = entries[number].chunk
    return repo.index.locations([chunk])[chunk][0]


def out_of(repo: Repository, snapshot: bytes, out: bytearray) -> None:
    for block in cat(repo, snapshot):
        out += block


@pytest.mark.parametrize("where", BODIES)
def test_damage_in_the_middle_of_anything_is_what_psql_fails_of(
    repo: Repository,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    text = HEAD + CREATE + BODIES[where] + TAIL
    snapshot = commit_file(repo, tmp_path / "dump.sql", text)
    assert b"".join(cat(repo, snapshot)).count(b"\n") == text.count("\n")
    found = largest_section_chunk(repo, snapshot, 1)
    pack = repo.path / layout.pack_name(found.pack)
    pack.chmod(0o600)
    flip(pack, found.offset + found.frame.frame_bytes // 2)
    # One chunk after the other, so that those before the damage go out.
    monkeypatch.setattr(chunks, "BATCH_BYTES", 1)
    out = bytearray()
    with pytest.raises(CorruptionError):
        out_of(repo, snapshot, out)
    assert len(out) > 100_000
    stopped = psql(database, bytes(out), "1")
    assert stopped.returncode == 3
    last = stopped.stderr.decode().strip()[-300:]
    told = "extra data after last expected column" if where == "rows" else "snap_the_snapshot"
    assert told in last
    # And what was cut is never done, also where psql goes on after errors.
    database.psql("DROP TABLE IF EXISTS public.t")
    assert b"damaged" in psql(database, bytes(out), "0").stderr
    assert (
        database.psql(
            "SELECT (SELECT count(*) FROM t), obj_description('t'::regclass), to_regproc('f'),"
            " (SELECT count(*) FROM pg_constraint WHERE conrelid = 't'::regclass)"
        )
        == "0|||0"
    )


def test_damage_right_behind_rows_is_told_by_psql_too(
    repo: Repository, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = BODIES["rows"].partition("stdin;\n")
    text = HEAD + CREATE + "".join(rows[:2]) + "1\n\\.\n\n\n" + BODIES["a string"] + TAIL
    snapshot = commit_file(repo, tmp_path / "dump.sql", text)
    found = largest_section_chunk(repo, snapshot, 0)
    pack = repo.path / layout.pack_name(found.pack)
    pack.chmod(0o600)
    flip(pack, found.offset + found.frame.frame_bytes // 2)
    monkeypatch.setattr(chunks, "BATCH_BYTES", 1)
    out = bytearray()
    with pytest.raises(CorruptionError):
        out_of(repo, snapshot, out)
    assert b"\n1\n\\.\n\n\n\n;\nSELECT CAST('snap: the snapshot is damaged" in out
    stopped = psql(database, bytes(out), "1")
    assert stopped.returncode == 3
    assert "snap: the snapshot is damaged" in stopped.stderr.decode()


def psql(database: Database, text: bytes, on_error_stop: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            database.cluster.binaries.program("psql"),
            *("-X", "-w", "-q", "-v", f"ON_ERROR_STOP={on_error_stop}", "-d", database.dsn),
        ],
        input=text,
        env=database.cluster.environment(),
        capture_output=True,
        check=False,
    )
