"""env_file: a file of variables, as frameworks read it, names the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cli.config.settings import dsn_of_file
from pgsnap.errors import SnapError, UntrustedPath, UsageError
from support.running.commandline import CommandLine
from support.servers.databases import Database


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / ".env"
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def dsn(folder: Path, text: str, **environ: str) -> str:
    return dsn_of_file(written(folder, text), '"env_file" in snap.toml', environ)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DATABASE_URL=postgresql://h/a\n", "postgresql://h/a"),
        ("\ufeffexport DATABASE_URL = 'postgresql://h/a'\r\n", "postgresql://h/a"),
        ('X="one\ntwo=3"\nDATABASE_URL="postgresql://h/a" # mine\n', "postgresql://h/a"),
        ("DATABASE_URL=postgresql://h/a # mine", "postgresql://h/a"),
        ("DATABASE_URL=postgresql://u:p#q@h/a", "postgresql://u:p#q@h/a"),
        ("DATABASE_URL=`postgresql://u:'p'@h/a`", "postgresql://u:'p'@h/a"),
        ("#DATABASE_URL=no\nDATABASE_URL=one\nDATABASE_URL=two", "two"),
        ("U=app\nP=x\nDATABASE_URL=postgresql://${U}:${P}@${H:-h}/a", "postgresql://app:x@h/a"),
        ("DATABASE_URL='postgresql://${U}@h/a'", "postgresql://${U}@h/a"),
        (r'DATABASE_URL="postgresql://u:a\$b\"c$d@h/a"', 'postgresql://u:a$b"c$d@h/a'),
        ("DATABASE_URL=\nPGHOST=h\nPGPORT=5\nPGUSER=\nOTHER=x", "host='h' port='5'"),
        (r"PGDATABASE=shop" + "\nPGPASSWORD='it''s'", None),
        ('PGDATABASE=shop\nPGPASSWORD="a\'b\\\\c"', r"dbname='shop' password='a\'b\\c'"),
    ],
)
def test_a_file_is_read_as_frameworks_read_it(
    tmp_path: Path, text: str, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="PGPASSWORD in line 2"):
            dsn(tmp_path, text)
    else:
        assert dsn(tmp_path, text) == expected


def test_the_environment_goes_before_the_file_in_what_a_value_is_made_of(tmp_path: Path) -> None:
    assert dsn(tmp_path, "U=a\nDATABASE_URL=postgresql://${U}@h/x", U="b") == "postgresql://b@h/x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no database"),
        ("OTHER=1", "names no database"),
        ('DATABASE_URL="s3cret', "DATABASE_URL in line 1"),
        ("\nDATABASE_URL=s3cret${MISSING}", "DATABASE_URL in line 2"),
        ("DATABASE_URL=${DATABASE_URL}", "DATABASE_URL in line 1"),
        ("A=${B}\nB=${A}\nDATABASE_URL=${A}", "B in line 2"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_without_showing_it(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        dsn(tmp_path, text)
    shown = f"{caught.value.message} {caught.value.detail} {caught.value.hint}"
    assert "s3cret" not in shown
    assert caught.value.hint


def test_a_file_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    for path, kind in ((written(tmp_path, "", 0o644), UntrustedPath), (tmp_path, UsageError)):
        with pytest.raises(kind) as caught:
            dsn_of_file(path, '"env_file" in snap.toml', {})
        assert isinstance(caught.value, SnapError)


def test_commands_take_the_database_of_the_file_and_only_those_need_it(
    snap: CommandLine, sample_database: Database
) -> None:
    snap.ok("init")
    config = snap.work / "snap.toml"
    config.write_text('env_file = ".env"\ndsn = "host=/nowhere"\n' + config.read_text())
    deeper = snap.work / "app"
    deeper.mkdir()
    # Not there yet: what needs no database works.
    assert snap.ok("log", "--json").json == []
    error = snap("commit", "-m", "x", "--json").error
    assert (error["exit_code"], ".env" in error["message"]) == (2, True)
    written(snap.work, f'DATABASE_URL="{sample_database.dsn}"\n', 0o644)
    error = snap("commit", "-m", "x", "--json").error
    assert (error["exit_code"], error["hint"][:10]) == (10, "Close it: ")
    written(snap.work, f"DATABASE_URL='{sample_database.dsn}'\n")
    done = snap.at(deeper, "commit", "--tag", "one", "--json").json
    assert done["database"] == sample_database.name
    assert snap.at(deeper, "diff", "one", "--exit-code").code == 0
    steps = {step["name"]: step for step in snap("doctor", "--json").json["steps"]}
    assert steps["server"]["health"] != "red"
    # What the environment names is meant, whatever stands in the file.
    for name, value in (("DATABASE_URL", "postgresql://h.invalid/x"), ("PGHOST", "h.invalid")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            error = snap("commit", "-m", "x", "--json").error
            assert error["kind"] == "connection", name
    error = snap("commit", "-m", "x", "--dsn", "host=h.invalid", "--json").error
    assert error["kind"] == "connection"
