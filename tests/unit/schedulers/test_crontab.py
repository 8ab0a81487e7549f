from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.schedulers.cron import parse_cron
from pgsnap.schedulers.crontab import block, block_of, with_block, without_block
from pgsnap.schedulers.jobs import Job, Schedule, SchedulerFailed

CONFIG = Path("/srv/a shop/snap.toml")

OTHERS = (
    b"",
    b"MAILTO=me\n",
    b"# mine\r\n0 5 * * * echo \xff\xfe 100\\% >/dev/null\n\n",
    b"* * * * * no line end",
)


def schedule(when: str = "0 2 * * *", config: Path = CONFIG, argument: str = "x") -> Schedule:
    return Schedule(config, (Job("commit", parse_cron(when, "x"), ("/usr/bin/snap", argument)),))


@pytest.mark.parametrize("table", OTHERS)
def test_other_lines_stay_to_the_byte_and_twice_is_once(table: bytes) -> None:
    once = with_block(table, schedule())
    assert once.startswith(table)
    assert with_block(once, schedule()) == once
    changed = with_block(once, schedule("@hourly"))
    assert b"0 * * * * /usr/bin/snap" in changed
    assert b"0 2 * * *" not in changed
    back = without_block(changed, CONFIG)
    assert back == (table if table.endswith(b"\n") or not table else table + b"\n")
    assert without_block(table, CONFIG) == table


def test_the_block_keeps_its_place_among_others() -> None:
    other = schedule(config=Path("/srv/b/snap.toml"))
    table = with_block(with_block(b"# above\n", schedule()) + b"# between\n", other) + b"# below\n"
    changed = with_block(table, schedule("@weekly"))
    assert changed.replace(block(schedule("@weekly")), block(schedule())) == table
    assert block_of(changed, other.config) == block(other)
    assert without_block(changed, CONFIG) == b"# above\n# between\n" + block(other) + b"# below\n"


def test_a_command_is_quoted_for_the_shell_and_for_cron() -> None:
    text = block(schedule(argument="it's 100% $HOME; rm"))
    assert b"""/usr/bin/snap 'it'"'"'s 100\\% $HOME; rm'\n""" in text


def test_a_block_without_its_end_is_left_alone() -> None:
    first = block(schedule()).splitlines(keepends=True)[0]
    table = first + b"0 5 * * * somebody else's\n"
    with pytest.raises(SchedulerFailed) as caught:
        with_block(table, schedule())
    assert "crontab -e" in caught.value.hint


def test_a_name_with_a_line_end_never_reaches_a_crontab() -> None:
    with pytest.raises(UsageError):
        schedule(config=Path("/srv/a\n* * * * * rm/snap.toml"))
    with pytest.raises(UsageError):
        schedule(argument="--database=a\n* * * * * rm")
