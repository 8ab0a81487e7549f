"""What a drill says of extensions: what it could not restore, and what no dump could show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.model import SectionKind, SectionName
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
