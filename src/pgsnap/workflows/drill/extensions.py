"""Extensions in a drill: what could not be restored, and what no dump can show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.model import SectionKind, SectionName
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.extensions import left_out_rows
from pgsnap.words import some
from pgsnap.workflows.diff.report import DiffReport, Version


def without_left_out(report: DiffReport, left_out: Sequence[BoundExtension]) -> DiffReport:
    """Return *report* without the entries of extensions that were not restored."""
    if not left_out:
        return report
    tables = {table for extension in left_out for table in extension.tables}
    sequences = {".".join(name) for extension in left_out for name in extension.sequences}
    return replace(
        report,
        before=_without(report.before, tables),
        after=_without(report.after, tables),
        tables=tuple(found for found in report.tables if found.table not in tables),
        sequences=tuple(found for found in report.sequences if found.name not in sequences),
        definitions=tuple(
            found
            for found in report.definitions
            if not any(extension.owns(*found.key) for extension in left_out)
        ),
    )


def _without(version: Version, tables: set[tuple[str, str]]) -> Version:
    def stays(name: SectionName) -> bool:
        return name.kind is not SectionKind.DATA or (name.schema, name.name) not in tables

    sections = {name: section for name, section in version.sections.items() if stays(name)}
    return replace(version, sections=sections)


def not_proven(report: DiffReport, left_out: Sequence[BoundExtension]) -> tuple[str, ...]:
    """Return what remains unproven: what was left out, and what neither dump contains."""
    told = [
        f"not proven: the extension {extension.name} can be made only in the database that the"
        f" server's {extension.setting} names, so the rows of"
        f" {some(['.'.join(table) for table in extension.tables])} were not restored"
        for extension in left_out
    ]
    if lost := left_out_rows(report.before.origin, report.after.origin):
        told.append(
            f"not proven, and not restored: the rows of {some(lost)}, which extensions keep and"
            " pg_dump leaves out"
        )
    return tuple(told)


def added_members(server: Server, copy: str, originals: Sequence[str]) -> tuple[str, ...]:
    """Return the members of extensions (added by ALTER EXTENSION, or by the extension itself in
    use) that the first readable database of *originals* has and the database *copy* lacks. Raises
    ConnectionFailed, QueryFailed."""
    with server.connect(copy) as session:
        restored = _members(session)
    for name in originals:
        # If it cannot be read, nothing is known.
        with suppress(ConnectionFailed, QueryFailed), server.connect(name) as session:
            there = _members(session)
            lost = [
                f"{member} (of {extension})"
                for (extension, version), members in there.items()
                for member in sorted(members - restored.get((extension, version), members))
            ]
            if lost:
                return (
                    "not restored: what was added to extensions since they were made, of which"
                    f" pg_dump writes nothing: {some(lost)}",
                )
            return ()
    return ()


def _members(session: Session) -> dict[tuple[str, str], set[str]]:
    """Return the members of each extension, keyed by its name and version."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, version, member in session.query(
        "SELECT e.extname, e.extversion, o.type || ' ' || o.identity"
        " FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid,"
        " LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) o"
        " WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"
        " AND d.deptype = 'e'"
    ):
        found.setdefault((name or "", version or ""), set()).add(member or "")
    return found
