"""A short history of commits in a small repository, and the check that none of it is lost.

The moments at which it is killed or the power is cut are chosen by the tests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pgsnap.errors import SnapError
from pgsnap.repository.index.connection import IndexDamaged
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, dump, rows, table, texts
from support.repositories.made import record

TABLES = 3
PACK_BYTES = 12_000
"""So small that a commit makes several packs."""
LATER = 90
"""The state that is committed after a fault, to see that this works."""


def state(number: int) -> Dump:
    """Return the n-th state of a database: some tables change, some do not."""
    return dump(
        *(
            table("public", f"t{place}", rows(700, seed=number if place == number % TABLES else 0))
            for place in range(TABLES)
        ),
        table("public", "counter", [b"%d\tcommit" % number]),
    )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Repository]:
    with Repository.open(path, lock_timeout_seconds=20) as repo:
        yield repo


def commit_state(path: Path, number: int) -> None:
    """Commit the n-th state, tagged with its number and as the one that "moving" names."""
    with opened(path) as repo:
        record(
            repo, state(number), message=str(number), tags=(f"n{number}", "moving"), force_tags=True
        )


def play(path: Path, first: int, last: int, mark: Callable[[str], None]) -> None:
    """Commit the states *first* to *last*; *mark* hears of each commit that returned."""
    for number in range(first, last + 1):
        commit_state(path, number)
        mark(str(number))


def check(path: Path, returned: set[int]) -> set[int]:
    """Check that every commit of *returned* is there with its tag, and that every snapshot that
    can be seen reads back byte for byte. Return the numbers of those seen."""
    seen = set()
    with opened(path) as repo:
        names = {tag.name: tag.snapshot for tag in repo.tags.all("shop")}
        for snapshot in repo.newest("shop"):
            number = int(repo.snapshot(snapshot).message)
            seen.add(number)
            assert texts(repo, snapshot) == state(number).texts
        for number in returned:
            # A state may be there twice: killed after its commit point, then committed again.
            assert repo.snapshot(names[f"n{number}"]).message == str(number)
        assert set(names.values()) <= set(repo.newest("shop"))
    assert returned <= seen, f"lost: {sorted(returned - seen)}"
    return seen


def check_and_go_on(path: Path, returned: set[int]) -> None:
    """Check, commit once more, check again, and find nothing that a dead writer left."""
    patient(lambda: check(path, returned))
    patient(lambda: commit_state(path, LATER))
    assert LATER in check(path, returned)
    assert list((path / "tmp").iterdir()) == []


def use_torn_index(path: Path) -> set[int]:
    """Read and commit with an index that is torn where SQLite cannot see it, then delete it.

    Errors there may be, wrong bytes never. Return the state that was committed, if it was.
    """
    with contextlib.suppress(SnapError), opened(path) as repo:
        for snapshot in repo.newest("shop"):
            with contextlib.suppress(SnapError):
                number = int(repo.snapshot(snapshot).message)
                assert texts(repo, snapshot) == state(number).texts
    returned = set()
    with contextlib.suppress(SnapError):
        commit_state(path, LATER)
        returned.add(LATER)
    for file in path.glob("index.sqlite*"):
        file.unlink()
    return returned


def patient(task: Callable[[], object]) -> None:
    """Do *task*, and once more where the index was found damaged: the first try puts it aside."""
    try:
        task()
    except IndexDamaged:
        task()
