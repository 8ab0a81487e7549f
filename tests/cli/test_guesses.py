"""A word that snap does not know gets the one that is meant, and git's habits work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cli import commands
from pgsnap.cli.text.other_verbs import meant
from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop
from support.repositories.collecting import commit_versions
from support.running.commandline import CommandLine


@pytest.mark.parametrize(
    ("verb", "guess"),
    [
        ("checkout", "restore"),
        ("stash", "commit"),
        ("list", "log"),
        ("ls", "log"),
        ("snapshots", "log"),
        ("backup", "commit"),
        ("reset", "restore"),
        ("revert", "undo"),
        ("branch", "tag"),
        ("prune", "gc"),
        ("comit", "commit"),
        ("chekout", "restore"),
        ("Restore", "restore"),
        ("dignose", ""),
    ],
)
def test_another_tools_verb_gets_the_one_that_is_meant(
    snap: CommandLine, verb: str, guess: str
) -> None:
    error = snap(verb, "--json").error
    assert error["message"] == f'no such command "{verb}"'
    topic = snap("help", verb, "--json").error
    if guess:
        assert error["hint"].startswith(f'Did you mean "{guess}"?')
        assert topic["hint"] == error["hint"]
    else:
        assert error["hint"].startswith("Run `")
    assert (error["exit_code"], topic["exit_code"]) == (2, 2)


def test_every_verb_is_meant_for_a_command_that_there_is() -> None:
    for verb in ("add", "merge", "mount", "info", "rm", "fsck", "test", "dump", "upload", "config"):
        [_, name, *_] = meant(verb).split('"')
        assert name in commands.NAMES
        assert f"snap {name}" in meant(verb) or name in ("restore", "forget", "doctor")
    # Letters in the wrong order are one slip: "stats" is no nearer.
    assert meant("stauts") == 'Did you mean "status"?'
    assert meant("stasts") == 'Did you mean "stats"?'
    assert meant("qqqqq") == ""


@pytest.mark.parametrize(
    ("command", "action", "guess"),
    [
        ("remote", "rm", "remove"),
        ("remote", "lst", "list"),
        ("key", "delete", "remove"),
        ("schedule", "uninstall", "remove"),
        ("schedule", "status", "show"),
        ("database", "delete", "retire"),
        ("help", "exit-code", "exit-codes"),
        ("schedule run", "comit", "commit"),
    ],
)
def test_an_unknown_action_or_topic_gets_the_nearest(
    snap: CommandLine, command: str, action: str, guess: str
) -> None:
    assert f'Did you mean "{guess}"?' in snap(*command.split(), action, "--json").error["hint"]


def test_unknown_revisions_tags_tables_and_labels_get_the_nearest(
    snap: CommandLine, repository: Path
) -> None:
    with Repository.open(repository) as repo:
        newest = commit_versions(repo, [3])[0].hex()
    snap.ok("tag", "pre-migration")

    def hint(*arguments: str) -> str:
        error = snap(*arguments, "--json").error
        assert error["exit_code"] in (2, 20)
        return f"{error['detail']} {error['hint']}"

    for text, guess in (
        ("pre-migratoin", "pre-migration"),
        ("migration", "pre-migration"),
        ("lates", "latest"),
        ("HEAD", "latest"),
        ("HEAD~2", "latest"),
        ("HEAD^", "latest~1"),
        ("pre-migration^^", "pre-migration~2"),
        ("previous", "latest~1"),
    ):
        assert f'Did you mean "{guess}"? See what there is: snap log' in hint("show", text), text
    assert "Did you mean" not in hint("show", "something else")
    short = hint("show", newest[:3])
    assert short.startswith("Of an id at least 4 characters are needed. These begin so: ")
    assert newest[:12] in short
    assert snap.ok("show", newest[:4], "--json").json["id"] == newest
    elsewhere = hint("show", "latest", "--database", "shpo")
    assert 'There are snapshots of shop. Did you mean "shop"?' in elsewhere
    assert 'Did you mean "pre-migration"? List them' in hint("tag", "-d", "pre-migraton")
    section = snap("cat", "latest", "--section", "data order").err
    assert 'Did you mean "data public.orders"?' in section
    rows = ("diff", "latest~1", "latest", "--rows", "--table")
    assert "Did you mean --table public.orders?" in hint(*rows, "public.order")
    assert "Did you mean --oneline?" in hint("log", "--onelin")
    (snap.work / "snap.toml").write_text('repositry = "backups"\n')
    assert 'Did you mean "repository"?' in hint("log")


def test_log_and_tag_take_what_git_takes(snap: CommandLine, repository: Path) -> None:
    for arguments in (["-2"], ["-n", "2"], ["-n2"], ["--limit", "2"]):
        assert len(snap.ok("log", *arguments, "--json").json) == 2, arguments
    assert len(snap.ok("log", "--oneline", "-1").out.splitlines()) == 1
    assert snap("log", "-0").code == 2
    assert snap("log", "--", "-2").code == 2
    assert snap("log", "--database", "-2").code == 0
    snap.ok("tag", "one")
    snap.ok("tag", "-f", "one", "latest~1")
    assert snap.ok("tag", "-d", "one").out.startswith("deleted one")
    assert snap.ok("tag", "--json").json == []


def test_a_commit_with_a_tag_needs_no_message(snap: CommandLine) -> None:
    snap.ok("init", "-q")
    again = snap("commit", "--json").error
    assert again["message"] == "a snapshot needs a message, or a tag"
    assert "snap commit -m" in again["hint"]
    assert snap("commit", "-m", "", "--tag", "one", "--json").error["message"] == (
        "the message is empty"
    )
    assert "snap commit -m" in snap("commit", "some words", "--json").error["hint"]
    dump = snap.work / "dump.sql"
    dump.write_bytes(b"".join(part.text for part in shop(5).parts))
    tags = ("--tag", "one", "--tag", "two")
    snap.ok("commit", *tags, "--file", str(dump), "--database", "shop")
    [entry] = snap.ok("log", "--json").json
    assert (entry["tags"], entry["message"]) == (["one", "two"], "one, two")
