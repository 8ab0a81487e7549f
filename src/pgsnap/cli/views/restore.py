"""A restore or undo: its plan, for confirmation, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import server_words, snapshot_words
from pgsnap.model import Snapshot
from pgsnap.sessions.half_dropped import CANNOT
from pgsnap.words import some

if TYPE_CHECKING:
    from pgsnap.targets.checks.preflight import LiveDatabase
    from pgsnap.targets.swap.kept import KeptDatabase
    from pgsnap.workflows.history.log import LogEntry
    from pgsnap.workflows.restore.gone import Gone
    from pgsnap.workflows.restore.plan import RestorePlan
    from pgsnap.workflows.restore.report import RestoreReport
    from pgsnap.workflows.undo.undo import DiscardReport, UndoPlan, UndoReport
    from pgsnap.workflows.warming.keep import WarmReport


_NO_SAFETY = "no safety snapshot: what is there now is only in the kept database"
_GONE_NAMES = 10
_DEAD_WORDS = "it cannot be put back, `snap undo --discard` drops it"


def restore_plan_lines(
    plan: RestorePlan,
    snapshot: Snapshot,
    *,
    last: LogEntry | None,
    with_safety: bool,
    services: Sequence[str] = (),
    now: datetime,
) -> list[str]:
    """Return the plan of a restore; *last* is the newest snapshot of the same database."""
    facts = [
        ("Snapshot", snapshot_words(plan.snapshot_id, snapshot, now)),
        (
            "Contents",
            f"{render.size(plan.plain_bytes)} in {render.plural(plan.table_count, 'table')}, "
            f"{render.plural(plan.rows, 'row')}",
        ),
        ("Server", server_words(plan.host, plan.server.version)),
    ]
    if plan.masking is not None:
        facts.append(("Masks", f"rows, as {render.plain(plan.masking.masks.where)} says"))
    if plan.live is None:
        facts.append(("Makes", f"the new database {render.plain(plan.database)}"))
    else:
        facts.append(("Replaces", _live_words(plan.live)))
        facts.append(("Last saved", _last_words(last, now)))
        if plan.live.is_half_dropped:
            facts.append(("Renames", f"what is left of it; {named(_DEAD_WORDS)}"))
        else:
            facts.append(("Keeps", named("the replaced database, until `snap undo --discard`")))
            facts.append(("First", _safety_words(last, plan.live, with_safety=with_safety)))
        if services:
            facts.append(("Stops", _services_words(services)))
        if plan.read_only is not None:
            facts.append(("Meanwhile", _read_only_words(plan.live)))
    if plan.ready.warm or plan.ready.standing:
        names = [render.plain(copy.name) for copy in plan.ready.warm]
        names += [f"a clone of {render.plain(each.name)}" for each in plan.ready.standing]
        words = f"{' or '.join(names)}, if it is as it was; else the snapshot is loaded"
        facts.append(("Takes", words))
    if plan.dropped_first:
        copies = ", ".join(render.plain(copy.name) for copy in plan.dropped_first)
        facts.append(("Makes room", f"drops the warm copies {copies} if it has to load"))
    if plan.options.any_order and plan.jobs > 1:
        words = f"tables larger than the share of one of {plan.jobs} jobs, in another order"
        facts.append(("Loads", words))
    free = render.size(plan.free_bytes) if plan.free_bytes is not None else "unknown"
    need = f"needs about {render.size(plan.needed_bytes)}" + (" to load" if plan.ready.warm else "")
    facts.append(("Space", f"{need}, free: {free}"))
    if plan.kept:
        words = "\n".join(_kept_words(kept, now) for kept in plan.kept)
        if not plan.options.discard_old:
            words += "\nif its safety snapshot has everything that is in it"
        facts.append(("Then drops", words))
    if plan.extension_sequences:
        words = f"{some(list(plan.extension_sequences))}: pg_dump leaves these sequences out"
        facts.append(("Sets", render.plain(words)))
    facts += _role_facts(plan)
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return ["This restore:", *render.pairs(facts, "  "), ""]


def _services_words(services: Sequence[str]) -> str:
    names = ", ".join(map(render.plain, services))
    return f"{names} while the databases change names, and starts them again"


def _live_words(live: LiveDatabase) -> str:
    known = render.size(live.size_bytes) if live.size_bytes is not None else "size unknown"
    clients = render.plural(live.clients, "client")
    state = "half-dropped" if live.is_half_dropped else f"{known}, {clients} connected"
    return f"the database {render.plain(live.name)} ({state})"


def _last_words(last: LogEntry | None, now: datetime) -> str:
    if last is None:
        return "never"
    return f"{render.ago(last.snapshot.time, now)}, snapshot {render.short_id(last.snapshot_id)}"


def _safety_words(last: LogEntry | None, live: LiveDatabase, *, with_safety: bool) -> str:
    if not with_safety:
        return _NO_SAFETY
    words = "a safety snapshot of what is there now"
    if last is not None:
        taken = render.seconds(last.snapshot.duration_ms / 1000)
        words += f"\n(the last one took {taken} and {render.size(last.snapshot.stored_bytes)})"
    elif live.size_bytes is not None:
        words += f"\n(the first one: it reads all {render.size(live.size_bytes)})"
    return words + "\nWhat is written after it is only in the kept database."


def _read_only_words(live: LiveDatabase) -> str:
    words = f"new sessions of {render.plain(live.name)} can only read (transactions are read-only)"
    if live.clients:
        words += f"\n{render.plural(live.clients, 'client')} connected now may write until the swap"
    return words


def _role_facts(plan: RestorePlan) -> list[tuple[str, str]]:
    if not plan.missing_roles:
        return []
    if plan.options.create_roles:
        title, end = "Makes roles", ""
    else:
        title, end = "Roles missing", "\nMake them, or let the restore do it: --create-roles"
    commands = [render.plain(line) for role in plan.missing_roles for line in role.shown]
    return [(title, "\n".join(commands) + end)]


def _kept_words(kept: KeptDatabase, now: datetime) -> str:
    known = render.size(kept.size_bytes) if kept.size_bytes is not None else "size unknown"
    if kept.is_half_dropped:
        known = CANNOT
    return (
        f"{render.plain(kept.name)} ({known}; replaced {render.ago(kept.since, now)} "
        f"by {render.plain(kept.action)})"
    )


def gone_fields(gone: Gone) -> dict[str, Any]:
    """Return the --json fields of objects in the replaced database that the snapshot lacks."""
    return {
        "schemas": len(gone.schemas),
        "tables": len(gone.tables),
        "extensions": len(gone.extensions),
        "large_objects": gone.large_objects,
        "names": [*gone.schemas, *gone.tables, *gone.extensions][:_GONE_NAMES],
    }


def restore_fields(report: RestoreReport) -> dict[str, Any]:
    """Return the --json fields of a completed restore."""
    return render.fields_of(
        report,
        snapshot_id="snapshot",
        safety="safety_snapshot",
        plain_bytes="bytes",
        kept_is_half_dropped="kept_half_dropped",
    )


def restore_lines(report: RestoreReport) -> list[str]:
    """Return the result, and how to undo it."""
    spent = report.seconds
    total = sum(asdict(spent).values())
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    if report.created_roles:
        lines.append(f"made roles {', '.join(map(render.plain, report.created_roles))}")
    lines += [f"dropped {render.plain(name)}" for name in report.discarded]
    if report.warm_copy is not None:
        lines.append(f"nothing was loaded: {render.plain(report.warm_copy)} was as it should be")
    if report.cloned_from is not None:
        source = render.plain(report.cloned_from)
        lines.append(f"nothing was loaded: {source} was as it should be, and was cloned")
    lines.append(
        f"load {render.seconds(spent.load)}, analyze {render.seconds(spent.analyze)}"
        + (f", unreachable for {render.seconds(report.unreachable_seconds)}" if report.kept else "")
    )
    lines += _now_kept(report.kept, is_half_dropped=report.kept_is_half_dropped)
    lines.append(
        f"restored {render.short_id(report.snapshot_id)} to {render.plain(report.database)}  "
        f"{render.plural(report.rows, 'row')}  {render.size(report.plain_bytes)}  "
        f"{render.seconds(total)}"
    )
    return lines


def warm_fields(report: WarmReport) -> dict[str, Any]:
    """Return the --json fields of what was done about warm copies."""
    return render.fields_of(report, snapshot_id="snapshot")


def warm_lines(report: WarmReport) -> list[str]:
    """Return the warm copies that there are now."""
    lines = [f"dropped {render.plain(name)}" for name in report.dropped]
    lines += [f"made {render.plain(name)}" for name in report.made]
    copies = render.plural(len(report.copies), "warm copy", "warm copies")
    return [
        *lines,
        f"{copies} of {render.short_id(report.snapshot_id)} for {render.plain(report.database)}"
        f"  {render.seconds(report.seconds)}",
    ]


def _now_kept(name: str | None, *, is_half_dropped: bool) -> list[str]:
    if name is None:
        return []
    if is_half_dropped:
        return [
            f"what is left of the replaced database is called {render.plain(name)}:",
            named(_DEAD_WORDS),
        ]
    return [
        f"the replaced database is kept as {render.plain(name)}:",
        named("`snap undo` puts it back, `snap undo --discard` drops it"),
    ]


def undo_plan_lines(
    plan: UndoPlan,
    *,
    with_safety: bool,
    services: Sequence[str] = (),
    now: datetime,
    undoes: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return the plan of an undo."""
    facts = [
        *undoes,
        ("Server", server_words(plan.host, plan.server.version)),
        ("Puts back", _kept_words(plan.kept, now)),
        ("As", f"the database {render.plain(plan.kept.live)}"),
    ]
    if plan.live is not None:
        facts.append(("Replaces", _live_words(plan.live)))
        if plan.live.is_half_dropped:
            facts.append(("Renames", f"what is left of it; {named(_DEAD_WORDS)}"))
        else:
            facts.append(("Keeps", "the replaced database: the next undo puts it back"))
            safety = "a safety snapshot of what is there now" if with_safety else _NO_SAFETY
            facts.append(("First", safety))
        if services:
            facts.append(("Stops", _services_words(services)))
    facts += [("Note", render.plain(warning)) for warning in plan.warnings]
    return ["This undo:", *render.pairs(facts, "  "), ""]


def undo_fields(report: UndoReport) -> dict[str, Any]:
    """Return the --json fields of a completed undo."""
    return render.fields_of(
        report, safety="safety_snapshot", kept_is_half_dropped="kept_half_dropped"
    )


def undo_lines(report: UndoReport) -> list[str]:
    """Return the result, and how to revert it."""
    lines = []
    if report.safety is not None:
        lines.append(f"safety snapshot {render.short_id(report.safety)}")
    lines += _now_kept(report.kept, is_half_dropped=report.kept_is_half_dropped)
    lines.append(f"put back {render.plain(report.database)}  {render.seconds(report.seconds)}")
    return lines


def discard_plan_lines(kept: KeptDatabase, now: datetime) -> list[str]:
    """Return the plan of a discard: the database that it drops."""
    return [f"This drops for good: {_kept_words(kept, now)}"]


def discard_lines(report: DiscardReport) -> list[str]:
    known = f", {render.size(report.size_bytes)} freed" if report.size_bytes is not None else ""
    return [f"dropped {render.plain(report.name)}{known}"]
