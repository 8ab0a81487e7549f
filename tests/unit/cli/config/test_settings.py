from __future__ import annotations

import os
import tomllib
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.cli.config.file import find_config, load_config
from pgsnap.cli.config.retention import RETENTION_KEYS, RULES, RetentionTable
from pgsnap.cli.config.settings import GlobalOptions, Settings, load_settings
from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.cli.config.template import config_template
from pgsnap.errors import UsageError
from pgsnap.limits import FORGOTTEN_GRACE_SECONDS
from pgsnap.workflows.retention.policy import RETIRE_AFTER, Policy


def settings(
    folder: Path, toml: str | None = None, environ: dict[str, str] | None = None, **given: str
) -> Settings:
    if toml is not None:
        (folder / "snap.toml").write_text(toml)
    return load_settings(GlobalOptions(**given), environ or {}, folder)  # type: ignore[arg-type]


def test_without_anything_the_repository_is_in_the_working_folder(tmp_path: Path) -> None:
    assert settings(tmp_path).repository == tmp_path / "database" / "backups"
    assert settings(tmp_path).lock_timeout == 600
    assert settings(tmp_path).safety_snapshot is True


def test_snap_toml_is_found_in_a_parent_and_its_paths_start_there(tmp_path: Path) -> None:
    (tmp_path / "snap.toml").write_text('repository = "store"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = settings(below)
    assert found.repository == tmp_path / "store"
    assert found.config_path == tmp_path / "snap.toml"


def test_the_default_repository_is_beside_snap_toml(tmp_path: Path) -> None:
    (tmp_path / "snap.toml").write_text("")
    (tmp_path / "a").mkdir()
    assert settings(tmp_path / "a").repository == tmp_path / "database" / "backups"


def test_flags_beat_environment_beats_file(tmp_path: Path) -> None:
    toml = 'repository = "/file"\ndsn = "dbname=file"\nlock_timeout = "1s"\ndatabase = "file"\n'
    environ = {"SNAP_REPO": "/environ", "DATABASE_URL": "postgresql:///environ"}
    from_file = settings(tmp_path, toml)
    assert (from_file.repository, from_file.dsn) == (Path("/file"), "dbname=file")
    assert (from_file.lock_timeout, from_file.database) == (1.0, "file")
    from_environ = settings(tmp_path, toml, environ)
    assert (from_environ.repository, from_environ.dsn) == (
        Path("/environ"),
        "postgresql:///environ",
    )
    from_flags = settings(
        tmp_path, toml, environ, repo="/flag", dsn="dbname=flag", database="flag", lock_timeout="2s"
    )
    assert (from_flags.repository, from_flags.dsn) == (Path("/flag"), "dbname=flag")
    assert (from_flags.lock_timeout, from_flags.database) == (2.0, "flag")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    found = settings(tmp_path, None, {"SNAP_REPO": "", "DATABASE_URL": " "})
    assert found.repository == tmp_path / "database" / "backups"
    assert found.dsn is None


def test_an_unknown_key_is_told_with_file_and_nearest_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, 'repositry = "x"\n')
    assert "repositry" in caught.value.message
    assert str(tmp_path / "snap.toml") in caught.value.message
    assert '"repository"' in caught.value.hint


def test_remotes_are_read_with_a_retention_of_their_own(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        'push = ["offsite"]\n[remotes.offsite]\nurl = "s3://bucket/shop"\n'
        'bandwidth = "2.5 MiB/s"\n'
        '[remotes.offsite.retention]\nlast = 9\n[remotes.disk]\nurl = "copy"\n',
    )
    assert found.push == ("offsite",)
    assert found.remotes is not None
    assert [(name, one.url) for name, one in found.remotes.items()] == [
        ("offsite", "s3://bucket/shop"),
        ("disk", tmp_path / "copy"),
    ]
    assert found.remotes["offsite"].retention is not None
    assert found.remotes["offsite"].retention.last == 9
    assert found.remotes["disk"].retention is None
    assert found.remotes["offsite"].bandwidth == 2.5 * 1024 * 1024
    assert found.remotes["disk"].bandwidth is None


@pytest.mark.parametrize(
    "toml",
    [
        "repository = 1",
        'repository = ""',
        'safety_snapshot = "yes"',
        'client = "libpq"',
        "lock_timeout = true",
        'lock_wait_timeout = "soon"',
        'container = ""',
        'engine = "lxc"',
        'repository = "s3://key:secret@bucket/x"',
        "remotes = 1",
        "remotes.offsite = {}",
        'remotes.offsite.url = "https://host/x"',
        'remotes.-x = {url = "s3://bucket/x"}',
        "remotes.offsite.retentoin = 1",
        'remotes.offsite = {url = "s3://bucket/x", bandwidth = "fast"}',
        'remotes.offsite = {url = "s3://bucket/x", bandwidth = "10 MB"}',
        'remotes.offsite = {url = "s3://bucket/x", bandwidth = "10 zB/s"}',
        'remotes.offsite = {url = "s3://bucket/x", bandwidth = "900 B/s"}',
        'remotes.offsite = {url = "s3://bucket/x", bandwidth = 10}',
        'remotes.offsite = {url = "copy", bandwidth = "10 MB/s"}',
        'remotes.offsite = {url = "file:///copy", bandwidth = "10 MB/s"}',
        'push = "offsite"',
        'repository = "~nobody-of-this-name/x"',
        'alerts.webhook_file = "~nobody-of-this-name/x"',
        'alerts.ping_url_file = "~nobody-of-this-name/x"',
        'alerts.metrics_file = "a\\u0000b"',
    ],
)
def test_a_wrong_value_names_file_and_key(tmp_path: Path, toml: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, toml + "\n")
    assert str(tmp_path / "snap.toml") in caught.value.message
    assert toml.split(" ")[0].rpartition(".")[2] in caught.value.message


def test_broken_toml_names_the_file_and_the_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, "repository = \n")
    assert "snap.toml" in caught.value.message
    assert "line 1" in caught.value.detail


def test_a_named_config_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        settings(tmp_path, None, None, config="elsewhere.toml")


@pytest.mark.parametrize("option", ["repo", "dsn", "database"])
def test_an_empty_option_is_refused_rather_than_ignored(tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option} is empty"):
        settings(tmp_path, None, None, **{option: " "})


def test_a_repository_may_be_a_url_but_not_one_with_a_password(tmp_path: Path) -> None:
    found = settings(tmp_path, None, {"SNAP_REPO": "sftp://me@host/x/"})
    assert found.repository == "sftp://me@host/x"
    with pytest.raises(
        UsageError, match="SNAP_REPO: a repository's URL must not hold credentials"
    ) as caught:
        settings(tmp_path, None, {"SNAP_REPO": "sftp://me:secret@host/x"})
    assert "secret" not in f"{caught.value.message} {caught.value.detail} {caught.value.hint}"


def test_a_snap_toml_that_everybody_may_write_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "snap.toml"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(UsageError, match="not trusted"):
        find_config(tmp_path)
    assert load_settings(GlobalOptions(config=str(path)), {}, tmp_path).config_path == path


def test_a_snap_toml_of_another_user_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "snap.toml"
    path.write_text("")
    if os.getuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UsageError, match="not trusted"):
        find_config(tmp_path)


def test_the_template_loads_as_it_is_and_with_every_line_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "snap.toml"
    path.write_text(config_template({"repository": 'odd "name"\\x'}))
    assert load_config(path).repository == tmp_path / 'odd "name"\\x'
    lines = config_template({}).splitlines()
    heads = (
        "# [retention]",
        "# [schedule]",
        "# [drill]",
        "# [alerts]",
        "# [hooks]",
        "# [remotes.offsite]",
    )
    settable = [
        line.removeprefix("# ")
        for line in lines
        if line.startswith("# ") and (" = " in line or line in heads)
    ]
    path.write_text("\n".join(settable))
    load_config(path)
    found = tomllib.loads(path.read_text())
    assert found.keys() == set(KEYS)
    assert found["retention"].keys() == set(RETENTION_KEYS)


@pytest.mark.parametrize("key", [key for key in KEYS if not KEYS[key].default])
def test_the_template_shows_the_default_of_a_key(tmp_path: Path, key: str) -> None:
    path = tmp_path / "snap.toml"
    path.write_text(f"{key} = {KEYS[key].shown}\n")
    assert getattr(load_config(path), key) == getattr(ConfigFile(), key)


def test_the_template_shows_how_long_what_is_dropped_and_a_silent_server_count(
    tmp_path: Path,
) -> None:
    shown = "".join(f"{key} = {RETENTION_KEYS[key].shown}\n" for key in ("grace", "retire_after"))
    table = settings(tmp_path, f"[retention]\n{shown}").retention
    assert table is not None
    assert table.grace == timedelta(seconds=FORGOTTEN_GRACE_SECONDS)
    assert table.retire_after == RETIRE_AFTER


def test_the_rules_of_the_table_are_those_of_a_policy() -> None:
    assert {field.name for field in fields(Policy)} == {*RULES, "retire_after"}
    options = {key.option.name for key in RETENTION_KEYS.values() if key.option is not None}
    assert options == {*(f"--keep-{rule.removesuffix('s')}" for rule in RULES), "--grace"}
    table = RetentionTable(last=0, within=RETIRE_AFTER, tags=())
    assert table.rules() == {"last": 0, "within": RETIRE_AFTER}


def test_the_folder_of_programs_is_that_of_the_environment_before_that_of_the_file(
    tmp_path: Path,
) -> None:
    assert settings(tmp_path).bindirs == ()
    from_file = settings(tmp_path, 'bindir = "bin"\n')
    assert from_file.bindirs == (tmp_path / "bin",)
    assert from_file.bindirs_from.startswith('"bindir" in ')
    both = settings(tmp_path, environ={"SNAP_PG_BINDIR": "/one/bin:/two/bin"})
    assert both.bindirs == (Path("/one/bin"), Path("/two/bin"))
    assert both.bindirs_from == "SNAP_PG_BINDIR"
