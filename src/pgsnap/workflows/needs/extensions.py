"""Plans a snapshot's extensions: whose rows load first, and which cannot be created in a scratch
database."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.dump.definitions.bound_extension import BOUND, BoundExtension
from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import decode
from pgsnap.errors import QueryFailed
from pgsnap.model import SectionKind, Snapshot
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, literal
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.values import dataclass
from pgsnap.words import some

# plpgsql is in every database.
_EVERYWHERE = frozenset({"plpgsql"})


@dataclass(frozen=True, slots=True)
class ExtensionPlan:
    """The load does not create *left_out*; those also in *added* are created after the rename. Rows
    of the tables *first* are loaded before all others: values of an extension's types may be
    readable only with its configuration. *are_there*: the snapshot has extensions at all."""

    are_there: bool = False
    left_out: tuple[BoundExtension, ...] = ()
    added: tuple[BoundExtension, ...] = ()
    first: frozenset[TableName] = frozenset()

    @property
    def tables_left_out(self) -> frozenset[TableName]:
        return frozenset(table for extension in self.left_out for table in extension.tables)


NO_EXTENSIONS = ExtensionPlan()


def plan_extensions(
    repo: Repository, snapshot: Snapshot, session: Session, database: str, *, replaces: bool
) -> tuple[ExtensionPlan, Findings]:
    """Return how the extensions of *snapshot* are restored into *database*, and the findings.
    Raises CorruptionError."""
    properties = snapshot.origin.properties
    if not snapshot.origin.is_pg_dump or (
        properties is not None and {e.name for e in properties.extensions} <= _EVERYWHERE
    ):
        return NO_EXTENSIONS, Findings()
    made, extensions = _definitions(repo, snapshot)
    rows = (
        (section.name.schema, section.name.name)
        for section in repo.sections(snapshot)
        if section.name.kind is SectionKind.DATA
    )
    first = frozenset(table for table in rows if table not in made)
    left_out: list[BoundExtension] = []
    added: list[BoundExtension] = []
    findings = Findings()
    for extension in (BOUND[name] for name in extensions if name in BOUND):
        place = _place(session, extension)
        left_out.append(extension)
        if place == database:
            added.append(extension)
        findings += _told(extension, place, database, replaces=replaces)
    plan = ExtensionPlan(bool(extensions), tuple(left_out), tuple(added), first)
    return plan, findings


def without_left_out(snapshot: Snapshot, plan: ExtensionPlan) -> Snapshot:
    """Return *snapshot* without the extensions that its restore does not create."""
    properties = snapshot.origin.properties
    gone = {extension.name for extension in plan.left_out if extension not in plan.added}
    if properties is None or not gone:
        return snapshot
    extensions = tuple(e for e in properties.extensions if e.name not in gone)
    origin = replace(snapshot.origin, properties=replace(properties, extensions=extensions))
    return replace(snapshot, origin=origin)


def _definitions(repo: Repository, snapshot: Snapshot) -> tuple[set[TableName], list[str]]:
    """Return the tables that the dump creates, and its extensions: rows of any other table are
    configuration of the extension that creates it."""
    encoding = snapshot.origin.client_encoding
    tables: set[TableName] = set()
    extensions = []
    for entry, _ in entries(text_of_kinds(repo, snapshot, SectionKind.PRE_DATA)):
        if entry.type in (b"TABLE", b"FOREIGN TABLE"):
            tables.add((decode(entry.schema, encoding), decode(entry.name, encoding)))
        elif entry.type == b"EXTENSION":
            extensions.append(decode(entry.name, encoding))
    return tables, extensions


def _place(session: Session, extension: BoundExtension) -> str:
    """Return the only database in which the extension can be created, "" if there is none."""
    try:
        rows = session.query(
            f"SELECT pg_catalog.current_setting({literal(extension.setting)}, true)"
        )
    except QueryFailed:
        # Readable by superusers only, who alone can create the extension, too.
        return ""
    return rows[0][0] or ""


def _told(extension: BoundExtension, place: str, database: str, *, replaces: bool) -> Findings:
    tables = some([".".join(table) for table in extension.tables])
    if place == database:
        words = (
            f"the extension {extension.name} can be made only in the database {database}"
            f" ({extension.setting}): it is added, with the rows of {tables}, right after the"
            " restored database has this name"
        )
        return Findings(warnings=(words,))
    if place:
        words = (
            f"the extension {extension.name} can be made only in the database {place}"
            f" ({extension.setting}): it is left out, with the rows of {tables}"
        )
        return Findings(warnings=(words,))
    if not replaces:
        words = (
            f"the extension {extension.name} is not loaded by the server: it is left out, with the"
            f" rows of {tables}"
        )
        return Findings(warnings=(words,))
    return Findings(
        (
            Problem(
                f"the extension {extension.name} cannot be made on this server",
                detail="The server does not load it when it starts, or only superusers may see"
                f" {extension.setting}.",
                hint=f"As a superuser, with {extension.name} in shared_preload_libraries and"
                f" {extension.setting} = {literal(database).strip()}; or restore a copy without"
                " it: --to NEW.",
            ),
        )
    )
