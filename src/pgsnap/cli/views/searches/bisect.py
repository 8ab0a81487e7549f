"""How a search for the first bad snapshot is printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import tag_words

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.workflows.throw_away.bisection import Bisection


def bisect_fields(
    repo: Repository, bisection: Bisection, answers: Mapping[SnapshotId, str]
) -> dict[str, Any]:
    """Return the fields of --json. *answers* are those of snapshots that were asked by this run."""
    suspects = bisection.suspects
    return {
        "database": repo.snapshot(bisection.snapshots[0]).database,
        "snapshots": len(bisection.snapshots),
        "good": _in_order(bisection, bisection.good),
        "bad": _in_order(bisection, bisection.bad),
        "skipped": _in_order(bisection, bisection.skipped),
        "last_good": bisection.last_good,
        "first_bad": bisection.first_bad,
        "suspects": list(suspects),
        "next": bisection.next(),
        "questions_left": bisection.questions_left,
        "contradictions": list(bisection.contradictions),
        "answers": [{"id": one, "answer": words} for one, words in answers.items()],
    }


def _in_order(bisection: Bisection, chosen: Any) -> list[SnapshotId]:
    return [one for one in bisection.snapshots if one in chosen]


def bisect_lines(repo: Repository, bisection: Bisection) -> list[str]:
    """Return where the search is, for people."""
    if not bisection.is_ready:
        lacking = [
            word for word, one in (("good", bisection.good), ("bad", bisection.bad)) if not one
        ]
        return [named(f"next: snap bisect {word} REV") for word in lacking]
    first, good = bisection.first_bad, bisection.last_good
    assert good is not None
    if first is not None:
        compared = f"snap diff {render.short_id(good)} {render.short_id(first)}"
        return [
            f"the first bad snapshot: {_described(repo, first)}",
            f"the last good one:      {_described(repo, good)}",
            named(f"what changed: {compared}"),
        ]
    following = bisection.next()
    if following is None:
        return [
            "not decided, since all others were skipped; the first bad snapshot is one of",
            *(f"  {_described(repo, one)}" for one in bisection.suspects),
        ]
    left = render.plural(bisection.questions_left, "question")
    return [
        f"{render.plural(len(bisection.suspects), 'snapshot')} left, {left} at most",
        f"next: {_described(repo, following)}",
        named(f"look at it: snap open {render.short_id(following)}; then snap bisect good, or bad"),
    ]


def _described(repo: Repository, snapshot_id: SnapshotId) -> str:
    snapshot = repo.snapshot(snapshot_id)
    tags = repo.tags.by_snapshot(snapshot.database).get(snapshot_id, ())
    words = [render.short_id(snapshot_id), render.clock(snapshot.time), tag_words(tags)]
    words.append(render.plain(render.first_line(snapshot.message)))
    return "  ".join(word for word in words if word)
