"""Whether the paths of a file of masks lead to values in the documents of a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.masking.documents import JsonMask
from pgsnap.masking.events import Masking
from pgsnap.masking.masks import Kind
from pgsnap.masking.rows import ColumnMask, RowMasker
from pgsnap.masking.values import document_mask
from pgsnap.model import Section, SectionKind, Snapshot
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.stream import read_head, stored_events
from pgsnap.repository.repository import Repository
from pgsnap.tabular.row_blocks import row_bytes
from pgsnap.words import plural
from pgsnap.workflows.contents.table_names import shown


def check_paths(
    repo: Repository, snapshot: Snapshot, masking: Masking, progress: Progress = SILENT
) -> tuple[str, ...]:
    """Return which paths lead nowhere in any row, and which to values of another form. Reads all
    rows of the tables that have paths. Raises CorruptionError, StoreError."""
    sections = [section for section in repo.sections(snapshot) if _has_paths(masking, section)]
    if not sections:
        return ()
    progress.phase("read documents", sum(section.plain_bytes for section in sections))
    masks: dict[tuple[TableName, str], JsonMask] = {}
    for section in sections:
        _read(repo, masking, section, masks, progress)
    return tuple(_found(masks))


def _has_paths(masking: Masking, section: Section) -> bool:
    if section.name.kind is not SectionKind.DATA or not masking.sends(section.name):
        return False
    rules = masking.rules((section.name.schema, section.name.name)) or {}
    return any(rule.kind is Kind.JSON for rule in rules.values())


def _read(
    repo: Repository,
    masking: Masking,
    section: Section,
    masks: dict[tuple[TableName, str], JsonMask],
    progress: Progress,
) -> None:
    """Let the *masks* of the columns see the documents of a section."""
    table = section.name.schema, section.name.name
    rules = masking.rules(table) or {}
    listed = next(name for name in masking.catalog.chain(table) if name in masking.masks.tables)
    columns = copied_columns(read_head(repo.chunks, section), masking.encoding) or ()
    looked_at: dict[int, ColumnMask] = {}
    for at, name in enumerate(columns):
        if (rule := rules.get(name)) is not None and rule.kind is Kind.JSON:
            mask = masks.get((listed, name))
            if mask is None:
                mask = document_mask(rule, masking.masks.key or b"", masking.encoding)
                masks[listed, name] = mask
            looked_at[at] = ColumnMask(mask, at, is_whole=True)
    reader = RowMasker(len(columns), looked_at, shown(table))
    for block in row_bytes(stored_events(repo, [section]), section.head_bytes, section.tail_bytes):
        progress.advance(len(block))
        for _ in reader.feed(block):
            pass


def _found(masks: dict[tuple[TableName, str], JsonMask]) -> Iterator[str]:
    for (table, name), mask in sorted(masks.items()):
        where = f"{name} of {shown(table)}"
        for place in mask.root.all():
            if place.rule is None:
                if place.odd:
                    what = f"the value of {place.path}" if place.path else "the document"
                    becomes = "becomes null" if place.hides_others else "stays as it is"
                    yield (
                        f"{where}: {what} is neither an object nor an array in"
                        f" {plural(place.odd, 'case')}, and {becomes} there"
                    )
            elif not place.met:
                yield f"{where}: the path {place.path} leads to nothing in any row"
            elif place.odd:
                yield (
                    f"{where}: {plural(place.odd, 'value')} of {place.path} become null, because"
                    f" {place.rule.kind} is not for values of their form"
                )
