"""Builds indexes and checks constraints of a dump side by side.

pg_dump sorts what comes after the rows by type: constraints with their indexes, then indexes, then
among others foreign keys. Entries of one of these types depend on nothing but what comes before all
of them, so a run of such entries is a list of tasks; everything else stays in the dump's order, and
waits for them. A foreign key locks two tables, so no two that have one in common are added at once:
they might wait for each other. Those of partitioned tables lock more, and stay in the dump's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pgsnap.dump.definitions.table_parts import altered_table, foreign_key_ends
from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.model import DumpEvent, SectionEnd, SectionKind, SectionName, SectionStart
from pgsnap.patterns import regex
from pgsnap.targets.load.row_order import Table
from pgsnap.targets.load.workers import Task, settings_in

_TYPES = (b"CONSTRAINT", b"INDEX", b"FK CONSTRAINT")
_NOTES = (b"COMMENT", b"SECURITY LABEL")
# Written between entries: it holds for all that follow.
_SETTING = regex(rb"^SET (\w+) = [^\n]*;$", re.M)
_AS_ANOTHER = b"SET SESSION AUTHORIZATION"
_CONSTRAINT_TABLE = regex(rb"^ALTER TABLE (?:ONLY )?", re.M)


class DefinitionTasks:
    """Takes tasks out of the definitions that pass through.

    *run* loads them and returns when all are done. *is_partitioned* tells whether a table is one or
    a part of one. *encoding* is that of the dump, in which each block of a section of definitions
    is one entry, as `leave_out` yields them.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Task]], None],
        is_partitioned: Callable[[Table], bool],
        encoding: str,
    ) -> None:
        self._run = run
        self._is_partitioned = is_partitioned
        self._encoding = encoding
        self._section = SectionName(SectionKind.POST_DATA)
        self._type = b""
        self._tasks: list[tuple[bytes, dict[bytes, bytes], frozenset[Table]]] = []
        self._settings: dict[bytes, bytes] = {}
        self._preamble: list[bytes] = []
        # Settings that hold for what follows the tasks.
        self._settings_after: list[bytes] = []
        # Whether the dump switches roles on the way: then nothing is taken out of it.
        self.is_off = False

    @property
    def preamble(self) -> bytes:
        """The settings that the dump makes at its beginning, once these have passed through."""
        return settings_in(b"".join(self._preamble))

    def passing(
        self, events: Iterable[DumpEvent], settle: Callable[[], None]
    ) -> Iterator[DumpEvent]:
        """Yield *events* without what is loaded elsewhere. *settle* returns once those yielded so
        far have been run: tasks may need them. Raises what it and *run* raise."""
        kind = SectionKind.TRAILER
        for event in events:
            if isinstance(event, SectionStart):
                kind, self._section = event.name.kind, event.name
            elif isinstance(event, SectionEnd):
                yield from self._flush(settle)
                if kind is SectionKind.PREAMBLE:
                    self._note_settings(self.preamble)
            elif kind is SectionKind.PREAMBLE:
                self._preamble.append(event)
            elif kind is SectionKind.POST_DATA and not self.is_off:
                yield from self._sorted_out(event, settle)
                continue
            elif kind is SectionKind.PRE_DATA:
                self._look_for_settings(event)
            yield event

    def _sorted_out(self, text: bytes, settle: Callable[[], None]) -> Iterator[bytes]:
        if not text.strip():
            yield text
            return
        header = ENTRY.match(text)
        kind = parse_entry(header).type if header is not None else b""
        if kind in _TYPES and (locks := self._locks(kind, text)) is not None:
            if kind != self._type:
                yield from self._flush(settle)
            self._type = kind
            self._tasks.append((text, dict(self._settings), locks))
            # What follows keeps its line number in the dump.
        elif kind in _NOTES and self._tasks:
            before, settings, locks = self._tasks[-1]
            self._tasks[-1] = before + text, settings, locks
        elif self._look_for_settings(text):
            if self._tasks:
                self._settings_after.append(text)
            else:
                yield text
        else:
            yield from self._flush(settle)
            yield text

    def _look_for_settings(self, text: bytes) -> bool:
        """Tell whether *text* is nothing but a setting, and note it."""
        if text.startswith(_AS_ANOTHER):
            # What follows is run as other roles in turn.
            self.is_off = True
        if _SETTING.match(text) is None:
            return False
        self._note_settings(text)
        return True

    def _locks(self, kind: bytes, text: bytes) -> frozenset[Table] | None:
        """Return the tables that the entry locks against others of its type; None if that is not
        known."""
        if kind == b"INDEX":
            return frozenset()
        found = _CONSTRAINT_TABLE.search(text)
        if found is None:
            return None
        words = decode(text[found.start() :], self._encoding)
        if kind == b"CONSTRAINT":
            table = altered_table(words)
            return frozenset((table,)) if all(table) else None
        ends = foreign_key_ends(words)
        if len(ends) != 2 or any(map(self._is_partitioned, ends)):
            return None
        return frozenset(ends)

    def _note_settings(self, text: bytes) -> None:
        for found in _SETTING.finditer(text):
            self._settings[found[1]] = found[0]

    def _flush(self, settle: Callable[[], None]) -> Iterator[bytes]:
        """Load what was collected: side by side if that is more than one entry."""
        tasks, self._tasks, self._type = self._tasks, [], b""
        after, self._settings_after = self._settings_after, []
        if len(tasks) < 2:
            yield from (text for text, _, _ in tasks)
            yield from after
            return
        names = {name for _, settings, _ in tasks for name in settings}
        settle()
        self._run(
            [
                Task(
                    partial(_events, self._section, _prefix(names, settings) + text),
                    locks=locks,
                    is_settled=True,
                )
                for text, settings, locks in tasks
            ]
        )
        # What follows keeps its line number in the dump.
        yield b"\n" * sum(text.count(b"\n") for text, _, _ in tasks)
        yield from after


def _events(section: SectionName, text: bytes) -> Iterator[DumpEvent]:
    yield SectionStart(section)
    yield text
    yield SectionEnd()


def _prefix(names: Iterable[bytes], settings: dict[bytes, bytes]) -> bytes:
    """Return statements after which *names* are set as they were where the entry stood, whatever
    this session ran before."""
    return b"".join(settings.get(name, b"RESET " + name + b";") + b"\n" for name in sorted(names))
