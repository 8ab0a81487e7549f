from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pgsnap import __version__
from pgsnap.cli.app import command
from pgsnap.cli.commands import GROUPS
from support.running.commandline import SOURCE, CommandLine


def test_global_options_work_before_and_after_the_command(snap: CommandLine) -> None:
    assert snap.ok("--json", "--repo", "a", "init").json["repository"] == str(snap.work / "a")
    assert snap.ok("init", "--json", "--repo", "b").json["repository"] == str(snap.work / "b")


def test_of_an_option_given_twice_the_later_one_wins(snap: CommandLine) -> None:
    made = snap.ok("--repo", "a", "init", "--repo", "b", "--json").json["repository"]
    assert made == str(snap.work / "b")
    assert not (snap.work / "a").exists()


def test_quiet_and_verbose_beat_each_other_by_order(snap: CommandLine) -> None:
    assert "next:" in snap.ok("-q", "init", "-v").out
    snap.ok("init", "other")
    assert "next:" not in snap.ok("-v", "init", "third", "-q").out


@pytest.mark.parametrize("arguments", [["--version"], ["-q", "--version"], ["log", "--version"]])
def test_the_version_is_told_wherever_it_is_asked_for(
    snap: CommandLine, arguments: list[str]
) -> None:
    assert snap.ok(*arguments).out == f"snap {__version__}\n"


def test_version_alone_imports_nothing_but_the_package_itself(snap: CommandLine) -> None:
    code = "import sys; from pgsnap.cli import main; main(['--version']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "typer" not in loaded
    assert "pgsnap.cli.boundary" not in loaded


def test_the_environment_names_the_repository_and_the_flag_beats_it(snap: CommandLine) -> None:
    snap.setenv("SNAP_REPO", str(snap.work / "from-environment"))
    assert snap.ok("init", "--json").json["repository"].endswith("from-environment")
    assert snap.ok("init", "--json", "--repo", "flag").json["repository"].endswith("flag")


def test_an_unknown_option_is_told_with_the_nearest_one(snap: CommandLine) -> None:
    result = snap("log", "--databse", "x")
    assert result.code == 2
    assert 'snap: error: unknown option "--databse"' in result.err
    assert "--database" in result.err


def test_an_unknown_command_is_told_with_the_nearest_one(snap: CommandLine) -> None:
    result = snap("comit", "-m", "x")
    assert result.code == 2
    assert result.err.count('Did you mean "commit"?') == 1


def test_json_turns_errors_of_the_command_line_into_json_too(snap: CommandLine) -> None:
    error = snap("log", "--json", "--nope").error
    assert error["kind"] == "usage"
    assert error["exit_code"] == 2


def test_json_after_two_dashes_is_not_an_option(snap: CommandLine) -> None:
    result = snap("help", "--", "--json", "x")
    assert result.code == 2
    assert result.err.startswith("snap: error:")


def test_a_value_that_looks_like_json_does_not_turn_it_on(snap: CommandLine) -> None:
    result = snap("commit", "-m", "--json")
    assert result.code == 10
    assert result.err.startswith("snap: error:")


def test_without_a_command_the_help_is_shown_with_exit_code_2(snap: CommandLine) -> None:
    result = snap()
    assert result.code == 2
    assert "Go back:" in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("toml", "word"),
    [("repositry = 'x'", "repositry"), ("[retention]\nkeep_last = 3", "retention")],
)
def test_a_wrong_snap_toml_is_a_usage_error_of_every_command(
    snap: CommandLine, toml: str, word: str
) -> None:
    (snap.work / "snap.toml").write_text(toml + "\n")
    result = snap("log")
    assert result.code == 2
    assert word in result.err
    assert "snap.toml" in result.err


def test_help_needs_no_sound_snap_toml(snap: CommandLine) -> None:
    (snap.work / "snap.toml").write_text("broken")
    assert "Usage: snap commit" in snap.ok("help", "commit").out
    assert "Usage: snap commit" in snap.ok("commit", "--help").out
    assert "Usage: snap commit" in snap.ok("commit", "-h").out


def test_config_names_another_file_and_its_folder_counts(snap: CommandLine) -> None:
    other = snap.work / "other"
    other.mkdir()
    (other / "mine.toml").write_text("repository = 'store'\n")
    made = snap.ok("init", "--config", "other/mine.toml", "--json").json
    assert made["repository"] == str(other / "store")
    assert made["config"] == str(other / "mine.toml")
    assert made["config_created"] is False


def test_completion_answers_a_shell(snap: CommandLine) -> None:
    snap.setenv("_SNAP_COMPLETE", "complete_bash")
    snap.setenv("COMP_WORDS", "snap comm")
    snap.setenv("COMP_CWORD", "1")
    assert snap.process().out.split() == ["commit"]


def test_every_help_names_the_page_of_global_options_and_shows_examples(snap: CommandLine) -> None:
    page = snap.ok("help", "options").out
    assert page.startswith("Global options:\n  --repo ")
    for name in command().commands:
        text = snap.ok("help", name).out
        assert text.endswith("\nOptions of every command:\n  snap help options\n")
        assert "--no-progress" not in text
        assert f"Examples:\n  snap {name}" in text or "\n  " in text.split("Examples:")[1]


def test_the_list_of_commands_has_the_first_sentence_of_each_help() -> None:
    group = command()
    shown = {name: text for named in GROUPS.values() for name, text in named.items()}
    helps = {name: group.get_command(click.Context(group), name) for name in group.commands}
    assert shown == {name: made.get_short_help_str(200) for name, made in helps.items() if made}
