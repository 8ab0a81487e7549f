"""The page and the JSON of `snap show`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import (
    drill_fields,
    drill_words,
    snapshot_fields,
    stem_facts,
    tag_words,
    when,
)
from pgsnap.sources.extensions import left_behind
from pgsnap.sources.parts import left_out

if TYPE_CHECKING:
    from pgsnap.model import Origin
    from pgsnap.workflows.history.log import ShowReport
    from pgsnap.workflows.history.section_costs import SectionCost


def show_fields(report: ShowReport) -> dict[str, Any]:
    """Return the --json fields of a snapshot and its sections."""
    fields = snapshot_fields(report.snapshot_id, report.snapshot, report.tags)
    fields.update(drill_fields(report.drilled))
    for name in ("globals_root", "extension_sequences_root", "statistics_root"):
        fields[name] = getattr(report.snapshot, name) or None
    fields["creator"] = report.snapshot.creator
    fields["left_out"] = left_out(report.snapshot.origin) or None
    fields["lacks"] = left_behind(report.snapshot.origin)
    fields["origin"] = _origin_fields(report.snapshot.origin)
    fields["sections"] = [_section_fields(cost) for cost in report.sections]
    return fields


def _origin_fields(origin: Origin) -> dict[str, Any]:
    return {
        "kind": origin.kind,
        "tool": origin.tool,
        "host": origin.host,
        "file_name": origin.file_name,
        "dumped_from": origin.dumped_from,
        "dump_version": origin.dump_version,
        "globals": origin.globals_status,
        "server": origin.server,
        "properties": origin.properties,
    }


def _section_fields(cost: SectionCost) -> dict[str, Any]:
    # Spelled out: there may be 200,000 of them, and `fields_of` takes five times as long.
    return {
        "name": str(cost.name),
        "kind": cost.name.kind,
        "schema": cost.name.schema or None,
        "table": cost.name.name or None,
        "bytes": cost.plain_bytes,
        "rows": cost.rows,
        "lines": cost.lines,
        "stored_bytes": cost.stored_bytes,
        "new_bytes": cost.new_bytes,
        "digest": cost.digest,
    }


def show_lines(report: ShowReport, *, now: datetime, colour: bool) -> list[str]:
    """Return the page of `snap show`."""
    snapshot = report.snapshot
    title = render.style(f"snapshot {report.snapshot_id.hex()}", "yellow", colour)
    if report.tags:
        title += " " + render.style(tag_words(report.tags), "green", colour)
    facts = [
        ("Database", render.plain(snapshot.database)),
        ("Date", when(snapshot.time, now)),
        ("Parent", render.short_id(snapshot.parent) if snapshot.parent else "none"),
        *stem_facts(snapshot),
        ("Root", render.short_id(snapshot.root or snapshot.leaf_root or b"")),
        *_origin_facts(snapshot.origin),
        (
            "Size",
            f"{render.size(snapshot.plain_bytes)}, "
            f"{render.size(snapshot.stored_bytes)} new, "
            f"in {render.seconds(snapshot.duration_ms / 1000)}",
        ),
        ("Left out", render.plain(left_out(snapshot.origin))),
        ("Lacks", "\n".join(map(render.plain, left_behind(snapshot.origin)))),
        ("By", render.plain(snapshot.creator)),
        ("Tested", drill_words(report.drilled, now) if report.drilled is not None else ""),
    ]
    lines = [title, *render.pairs([fact for fact in facts if fact[1]])]
    lines += ["", *render.indented(snapshot.message), ""]
    return lines + _section_table(report.sections)


def _origin_facts(origin: Origin) -> list[tuple[str, str]]:
    facts = [("From", render.plain(origin.file_name or origin.host))]
    if origin.server is not None:
        facts.append(("Server", f"PostgreSQL {render.plain(origin.server.version)}"))
    elif origin.dumped_from:
        facts.append(("Server", f"PostgreSQL {render.plain(origin.dumped_from)}"))
    facts.append(("Dumped by", render.plain(origin.tool)))
    if (properties := origin.properties) is not None:
        locale = properties.locale or properties.lc_collate
        facts.append(("Owner", render.plain(properties.owner)))
        facts.append(("Encoding", render.plain(f"{properties.encoding}, {locale}")))
        extensions = [f"{found.name} {found.version}" for found in properties.extensions]
        facts.append(("Extensions", render.plain(", ".join(extensions) or "none")))
        settings = [
            f"{found.name} = {found.value}" + (f" (role {found.role})" if found.role else "")
            for found in properties.settings
        ]
        facts.append(("Settings", "\n".join(render.plain(words) for words in settings)))
    facts.append(("Globals", render.plain(origin.globals_status)))
    return facts


def _section_table(sections: Sequence[SectionCost]) -> list[str]:
    rows = [("SECTION", "ROWS", "BYTES", "STORED", "NEW")]
    for cost in sections:
        rows.append(
            (
                render.plain(str(cost.name)),
                "" if cost.rows is None else render.number(cost.rows),
                render.size(cost.plain_bytes),
                render.size(cost.stored_bytes),
                render.size(cost.new_bytes),
            )
        )
    return render.columns(rows, right=frozenset({1, 2, 3, 4}))
