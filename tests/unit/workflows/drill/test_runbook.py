"""Commands in a runbook: which are seen, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.model import Verdict
from pgsnap.workflows.drill.runbook import Grammar, Runbook, check_runbook, commands_in, problem_of

GRAMMAR = Grammar(
    {"restore": frozenset({"--yes", "--to"}), "log": frozenset({"-n"})},
    frozenset({"--repo", "--json", "--help"}),
    frozenset({"--repo"}),
)

TEXT = """
# Back

Run `snap restore latest --yes`, see `docs`; snap frobnicate is no code, `snap` alone no command.

    $ snap log -n 3 | grep "a; b"      # snap nonsense
    sudo -u postgres PGUSER=me /opt/bin/snap log && snap --repo /x restore a

```sh
set -e; pgsnap log --json
echo snap log2
snap restore "a
b"
```
"""


def test_commands_are_those_of_code_up_to_their_ends() -> None:
    assert list(commands_in(TEXT)) == [
        (4, ["restore", "latest", "--yes"]),
        (6, ["log", "-n", "3"]),
        (7, ["log"]),
        (7, ["--repo", "/x", "restore", "a"]),
        (10, ["log", "--json"]),
        (12, ["restore"]),
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("restore latest --to=x --json", ""),
        ("--repo /elsewhere restore latest", ""),
        ("--help", ""),
        ("restore -- --strange", ""),
        ("resotre latest", "there is no command snap resotre"),
        ("restore --force-it", "snap restore has no option --force-it"),
        ("log --yes", "snap log has no option --yes"),
    ],
)
def test_what_this_version_does_not_have_is_told(words: str, problem: str) -> None:
    assert problem_of(words.split(), GRAMMAR) == problem


def test_a_runbook_is_wanted_once_it_is_named_and_must_say_how_to_restore(tmp_path: Path) -> None:
    path = tmp_path / "rollback.md"
    assert check_runbook(Runbook(path)).verdict is Verdict.SKIPPED
    assert check_runbook(Runbook(path, is_required=True)).verdict is Verdict.FAILED
    path.write_text("Look: `snap log`\n")
    outcome = check_runbook(Runbook(path, grammar=GRAMMAR))
    assert (outcome.verdict, "how to restore" in outcome.reason) == (Verdict.FAILED, True)
    path.write_text("Look: `snap log`\n\n    snap restore latest\n")
    assert check_runbook(Runbook(path, grammar=GRAMMAR)).verdict is Verdict.PASSED
    path.write_text("    snap restore latest\n    snap gone\n")
    outcome = check_runbook(Runbook(path, grammar=GRAMMAR))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.details == ("line 2: there is no command snap gone",)
