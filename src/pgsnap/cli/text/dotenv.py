"""Files of variables as frameworks read them (.env)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pgsnap.errors import UsageError
from pgsnap.patterns import regex

_ENTRY = regex(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*
    (?:'(?P<literal>[^']*)'|"(?P<quoted>(?:\\.|[^"\\])*)"|`(?P<ticked>[^`]*)`
      |(?P<plain>(?!['"`])[^\n]*?)|(?P<open>['"`][^\n]*))
    [ \t]*(?:(?<=[ \t'"`=])\#[^\n]*)?$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_REFERENCE = regex(
    r"(?P<escaped>\\\$)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::?-(?P<default>[^}]*))?\}"
)
_ESCAPE = regex(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class Variables:
    """The variables in the *data* of a file, the last where several have a name; *path* names it in
    errors, and *environ* goes before it in what values are made of. No error shows a value."""

    def __init__(self, path: Path, data: bytes, environ: Mapping[str, str]) -> None:
        self._path = path
        text = data.decode("utf-8", "surrogateescape")
        self._text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        self._environ = environ
        self._entries = {match["name"]: match for match in _ENTRY.finditer(self._text)}

    def has(self, name: str) -> bool:
        return name in self._entries

    def value(self, name: str, above: tuple[str, ...] = ()) -> str:
        """Return the value of a variable of the file. Raises UsageError."""
        entry = self._entries[name]
        if entry["open"] is not None:
            raise self._wrong(name, "its quotes do not fit")
        if entry["literal"] is not None:
            return entry["literal"]
        if entry["ticked"] is not None:
            return entry["ticked"]
        text = entry["quoted"] if entry["quoted"] is not None else entry["plain"].rstrip()

        def referred(found: re.Match[str]) -> str:
            if found["escaped"]:
                return found["escaped"]
            other = found["name"]
            if other in (name, *above):
                raise self._wrong(name, "it is made of itself")
            if self._environ.get(other):
                return self._environ[other]
            if self.has(other) and (value := self.value(other, (name, *above))):
                return value
            if found["default"] is None:
                raise self._wrong(name, f"it is made of {other}, which is not set")
            return found["default"]

        whole = _REFERENCE.sub(referred, text)
        if entry["quoted"] is None:
            return whole.replace("\\$", "$")
        return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), whole)

    def _wrong(self, name: str, why: str) -> UsageError:
        line = self._text.count("\n", 0, self._entries[name].start("name")) + 1
        # The line itself is not shown: it may hold a password.
        return UsageError(
            f'{name} in line {line} of "{self._path}" cannot be read',
            detail=f"{why[:1].upper()}{why[1:]}.",
            hint="Write NAME='value'; within single quotes all characters stand for themselves.",
        )
