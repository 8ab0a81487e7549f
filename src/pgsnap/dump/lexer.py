"""A resumable lexer over the blocks of a SQL script as psql reads it: tokens may straddle blocks.

Its pieces are no finer than needed: whatever only has to be passed on (function bodies, INSERTs,
indexes) leaves as TEXT in slices as large as the block. The rules of quoting are PostgreSQL's
(its manual, "Lexical Structure"), those of ``\\`` lines and of ``\\.`` are psql's.

Two things it does not know, since they change no section: `;` inside parentheses or inside a
BEGIN ATOMIC body ends a statement here, and an E'' string continued on the next line is taken for
two strings.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

from pgsnap.errors import UnusableInput
from pgsnap.limits import HELD_BYTES_MAX


class Piece(enum.Enum):
    """What a slice of the script is. The slices of a script in order are the script."""

    TEXT = enum.auto()
    """Statements or parts of them, block comments, white space."""
    COMMENT = enum.auto()
    """Consecutive whole ``--`` lines between statements."""
    META = enum.auto()
    """A psql command, to the end of its line."""
    SETTING = enum.auto()
    """A whole ``SET`` or ``SELECT pg_catalog.set_config(`` statement, with its semicolon."""
    COPY = enum.auto()
    """A whole ``COPY … FROM stdin`` statement (or ``\\copy`` line), with its line end."""
    ROWS = enum.auto()
    """Rows of COPY data."""
    ROWS_END = enum.auto()
    """The ``\\.`` line."""


_IDENT = rb"A-Za-z0-9_\x80-\xff"
# What a statement holds up to its semicolon, token by token, as far as tokens are whole in the
# buffer. Every branch that could become longer with the next block asks for one byte more.
_TOKENS = rb"""
      [^'"$;\\/\-]++
    | "[^"]*+"
    | %(strings)b
    | -(?=[^-]) | --[^\r\n]*+[\r\n]
    | /(?=[^*]) | /\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/
    | (?<=[%(ident)b])\$[%(ident)b$]*+ | \$(?=[^A-Za-z_\x80-\xff$])
    | \\;
"""
_ESCAPED = rb"'(?:[^'\\]++|\\.|'')*+'(?=[^'])"
_E_PREFIX = rb"(?<=[eE])(?<![%b$][eE])" % _IDENT
_STANDARD = rb"%b%b | (?<![eE])'[^']*+' | (?<=[%b$][eE])'[^']*+'" % (_E_PREFIX, _ESCAPED, _IDENT)
_SETTING = rb"(?i:SET\b|SELECT\ pg_catalog\.set_config\()"
_KEYWORD = re.compile(rb"(?i:(COPY\b))|" + _SETTING)
# Enough bytes to tell whether a statement begins with one of the keywords.
_KEYWORD_BYTES = 64


class _Grammar:
    """The patterns that depend on standard_conforming_strings."""

    def __init__(self, *, standard: bool) -> None:
        strings = _STANDARD if standard else _ESCAPED
        tokens = _TOKENS % {b"strings": strings, b"ident": _IDENT}
        self.tokens = re.compile(rb"(?:%b)*+" % tokens, re.X | re.S)
        self.run = re.compile(
            rb"(?:\s++ | (?!--|/\*|\\|(?i:COPY\b)|%b) (?:%b)*+;)*+" % (_SETTING, tokens),
            re.X | re.S,
        )
        self.escape_open = re.compile(_E_PREFIX + b"'" if standard else b"'")


_STANDARD_GRAMMAR = _Grammar(standard=True)
_BACKSLASH_GRAMMAR = _Grammar(standard=False)

_COMMENT_LINES = re.compile(rb"(?:--[^\r\n]*+(?:\r\n|\r|\n))++")
_LINE_END = re.compile(rb"[\r\n]")
_META_LINE = re.compile(rb"\\[^\n]*+\n")
_META_COPY = re.compile(rb"\\copy\s.*\bfrom\s+p?stdin\b", re.I | re.S)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_ESCAPE_EDGE = re.compile(rb"(?:[^'\\]++|\\.|''|'(?=[^']))", re.S)
_ESCAPED_BODY = re.compile(rb"(?:[^'\\]++|\\.|'')*+", re.S)
_DOLLAR_OPEN = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][%b]*+)?\$" % _IDENT)
_DOLLAR_PART = re.compile(rb"\$[%b]*+" % _IDENT)
# An identifier cut by the block's end; longer ones than 128 bytes are numbers, not names.
_CUT_TOKEN = re.compile(rb"(?:[%b$]{1,128}|[-/\\])\Z" % _IDENT)
_REST_OF_LINE = re.compile(rb"[ \t\r\f\v]*+(?:--[^\n]*+)?\n")
_QUOTED = re.compile(rb"""'[^']*+'|"[^"]*+"|--[^\r\n]*+|/\*.*?\*/""", re.S)
_FROM_STDIN = re.compile(rb"COPY\b.*\bFROM\s+STDIN\b", re.I | re.S)
_CONFORMING = re.compile(
    rb"SET\s+(?:SESSION\s+)?standard_conforming_strings\s*(?:=|\sTO\s)\s*'?(on|true|yes|1|off|false|no|0)",
    re.I,
)
_ROWS_END_HERE = re.compile(rb"\\\.\r?\n")
_ROWS_END = re.compile(rb"\n(?=\\\.\r?\n)")
_ROWS_END_CUT = re.compile(rb"(?:\A|\n)(\\(?:\.\r?)?)\Z")


class Lexer:
    """Cuts blocks into pieces. `feed` every block, then `finish`; then `inside` must be ""."""

    def __init__(self) -> None:
        self._grammar = _STANDARD_GRAMMAR
        self._state: Callable[[bytes, int], int | None] = self._ground
        self._after_comment = self._state
        self._depth = 0
        self._tag = b""
        self._carry = b""
        self._mark = 0
        self._line_start = False
        self._final = False
        self._out: list[tuple[Piece, bytes]] = []

    def feed(self, block: bytes) -> list[tuple[Piece, bytes]]:
        """Return the pieces that *block* completes. At most about 1 MiB is held back."""
        buffer = self._carry + block if self._carry else block
        self._out = []
        self._mark = position = 0
        while position < len(buffer):
            step = self._state(buffer, position)
            if step is None:
                break
            position = step
        self._flush(buffer, position)
        self._carry = buffer[position:]
        return self._out

    def finish(self) -> list[tuple[Piece, bytes]]:
        """Return what was held back."""
        self._final = True
        return self.feed(b"")

    @property
    def inside(self) -> str:
        """What is still open, in words; "" between statements."""
        names: dict[Callable[[bytes, int], int | None], str] = {
            self._ground: "",
            self._rows: "the rows of a table",
            self._quoted: "a quoted string",
            self._escaped: "a quoted string",
            self._identifier: "a quoted identifier",
            self._dollar: "a dollar-quoted string",
            self._block_comment: "a comment",
        }
        if self._state == self._line_comment and self._after_comment == self._ground:
            return ""
        return names.get(self._state, "a statement")

    def _flush(self, buffer: bytes, end: int) -> None:
        """Pass on the text before *end* that no piece has taken."""
        if end > self._mark:
            kind = Piece.ROWS if self._state == self._rows else Piece.TEXT
            self._out.append((kind, buffer[self._mark : end]))
        self._mark = end

    def _emit(self, kind: Piece, buffer: bytes, start: int, end: int) -> int:
        self._flush(buffer, start)
        self._out.append((kind, buffer[start:end]))
        self._mark = end
        return end

    def _may_hold(self, buffer: bytes, position: int) -> bool:
        return not self._final and len(buffer) - position <= HELD_BYTES_MAX

    # -- the states: each moves on from *position*, or returns None to wait for more bytes -------

    def _ground(self, buffer: bytes, position: int) -> int | None:
        """Between statements."""
        run = self._grammar.run.match(buffer, position)
        if run is not None and run.end() > position:
            return run.end()
        if not self._final and len(buffer) - position < _KEYWORD_BYTES:
            start = buffer[position : position + 2]
            if start not in (b"--", b"/*") and start[:1] != b"\\":
                return None if self._grammar.tokens.match(buffer, position) else position
        if buffer.startswith(b"--", position):
            return self._comment_lines(buffer, position)
        if buffer.startswith(b"/*", position):
            self._after_comment = self._ground
            return self._open(self._block_comment, position + 2, depth=1)
        if buffer.startswith(b"\\", position):
            return self._meta(buffer, position)
        keyword = _KEYWORD.match(buffer, position)
        if keyword is None:
            return self._open(self._statement, position)
        return self._whole_statement(buffer, position, is_copy=keyword[1] is not None)

    def _open(
        self, state: Callable[[bytes, int], int | None], position: int, *, depth: int = 0
    ) -> int:
        self._state, self._depth = state, depth
        return position

    def _comment_lines(self, buffer: bytes, position: int) -> int | None:
        lines = _COMMENT_LINES.match(buffer, position)
        end = lines.end() if lines else position
        # The run of comment lines may go on in the next block.
        is_cut = end == len(buffer) or buffer[end : end + 2] in (b"-", b"--")
        if is_cut and self._may_hold(buffer, position):
            return None
        if lines:
            return self._emit(Piece.COMMENT, buffer, position, end)
        self._after_comment = self._ground
        return self._open(self._line_comment, position + 2)

    def _meta(self, buffer: bytes, position: int) -> int | None:
        """A psql command. It ends the statement before it, as most of them do."""
        line = _META_LINE.match(buffer, position)
        if line is None and self._may_hold(buffer, position):
            return None
        if line is None and not self._final:
            raise UnusableInput("a psql command in the dump is longer than 1 MiB")
        end = line.end() if line else len(buffer)
        if _META_COPY.match(buffer, position, end):
            return self._open_rows(self._emit(Piece.COPY, buffer, position, end))
        self._emit(Piece.META, buffer, position, end)
        return self._open(self._ground, end)

    def _whole_statement(self, buffer: bytes, position: int, *, is_copy: bool) -> int | None:
        """A statement that the reader wants to see whole."""
        end = self._grammar.tokens.match(buffer, position).end()  # type: ignore[union-attr]
        while dollar := _DOLLAR_OPEN.match(buffer, end):
            close = buffer.find(dollar[0], dollar.end())
            if close < 0:
                break
            end = close + len(dollar[0])
            end = self._grammar.tokens.match(buffer, end).end()  # type: ignore[union-attr]
        if not buffer.startswith(b";", end):
            is_cut = end == len(buffer) or buffer[end : end + 1] != b"\\"
            if is_cut and self._may_hold(buffer, position):
                return None
            if is_copy and is_cut and not self._final:
                raise UnusableInput("a COPY statement in the dump is longer than 1 MiB")
            return self._open(self._statement, position)
        end += 1
        statement = buffer[position:end]
        if not is_copy:
            if setting := _CONFORMING.match(statement):
                is_on = setting[1].lower() in (b"on", b"true", b"yes", b"1")
                self._grammar = _STANDARD_GRAMMAR if is_on else _BACKSLASH_GRAMMAR
            return self._emit(Piece.SETTING, buffer, position, end)
        if not _FROM_STDIN.match(_QUOTED.sub(b" ", statement)):
            return end
        rest = _REST_OF_LINE.match(buffer, end)
        if rest is None:
            if b"\n" not in buffer[end:] and self._may_hold(buffer, position):
                return None
            raise UnusableInput(
                "a COPY statement in the dump is not followed by rows",
                detail="After its semicolon the line goes on, or the input ends.",
            )
        return self._open_rows(self._emit(Piece.COPY, buffer, position, rest.end()))

    def _statement(self, buffer: bytes, position: int) -> int | None:
        """Inside a statement that is only passed on."""
        end = self._grammar.tokens.match(buffer, position).end()  # type: ignore[union-attr]
        if end == len(buffer) or (end == len(buffer) - 1 and buffer[end:] in (b"-", b"/", b"\\")):
            cut = None if self._final else _CUT_TOKEN.search(buffer, max(position, len(buffer) - 128))
            if cut is None:
                return len(buffer)
            self._flush(buffer, cut.start())
            self._carry_from = cut.start()
            return None
        return end
