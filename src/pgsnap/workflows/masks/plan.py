"""What masks make of a snapshot: checked against its definitions before anything is written."""

from __future__ import annotations

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.table_parts import Definitions, TableName
from pgsnap.errors import UsageError
from pgsnap.masking.catalog import Catalog
from pgsnap.masking.events import SECRETS, Masking
from pgsnap.masking.masks import Masks
from pgsnap.model import Section, SectionKind, Snapshot, SnapshotId
from pgsnap.repository.chunks.stream import read_head
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.values import dataclass
from pgsnap.words import plural
from pgsnap.workflows.contents.table_names import read_definitions
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.masks.columns import check_columns, column_warnings
from pgsnap.workflows.masks.definitions import check_definitions
from pgsnap.workflows.masks.keys import check_keys
from pgsnap.workflows.masks.listed import check_listed


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """*masking* is the filter for the snapshot's events; *findings* are what forbids it, and what
    is to be known. *tables* are all that have rows, each with the columns of these."""

    masking: Masking
    findings: Findings
    tables: dict[TableName, tuple[str, ...]]


def plan_masks(repo: Repository, snapshot: Snapshot, masks: Masks) -> MaskPlan:
    """Return what *masks* make of *snapshot*. Raises UsageError for a snapshot whose rows cannot be
    masked, CorruptionError, StoreError."""
    definitions = read_definitions(repo, snapshot)
    catalog = Catalog.read(definitions)
    masking = Masking.of(masks, catalog, snapshot.origin.client_encoding)
    tables, rows = columns_of_rows(repo, snapshot, catalog)
    findings = check_listed(masking, tables)
    findings += check_columns(masking, tables)
    findings += check_keys(masking, rows)
    findings += Findings(warnings=column_warnings(masking, tables))
    findings += check_definitions(masking, definitions)
    findings += Findings(warnings=_left_out(repo, masks, snapshot, definitions))
    return MaskPlan(masking, findings, tables)


def check_masks(repo: Repository, snapshot_id: SnapshotId, masks: Masks) -> MaskPlan:
    """Return `plan_masks` of a snapshot by its id; its findings are not raised."""
    return plan_masks(repo, snapshot_to_run(repo, snapshot_id), masks)


def masking_for(repo: Repository, snapshot_id: SnapshotId, masks: Masks) -> Masking:
    """Return the filter for a snapshot's events. Raises UsageError where the masks do not fit."""
    plan = check_masks(repo, snapshot_id, masks)
    problems = plan.findings.problems
    if problems:
        raise UsageError(
            f"{masks.where} does not fit the snapshot: {plural(len(problems), 'problem')}",
            detail="\n".join(_sentence(problem) for problem in problems),
            hint="\n".join(dict.fromkeys(each.hint for each in problems if each.hint)),
        )
    return plan.masking


def columns_of_rows(
    repo: Repository, snapshot: Snapshot, catalog: Catalog
) -> tuple[dict[TableName, tuple[str, ...]], dict[TableName, int]]:
    """Return the tables that COPY statements name, with the columns that they copy, and how many
    rows each has. Raises UsageError for rows that are not in COPY statements of pg_dump."""
    tables: dict[TableName, tuple[str, ...]] = {}
    rows: dict[TableName, int] = {}
    if not snapshot.origin.is_pg_dump:
        raise _unmaskable("It was made from SQL that pg_dump did not write.")
    for section in repo.sections(snapshot):
        if section.name.kind is not SectionKind.DATA:
            continue
        table = section.name.schema, section.name.name
        if section.rows is None:
            raise _unmaskable(f"The rows of {section.name} are in INSERT statements.")
        rows[table] = rows.get(table, 0) + section.rows
        if table not in tables:
            tables[table] = _columns(repo, snapshot, catalog, section)
    return tables, rows


def _columns(
    repo: Repository, snapshot: Snapshot, catalog: Catalog, section: Section
) -> tuple[str, ...]:
    table = section.name.schema, section.name.name
    if table in catalog.tables and table not in catalog.typed:
        columns = catalog.tables[table].values()
        return tuple(column.name for column in columns if not column.is_generated)
    # Of an extension's table there is no definition, and none of the columns of a typed one.
    head = read_head(repo.chunks, section)
    columns_found = copied_columns(head, snapshot.origin.client_encoding)
    if columns_found is None:
        raise _unmaskable(f"The COPY statement of {section.name} names no columns.")
    return columns_found


def _unmaskable(detail: str) -> UsageError:
    return UsageError(
        "the rows of this snapshot cannot be masked",
        detail=f"{detail} Only rows in COPY statements as pg_dump writes them can be.",
        hint="Commit the database itself: snap commit",
    )


def _sentence(problem: Problem) -> str:
    return f"{problem.message[:1].upper()}{problem.message[1:]}. {problem.detail}".strip()


def _left_out(
    repo: Repository, masks: Masks, snapshot: Snapshot, definitions: Definitions
) -> tuple[str, ...]:
    found = []
    sections = {section.name.kind for section in repo.sections(snapshot)}
    if SectionKind.LARGE_OBJECTS in sections:
        found.append(
            "large objects are copied as they are"
            if masks.keeps_large_objects
            else "large objects are left out"
        )
    if SectionKind.STATISTICS in sections:
        found.append("planner statistics are left out: values of columns are in them")
    entries = (*definitions.pre, *definitions.post)
    for kind in SECRETS:
        word = kind.decode()
        if count := sum(entry.type == word for entry in entries):
            found.append(
                f"{plural(count, word.lower())} left out: passwords for other servers are in them"
            )
    comments = sum(entry.type == "COMMENT" for entry in entries)
    words = "defaults, CHECK constraints, enums, views and functions"
    if comments:
        words += f", and {plural(comments, 'comment')}"
    found.append(f"definitions are not masked, and are as in the snapshot: {words}")
    return tuple(found)
