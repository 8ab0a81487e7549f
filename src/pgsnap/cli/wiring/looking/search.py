"""A search for the first snapshot in which an answer changed: its marks, and running it."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

from pgsnap.cli.text import render
from pgsnap.cli.views.searches.bisect import bisect_fields, bisect_lines
from pgsnap.cli.wiring.connect import open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.looking.asking import Answer, Asking, ByCommand, BySql, Question
from pgsnap.cli.wiring.looking.servers import Servers
from pgsnap.cli.wiring.user_folders import state_folder
from pgsnap.errors import SnapError, UsageError
from pgsnap.values import dataclass
from pgsnap.workflows.throw_away.bisection import Bisection, Mark
from pgsnap.workflows.throw_away.marks import Marks, MarksFile
from pgsnap.workflows.throw_away.searched import searched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository

_BEGIN = "Begin one: snap bisect start BAD GOOD; or all at once: snap bisect --sql QUERY"


class NothingChanged(SnapError):
    """The oldest and the newest snapshot answer the same."""

    kind = "nothing-changed"


class EndNotAsked(SnapError):
    """The oldest or the newest snapshot could not be asked."""

    kind = "end-not-asked"


@dataclass(frozen=True, slots=True)
class How:
    """How snapshots are asked: by a query or a command, of which *tables* need their rows."""

    sql: str | None
    argv: tuple[str, ...]
    tables: tuple[str, ...]
    install: bool

    def question(self, *, json: bool) -> Question:
        if self.sql is not None:
            return BySql(self.sql, self.tables)
        return ByCommand(self.argv, self.tables, json=json)


@dataclass(slots=True)
class _Run:
    """The marks of a search that asks by itself, and what was answered."""

    snapshots: tuple[SnapshotId, ...]
    marked: dict[SnapshotId, Mark]
    answers: dict[SnapshotId, Answer] = field(default_factory=dict)

    @property
    def bisection(self) -> Bisection:
        return Bisection.of(self.snapshots, self.marked)


# -- all at once -----------------------------------------------------------------------------------


def search_at_once(invocation: Invocation, how: How, good: str | None, bad: str | None) -> bool:
    """Search between the oldest and the newest snapshot, or those named; return whether the first
    bad one was found."""
    question = how.question(json=invocation.console.json)
    with _asking(invocation, how, question) as asking:
        newest = resolve(invocation, asking.repo, bad)
        snapshots = searched(asking.repo, newest)
        oldest = resolve(invocation, asking.repo, good) if good is not None else snapshots[0]
        _check_searched(asking.repo, snapshots, (oldest, newest))
        run = _Run(snapshots, {oldest: Mark.GOOD, newest: Mark.BAD})
        run.bisection.check()
        if oldest == newest:
            raise UsageError("there is only one snapshot", detail="Nothing can have changed.")
        reference = question.good
        if good is None or reference is None:
            reference = _end(asking, run, oldest, "oldest" if good is None else "good")
        if bad is None and _end(asking, run, newest, "newest") == reference:
            raise NothingChanged(
                f"the oldest and the newest snapshot answer the same ({run.answers[newest].words})",
                detail="If it changed and changed back, name a snapshot between with another"
                " answer: --bad REV.",
            )
        _go_on(invocation, asking, run, reference)
        return _report(invocation, asking.repo, run.bisection, run.answers)


def _end(asking: Asking, run: _Run, snapshot_id: SnapshotId, which: str) -> str:
    answer = _asked(asking, run, snapshot_id)
    if answer.value is None:
        raise EndNotAsked(
            f"the {which} snapshot {render.short_id(snapshot_id)} {answer.words}",
            hint="Name one that can be asked: --good REV, --bad REV.",
        )
    return answer.value


def _asked(asking: Asking, run: _Run, snapshot_id: SnapshotId) -> Answer:
    answer = run.answers[snapshot_id] = asking.ask(snapshot_id)
    time = render.clock(asking.repo.snapshot(snapshot_id).time)
    asking.invocation.console.tell(f"{render.short_id(snapshot_id)}  {time}  {answer.words}")
    return answer


def _go_on(
    invocation: Invocation,
    asking: Asking,
    run: _Run,
    reference: str,
    keep: Callable[[SnapshotId, Mark], None] | None = None,
) -> None:
    """Ask until nothing is left to ask; *keep* is called with each mark. How to go on is said where
    it stops."""
    try:
        while (snapshot_id := run.bisection.next()) is not None:
            value = _asked(asking, run, snapshot_id).value
            mark = Mark.GOOD if value == reference else Mark.BAD
            run.marked[snapshot_id] = mark if value is not None else Mark.SKIPPED
            if keep is not None:
                keep(snapshot_id, run.marked[snapshot_id])
    except (SnapError, KeyboardInterrupt):
        found = run.bisection
        assert found.last_good is not None
        good, bad = map(render.short_id, (found.last_good, found.suspects[-1]))
        invocation.console.warn(
            f"so far it lies between: --good {good} --bad {bad}"
            if keep is None
            else f"so far it lies between {good} and {bad}; the same command goes on from there"
        )
        raise


@contextmanager
def _asking(invocation: Invocation, how: How, question: Question) -> Iterator[Asking]:
    console = invocation.console
    with (
        open_repository(invocation) as repo,
        Servers(invocation.settings, install=how.install, tcp=False, say=console.tell) as servers,
    ):
        yield Asking(invocation, repo, servers, question)


# -- step by step ----------------------------------------------------------------------------------


def start(invocation: Invocation, revisions: Sequence[str]) -> bool:
    """Begin a search: the first of *revisions* is bad, the others are good."""
    with open_repository(invocation) as repo:
        file = _file(repo)
        if file.read() is not None:
            raise UsageError(
                "a search is under way already",
                hint="See it: snap bisect log; end it: snap bisect reset",
            )
        found = [resolve(invocation, repo, revision) for revision in revisions]
        like = found[0] if found else resolve(invocation, repo, None)
        marks = file.begin(like)
        for number, one in enumerate(found):
            marks = marks.with_mark(one, Mark.GOOD if number else Mark.BAD)
        return _kept(invocation, repo, file, marks, found)


def mark(invocation: Invocation, how: Mark, revisions: Sequence[str]) -> bool:
    """Mark snapshots, by default the one that is to be looked at."""
    with open_repository(invocation) as repo:
        file, marks = _under_way(repo)
        found = [resolve(invocation, repo, revision) for revision in revisions]
        if not found:
            following = marks.over(_snapshots(repo, marks)).next()
            if following is None:
                raise UsageError(
                    "there is no snapshot to be looked at",
                    hint=f"Name one: snap bisect {how.value} REV",
                )
            found = [following]
        for one in found:
            marks = marks.with_mark(one, how)
        return _kept(invocation, repo, file, marks, found)


def run(invocation: Invocation, how: How) -> bool:
    """Go on with the search that is under way, by asking."""
    question = how.question(json=invocation.console.json)
    with _asking(invocation, how, question) as asking:
        file, marks = _under_way(asking.repo)
        snapshots = _snapshots(asking.repo, marks)
        bisection = marks.over(snapshots)
        bisection.check()
        if bisection.last_good is None:
            raise UsageError(
                "a good and a bad snapshot are to be known first",
                hint="Name them: snap bisect good REV, and snap bisect bad REV",
            )
        known = {bytes.fromhex(name): Mark(value) for name, value in marks.marked}
        made = _Run(snapshots, known)
        reference = question.good
        if reference is None:
            reference = _end(asking, made, bisection.last_good, "good")

        def keep(snapshot_id: SnapshotId, found: Mark) -> None:
            nonlocal marks
            marks = marks.with_mark(snapshot_id, found)
            file.write(marks)

        _go_on(invocation, asking, made, reference, keep)
        return _report(invocation, asking.repo, made.bisection, made.answers)


def show_log(invocation: Invocation) -> bool:
    """Print the marks of the search under way, as the commands that make them."""
    with open_repository(invocation) as repo:
        _, marks = _under_way(repo)
        bisection = marks.over(_snapshots(repo, marks))
        verbs = {"good": "good", "bad": "bad", "skipped": "skip"}
        lines = ["snap bisect start"]
        lines += [f"snap bisect {verbs[value]} {name[:12]}" for name, value in marks.marked]
        invocation.console.emit(bisect_fields(repo, bisection, {}), lines)
        return True


def reset(invocation: Invocation) -> bool:
    """End the search under way, if there is one."""
    with open_repository(invocation) as repo:
        file = _file(repo)
        is_there = file.path.exists()
        file.forget()
    words = "the search is over" if is_there else "there was no search"
    invocation.console.emit({"reset": is_there}, [words])
    return True


def _file(repo: Repository) -> MarksFile:
    state = state_folder()
    if state is None:
        raise UsageError(
            "there is no folder for the state of a search", hint="Set HOME, or XDG_STATE_HOME."
        )
    return MarksFile(state, str(repo.place))


def _under_way(repo: Repository) -> tuple[MarksFile, Marks]:
    file = _file(repo)
    marks = file.read()
    if marks is None:
        raise UsageError("no search is under way", hint=_BEGIN)
    return file, marks


def _snapshots(repo: Repository, marks: Marks) -> tuple[SnapshotId, ...]:
    return searched(repo, bytes.fromhex(marks.like))


def _kept(
    invocation: Invocation,
    repo: Repository,
    file: MarksFile,
    marks: Marks,
    new: Sequence[SnapshotId],
) -> bool:
    """Store the marks, if they can be meant, and print where the search is."""
    snapshots = _snapshots(repo, marks)
    _check_searched(repo, snapshots, new)
    bisection = marks.over(snapshots)
    bisection.check()
    file.write(marks)
    return _report(invocation, repo, bisection, {})


def _check_searched(
    repo: Repository, snapshots: Sequence[SnapshotId], named: Sequence[SnapshotId]
) -> None:
    for one in named:
        if one not in snapshots:
            label = repo.snapshot(one).database
            raise UsageError(
                f"snapshot {render.short_id(one)} is not among those that are searched",
                detail=f"It is of {label}: of another database or server than the others, or a"
                " safety snapshot.",
                hint=f"See those that can be: snap log --database {shlex.quote(label)}",
            )


def _report(
    invocation: Invocation,
    repo: Repository,
    bisection: Bisection,
    answers: dict[SnapshotId, Answer],
) -> bool:
    """Print where the search is; return whether it can go on, or has found the first bad one."""
    fields = bisect_fields(repo, bisection, {one: found.words for one, found in answers.items()})
    several = {found.value for found in answers.values() if found.value is not None}
    if len(several) > 2:
        invocation.console.warn(
            f"warning: there are {len(several)} different answers: it changed more than once, and"
            " what is found is one of the changes"
        )
    if bisection.contradictions:
        names = ", ".join(map(render.short_id, bisection.contradictions))
        invocation.console.warn(
            f"warning: good, but newer than a bad one: {names}; the answer changed more than once,"
            " and what is found is one of the changes"
        )
    invocation.console.emit(fields, bisect_lines(repo, bisection))
    return not bisection.is_ready or bool(bisection.first_bad or bisection.next())
