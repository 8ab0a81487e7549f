"""How a commit could find out what has changed in a database, in words."""

from __future__ import annotations

from pgsnap.model import Finding, Verdict
from pgsnap.sessions.base import Session
from pgsnap.sources.changes.ways import Method, Way, best_way

_FOUND_BY = {
    Method.SUMMARIES: "the server's WAL summaries",
    Method.FILES: "the pages in the server's files",
    Method.PAGEINSPECT: "pages that pageinspect shows",
}


def found_by(method: Method) -> str:
    """Return what *method* goes by, in words."""
    return _FOUND_BY[method]


def described(way: Way, where: str = "", *, with_reason: bool = True) -> str:
    """Return one line about *way*; *where* is " in DATABASE" if there are several. *with_reason*:
    with the reason why there is no better one."""
    if way.method is None:
        return f"what changed{where} cannot be found out: {way.reason}"
    why = f" ({way.reason})" if way.reason and with_reason else ""
    return f"what changed{where} can be found by {_FOUND_BY[way.method]}{why}"


def look_at_changes(
    session: Session, where: str = "", *, checkpoint: bool = True, direct: bool = True
) -> Finding:
    """Return doctor's step about the session's database; not *checkpoint*: commits must not request
    checkpoints; not *direct*: they read everything. Raises QueryFailed, ConnectionFailed."""
    way = best_way(session, checkpoint=checkpoint)
    if not direct:
        could = with_direct(way)
        text = f"commits{where} read everything" + (f"; {could}" if could else "")
        return Finding("changes", Verdict.PASSED, text)
    if way.method is not None and way.better:
        # Nothing is missing, so that it is no task.
        text = f"{described(way, where)}; faster: {way.better}"
        return Finding("changes", Verdict.PASSED, text)
    if way.method is None and way.better:
        return Finding("changes", Verdict.WARNED, described(way, where), f"Allow it: {way.better}")
    return Finding("changes", Verdict.PASSED, described(way, where))


def with_direct(way: Way) -> str:
    """Return what the direct source would read, by *way*, where the streamed one reads everything;
    "" if it would read the same."""
    if way.method is None:
        return ""
    found = f'with source = "direct" only what changed, by {_FOUND_BY[way.method]}'
    return f"{found} (faster: {way.better})" if way.better else found
