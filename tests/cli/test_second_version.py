"""What is stored of extensions and statistics, on the command line."""

from __future__ import annotations

import shutil

import pytest

from pgsnap.format import envelope
from support.repositories.stored import FOLDER, queue, text_of
from support.running.commandline import CommandLine

HOME = FOLDER / "v2-extensions" / "repository"
SET = "SELECT pg_catalog.setval('queue.batch_id_seq', 42, true);"


@pytest.fixture
def stored(snap: CommandLine) -> CommandLine:
    """A repository of the second version."""
    shutil.copytree(HOME, snap.folder / "repository")
    snap.setenv("SNAP_REPO", str(snap.folder / "repository"))
    return snap


@pytest.mark.parametrize(
    "command",
    [["log"], ["cat", "queue/tag-1"], ["gc", "--keep-last", "1"], ["verify"], ["show", "latest"]],
    ids=lambda words: words[0],
)
def test_a_reader_of_the_first_version_refuses_the_second_and_changes_nothing(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    # What the first version knew.
    monkeypatch.setattr(envelope, "_VERSIONS", {})
    heads = {kind: (envelope.head(kind),) for kind in envelope.ObjectKind}
    monkeypatch.setattr(envelope, "_HEADS", heads)
    done = stored(*command)
    assert (done.code, "newer version of snap" in done.err) == (13, True)
    for file in HOME.rglob("*"):
        if file.is_file():
            same = stored.folder / "repository" / file.relative_to(HOME)
            assert same.read_bytes() == file.read_bytes()


def test_cat_and_export_leave_extension_sequences_out_unless_they_are_asked_for(
    stored: CommandLine,
) -> None:
    more = "--with-extension-sequences"
    outputs = [stored.ok("cat", "queue/tag-1", *words).out for words in ([], [more])]
    for name, words in (("plain.sql", []), ("more.sql", [more])):
        stored.ok("export", "queue/tag-1", name, *words)
        outputs.append((stored.work / name).read_text())
    assert [SET in output for output in outputs] == [False, True, False, True]
    statistics = [line for line in text_of(queue(True)).decode().splitlines() if "_stats" in line]
    for output in outputs:
        assert [line for line in output.splitlines() if "_stats" in line] == statistics
        # What follows its end mark would be no part of the dump: it could not be imported.
        assert output.index("database dump complete") > max(output.find(SET), 0)
    done = stored("cat", "queue/tag-1", more, "--section", "extension-sequences")
    assert done.code == 2
    assert stored.ok("cat", "queue/tag-1", "--section", "extension-sequences").out.strip() == SET


def test_diff_tells_extension_sequences_that_moved_and_no_statistics(stored: CommandLine) -> None:
    report = stored.ok("diff", "queue/tag-0", "queue/tag-1", "--json").json
    moved = [(found["name"], found["before"], found["after"]) for found in report["sequences"]]
    assert moved == [("queue.batch_id_seq", 41, 42)]
    assert (report["definitions"], report["tables"]) == ([], [])


def test_show_names_the_roots_of_what_the_root_does_not_cover(stored: CommandLine) -> None:
    shown = [stored.ok("show", f"queue/tag-{number}", "--json").json for number in (0, 1)]
    for name in ("root", "globals_root"):
        assert shown[0][name] == shown[1][name]
    for name in ("extension_sequences_root", "statistics_root"):
        assert shown[0][name] != shown[1][name]
