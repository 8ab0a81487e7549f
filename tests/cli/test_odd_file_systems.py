"""File systems that fold case, have no modes, or take no large files."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from pgsnap.repository.access import closing_command
from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.faults.folding import fold_case
from support.repositories.made import day, make, record
from support.running.commandline import CommandLine


@pytest.fixture
def repo(snap: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make(snap.work / "repo")
    with Repository.open(path) as opened:
        record(opened, shop(100, seed=1), tags=("Rel",), at=day(1))
        record(opened, shop(100, seed=2), at=day(2))
    fold_case(monkeypatch)
    return path


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_tag_that_differs_in_case_only_is_refused_where_case_is_folded(
    snap: CommandLine, repo: Path, force: tuple[str, ...]
) -> None:
    before = snap.ok("--repo", "repo", "tag", "--json").json
    refused = snap("--repo", "repo", "--json", "tag", *force, "rel", "latest")
    assert (refused.code, refused.error["kind"]) == (10, "tag-exists")
    assert '"Rel"' in refused.error["message"]
    assert "upper and lower case" in refused.error["detail"]
    assert snap.ok("--repo", "repo", "tag", "--json").json == before
    snap.ok("--repo", "repo", "verify")


def test_a_name_in_another_case_names_no_tag_and_deletes_none(
    snap: CommandLine, repo: Path
) -> None:
    assert snap("--repo", "repo", "show", "rel").code == 20
    assert snap("--repo", "repo", "tag", "--delete", "rel").code == 20
    assert snap.ok("--repo", "repo", "show", "Rel", "--json").json["tags"] == ["Rel"]


def test_a_label_that_differs_in_case_only_gets_no_tags(snap: CommandLine, repo: Path) -> None:
    with Repository.open(repo) as opened:
        record(opened, shop(50), database="SHOP", at=day(3))
    refused = snap("--repo", "repo", "--json", "tag", "--database", "SHOP", "other", "latest")
    assert (refused.code, refused.error["kind"]) == (10, "tag-exists")
    assert 'of database "shop"' in refused.error["message"]
    assert [tag["name"] for tag in snap.ok("--repo", "repo", "tag", "--json").json] == ["Rel"]


def test_where_case_counts_both_names_are_tags(snap: CommandLine, tmp_path: Path) -> None:
    with Repository.open(make(snap.work / "repo")) as opened:
        record(opened, tags=("Rel", "rel"))
    assert len(snap.ok("--repo", "repo", "tag", "--json").json) == 2


@pytest.mark.parametrize(
    ("kind", "words"), [("vfat", "umask=077"), ("exfat", "umask=077"), ("ext4", "chmod -R go= ")]
)
def test_no_chmod_is_advised_where_there_are_no_modes(
    tmp_path: Path, kind: str, words: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / / rw - {kind} /dev/sdb1 rw\n")
    assert words in closing_command(tmp_path, mounts)
    assert ("chmod" in closing_command(tmp_path, mounts)) == (kind == "ext4")


@pytest.mark.parametrize("limit", [16 * 1024, 200 * 1024, 1024 * 1024])
def test_a_file_that_would_be_too_large_is_a_refusal(
    snap: CommandLine, tmp_path: Path, limit: int
) -> None:
    snap.ok("init", "repo")
    lines = "".join(f"{n}\t{hash((n, 1))}{hash((n, 2))}\n" for n in range(60_000))
    (snap.work / "dump.sql").write_text(
        "--\n-- PostgreSQL database dump\n--\n\n"
        f"COPY public.t (a, b) FROM stdin;\n{lines}\\.\n\n\n"
        "--\n-- PostgreSQL database dump complete\n--\n\n"
    )
    words = ("--repo", "repo", "commit", "--file", "dump.sql", "--database", "shop", "-m", "x")
    refused = snap.process(
        *words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert refused.code == 50, refused.err
    assert "a bug in snap" not in refused.err
    assert "larger than it may be" in refused.err or "index" in refused.err
    assert snap.ok("--repo", "repo", "log", "--json").json == []
    assert snap.process(*words).code == 0
    refused = snap.process(
        *("--repo", "repo", "export", "latest", "all.sql"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert refused.code == 50, refused.err
    assert not list(snap.work.glob("all.sql*"))
