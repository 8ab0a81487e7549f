from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pgsnap.alerts.telling import DEFAULT_EVENTS, Event
from pgsnap.cli.config import alerts as alerts_table
from pgsnap.cli.config import schedule as schedule_table
from pgsnap.cli.config.settings import GlobalOptions, Settings, load_settings
from pgsnap.errors import UsageError
from pgsnap.schedulers import jobs


def settings(folder: Path, toml: str) -> Settings:
    (folder / "snap.toml").write_text(toml)
    return load_settings(GlobalOptions(), {}, folder)


def test_the_names_of_jobs_and_events_are_those_of_the_rooms_that_do_them() -> None:
    assert schedule_table.JOBS == alerts_table.JOBS == jobs.JOBS
    assert set(alerts_table.EVENTS) == set(Event)


def test_a_schedule_is_read_with_its_times_in_five_fields(tmp_path: Path) -> None:
    toml = (
        '[schedule]\ncommit = "@daily"\ngc = "0  4 * * SUN"\n'
        'commit_options = ["--skip-unchanged"]\n'
        'all_databases = true\non_overlap = "wait"\nscheduler = "cron"\n'
    )
    table = settings(tmp_path, toml).schedule
    assert table is not None
    assert table.times() == {"commit": "0 0 * * *", "gc": "0 4 * * sun"}
    assert table.options("commit") == ("--skip-unchanged",)
    assert (table.all_databases, table.on_overlap, table.scheduler) == (True, "wait", "cron")


def test_alerts_may_keep_their_secrets_in_files(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example/s3cret\n")
    (tmp_path / "ping").write_text("https://hc.example/gc\n")
    (tmp_path / "apprise").write_text("mailto://a\nntfy://b\n")
    toml = (
        '[alerts]\nping_url = "https://hc.example/commit"\nping_url_file = {gc = "ping"}\n'
        'webhook_file = "hook"\napprise = "json://x"\napprise_file = "apprise"\n'
        'metrics_file = "snap.prom"\n'
    )
    table = settings(tmp_path, toml).alerts
    assert table is not None
    assert "example" not in repr(table)
    found = table.resolved()
    assert found.ping_urls == {"commit": "https://hc.example/commit", "gc": "https://hc.example/gc"}
    assert found.webhook == "https://hooks.example/s3cret"
    assert found.apprise == ("json://x", "mailto://a", "ntfy://b")
    assert found.metrics_file == tmp_path / "snap.prom"
    assert found.events == DEFAULT_EVENTS
    (tmp_path / "hook").write_text("s3cret")
    with pytest.raises(UsageError, match="must be a URL") as caught:
        table.resolved()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "words", "hint"),
    [
        ('[schedule]\ncomit = "@daily"', 'unknown key "comit"', '"commit"'),
        ('[schedule]\ncommit = "daily"', "not a time in cron's syntax", "@daily"),
        ('[schedule]\non_overlap = "stop"', '"wait" or "skip"', ""),
        ("[schedule]\nall_databases = 1", "must be true or false", ""),
        ('[schedule]\ngc_options = "--dry-run"', "must be a list of texts", ""),
        ('[schedule]\nrepository = "x"', 'unknown key "repository"', "above [schedule]"),
        ("schedule = 1", "must be a table: [schedule]", ""),
        ('[alerts]\nwebook = "https://x"', 'unknown key "webook"', '"webhook"'),
        ('[alerts]\nwebhook = "file:///etc/passwd"', "must be a URL that begins with https", ""),
        ('[alerts]\nping_url = {comit = "https://x"}', 'unknown key "comit"', '"commit"'),
        ('[alerts]\non = ["failed"]', '"failure"', ""),
        ('[alerts]\nwebhook = "https://x"\nwebhook_file = "y"', "has both", ""),
        ('[alerts]\nping_url = "https://x"\nping_url_file = "y"', 'two ping URLs for "commit"', ""),
    ],
)
def test_what_is_wrong_in_a_table_is_named(
    tmp_path: Path, toml: str, words: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, toml + "\n")
    assert words in caught.value.message
    assert hint in caught.value.hint


SECRET_FILES = [
    name for name in alerts_table.ALERTS_KEYS if name.endswith("_file") and name != "metrics_file"
]


def test_every_key_with_a_secret_can_name_a_file_instead() -> None:
    fields = dataclasses.fields(alerts_table.AlertsTable)
    secrets = {field.name for field in fields if not field.repr}
    assert {f"{name}_file" for name in secrets} == set(SECRET_FILES)


@pytest.mark.parametrize("key", SECRET_FILES)
@pytest.mark.parametrize(
    "secret",
    [
        "https://hooks.example/services/s3cret",
        "hooks.example/services/s3cret",
        "mailto://user:s3cret@host",
        "~s3cret/x",
        "s3cret",
        "s3cret/" * 60,
        "s3cret\\u0000",
        "-----BEGIN KEY-----\\ns3cret",
    ],
)
def test_a_secret_in_place_of_the_name_of_its_file_is_not_shown(
    tmp_path: Path, key: str, secret: str
) -> None:
    def resolve() -> None:
        table = settings(tmp_path, f'[alerts]\n{key} = "{secret}"\n').alerts
        assert table is not None
        table.resolved()

    with pytest.raises(UsageError) as caught:
        resolve()
    error = caught.value
    assert "s3cret" not in "".join((error.message, error.detail, error.hint))
    assert f'"{key}"' in error.message


@pytest.mark.parametrize(
    "toml",
    [
        'repository = "https://s3cret@host/x"',
        'runbook = "https://host/s3cret"',
        '[alerts]\nmetrics_file = "https://host/s3cret"',
        '[alerts]\n"https://host/s3cret" = "commit"',
        '[alerts]\nping_url = {"https://host/s3cret" = "commit"}',
        '"https://host/s3cret" = "x"',
    ],
)
def test_a_url_where_none_can_stand_is_not_shown(tmp_path: Path, toml: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, toml + "\n")
    error = caught.value
    assert "s3cret" not in "".join((error.message, error.detail, error.hint))
