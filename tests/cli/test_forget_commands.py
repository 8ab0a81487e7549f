"""`snap forget`, `snap unforget`, `snap log --forgotten`, and the table [retention]."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.cli.commands.retention_options import chosen_grace, chosen_policy
from pgsnap.cli.config.file import load_config
from pgsnap.cli.config.retention import RETENTION_KEYS
from pgsnap.cli.config.settings import GlobalOptions, load_settings
from pgsnap.errors import UsageError
from pgsnap.model import Note
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.policy import DEFAULT_POLICY, Policy
from support.documents import documentation
from support.dumps.scripted import shop
from support.repositories.made import day, record
from support.running.commandline import CommandLine


@pytest.fixture
def ids(snap: CommandLine) -> list[str]:
    """Make a repository of three snapshots, oldest first, the first of them tagged."""
    snap.ok("init")
    with Repository.open(snap.work / "database" / "backups") as repo:
        return [
            record(
                repo, shop(5 + number), at=day(number), message=f"day {number}", tags=tags
            ).snapshot_id.hex()
            for number, tags in ((1, ("v1", "a_b'c")), (2, ()), (3, ()))
        ]


def listed(snap: CommandLine, *more: str) -> list[str]:
    return [one["id"] for one in snap.ok("log", "--json", *more).json]


def test_forget_hides_a_snapshot_and_unforget_brings_it_back(
    snap: CommandLine, ids: list[str]
) -> None:
    done = snap.ok("forget", ids[1][:8])
    assert done.out.startswith(f"forgot {ids[1][:12]}  shop  ")
    assert f"snap unforget {ids[1][:12]}" in done.err
    assert listed(snap) == [ids[2], ids[0]]
    (one,) = snap.ok("log", "--forgotten", "--json").json
    since, until = (datetime.fromisoformat(one[key]) for key in ("since", "until"))
    assert until - since == timedelta(days=7)
    assert "can be brought back until" in snap.ok("log", "--forgotten").out
    assert ids[1][:12] in snap.ok("log", "--forgotten", "--oneline").out
    assert listed(snap, "--forgotten", "--database", "blog") == []
    refused = snap("show", ids[1])
    assert refused.code == 20
    assert f"snap unforget {ids[1][:12]}" in refused.err
    assert snap.ok("unforget", ids[1][:6]).out.startswith(f"brought back {ids[1][:12]}")
    assert listed(snap) == ids[::-1]
    assert "nothing is forgotten" in snap.ok("log", "--forgotten").err


def test_what_cannot_be_unforgotten_is_told_with_what_can(
    snap: CommandLine, ids: list[str]
) -> None:
    assert "Nothing is forgotten." in snap("unforget", "00000000").err
    assert "is not forgotten" in snap("unforget", ids[1]).err
    (snap.work / "snap.toml").write_text('[retention]\ngrace = "36h"\n')
    snap.ok("forget", ids[1])
    for name in ("00000000", "v1", "latest"):
        wrong = snap("unforget", name)
        assert wrong.code == 20
        assert f"Forgotten: {ids[1][:12]} (can be brought back until " in wrong.err
    (one,) = snap.ok("log", "--forgotten", "--json").json
    since, until = (datetime.fromisoformat(one[key]) for key in ("since", "until"))
    assert until - since == timedelta(hours=36)


def test_a_tagged_snapshot_is_forgotten_only_by_force(snap: CommandLine, ids: list[str]) -> None:
    refused = snap("forget", ids[1], "v1")
    assert refused.code == 10
    for command in ("snap tag --delete v1", "snap tag --delete 'a_b'\"'\"'c'", "--force"):
        assert command in refused.err
    assert listed(snap) == ids[::-1], "all of them, or none"
    done = snap.ok("forget", "--force", "v1", "--json").json
    assert [one["tags"] for one in done["forgotten"]] == [["a_b'c", "v1"]]
    assert snap.ok("tag", "--json").json == []
    assert listed(snap) == [ids[2], ids[1]]


def test_the_last_and_the_newest_verified_are_forgotten_only_by_force(
    snap: CommandLine, ids: list[str]
) -> None:
    snap.ok("tag", "--delete", "v1")
    snap.ok("tag", "--delete", "a_b'c")
    refused = snap("forget", *ids)
    assert refused.code == 10
    assert "no snapshot left" in refused.err
    with Repository.open(snap.work / "database" / "backups") as repo:
        body = {"by": "verify", "data": True, "findings": 0}
        now = datetime.now(UTC)
        repo.add_note(Note("verdict", "shop", now, bytes.fromhex(ids[0]), body))
    refused = snap("forget", ids[0])
    assert refused.code == 10
    assert "newest verified" in refused.err
    assert f"snap forget --force {ids[0][:12]}" in refused.err
    assert listed(snap) == ids[::-1]
    snap.ok("forget", "--force", *ids)
    assert listed(snap) == []


def test_json_fields_are_those_documented(snap: CommandLine, ids: list[str]) -> None:
    done = documentation.field_names(snap.ok("forget", ids[1], "--json").json)
    assert [done] == documentation.fields(documentation.section("snap forget"))
    shown = documentation.field_names(snap.ok("log", "--forgotten", "--json").json)
    assert [shown] == documentation.fields(documentation.section("snap log"))[1:2]
    back = documentation.field_names(snap.ok("unforget", ids[1], "--json").json)
    assert [back] == documentation.fields(documentation.section("snap unforget"))


def test_keys_of_the_table_are_those_documented() -> None:
    section = documentation.section("Retention")
    [rows] = documentation.tables(section, "key of `[retention]`")
    written = {word for row in rows for word in row[0].replace("`", "").split(", ")}
    assert written == set(RETENTION_KEYS)


def policy_of(folder: Path, toml: str, **flags: object) -> Policy:
    (folder / "snap.toml").write_text(toml)
    settings = load_settings(GlobalOptions(), {}, folder)
    return chosen_policy(settings, **flags)  # type: ignore[arg-type]


def test_flags_replace_the_policy_of_the_file_as_a_whole(tmp_path: Path) -> None:
    toml = '[retention]\nlast = 3\nweekly = 4\nwithin = "2w"\ntags = ["pre-*"]\ngrace = "1d"\n'
    whole = Policy(last=3, weekly=4, within=timedelta(weeks=2), tags=("pre-*",))
    assert policy_of(tmp_path, toml) == whole
    assert policy_of(tmp_path, toml, daily=2) == Policy(daily=2)
    assert policy_of(tmp_path, toml, tags=["v*"]) == Policy(tags=("v*",))
    assert policy_of(tmp_path, toml, within="36h") == Policy(within=timedelta(hours=36))
    assert policy_of(tmp_path, '[retention]\ngrace = "1d"\ntags = []\n') == DEFAULT_POLICY
    assert policy_of(tmp_path, "") == DEFAULT_POLICY == Policy(last=7)
    for flags in ({"last": 0}, {"within": "0s"}, {"tags": [""]}, {"within": "a while"}):
        with pytest.raises(UsageError):
            policy_of(tmp_path, toml, **flags)
    with pytest.raises(UsageError, match="keeps nothing"):
        policy_of(tmp_path, "[retention]\nlast = 0\n")


def test_the_grace_period_is_the_flags_then_the_files_then_a_week(tmp_path: Path) -> None:
    (tmp_path / "snap.toml").write_text('[retention]\ngrace = "0s"\n')
    settings = load_settings(GlobalOptions(), {}, tmp_path)
    assert chosen_grace(settings, "2d") == timedelta(days=2)
    assert chosen_grace(settings) == timedelta()
    (tmp_path / "snap.toml").write_text("")
    assert chosen_grace(load_settings(GlobalOptions(), {}, tmp_path)) == timedelta(days=7)
    with pytest.raises(UsageError, match="too long"):
        chosen_grace(settings, "9" * 20 + "d")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("retention = 7", "must be a table"),
        ("[retention]\nlst = 7", 'unknown key "lst"'),
        ("[retention]\nlast = -1", "0 or more"),
        ("[retention]\nlast = true", "0 or more"),
        ('[retention]\nlast = "7"', "0 or more"),
        ("[retention]\nwithin = 30", "in quotes"),
        ('[retention]\nwithin = "30 moons"', "not a duration"),
        ('[retention]\ntags = "pre-*"', "list of patterns"),
        ('[retention]\ntags = [""]', "list of patterns"),
    ],
)
def test_what_is_wrong_in_the_table_is_told(tmp_path: Path, toml: str, words: str) -> None:
    path = tmp_path / "snap.toml"
    path.write_text(toml)
    with pytest.raises(UsageError, match=words):
        load_config(path)


def test_an_unknown_key_of_the_table_names_the_nearest_or_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "snap.toml"
    path.write_text("[retention]\nweeklyy = 7")
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert '"weekly"' in caught.value.hint
    path.write_text('[retention]\nlast = 7\nrepository = "x"')
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert "above [retention]" in caught.value.hint
