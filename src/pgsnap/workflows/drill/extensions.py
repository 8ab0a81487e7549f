"""What a drill says of extensions: what it could not restore, and what no dump could show it."""

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
    """Return *report* without what belongs to extensions that were not restored."""
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
    """Return what nothing is known of: what was left out, and what both dumps lack."""
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
    """Return what the first of the databases *originals* that can be read has as members of its
    extensions, and the database *copy* has not: what ALTER EXTENSION added, or the extension itself
    as it was used. Raises ConnectionFailed, QueryFailed."""
    with server.connect(copy) as session:
        restored = _members(session)
    for name in originals:
        # Without it nothing is known.
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
    """Return what belongs to each extension, by its name and version."""
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
