"""A resumable lexer over the blocks of a SQL script as psql reads it: tokens may straddle blocks.

Its pieces are no finer than needed: whatever only has to be passed on (function bodies, INSERTs,
indexes) is returned as TEXT in slices as large as the block. The quoting rules are PostgreSQL's
(its manual, "Lexical Structure"), those of ``\\`` lines and of ``\\.`` are psql's.

Two things it ignores, since they change no section: `;` inside parentheses or a BEGIN ATOMIC body
ends a statement here, and an E'' string continued on the next line is taken for two strings.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import TypeAlias

from pgsnap.errors import UnusableInput
from pgsnap.limits import HELD_BYTES_MAX
from pgsnap.patterns import regex


class Piece(enum.IntEnum):
    """The kind of a slice of the script. The concatenated slices are the script."""

    TEXT = enum.auto()
    """Statements or parts of them, block comments, white space."""
    COMMENT = enum.auto()
    """Consecutive complete ``--`` lines between statements."""
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
# The contents of a statement up to its semicolon, token by token, as far as tokens are complete in
# the buffer. Every branch that could become longer with the next block requires one more byte. Only
# single characters are repeated possessively: Python before 3.11.5 mismatches a possessive repeat
# of a group (gh-106052). Repeats of groups are bounded instead, to limit memory, and their callers
# continue where they stopped.
_TOKENS = rb"""
      [^'"$;\\/\-]++
    | "[^"]*+"
    | %(strings)b
    | -(?=[^-]) | --[^\r\n]*+[\r\n]
    | /(?=[^*]) | /\*(?:[^*/]++|\*(?!/)|/(?!\*)){0,1000}\*/
    | (?<=[%(ident)b])\$[%(ident)b$]*+ | \$(?=[^A-Za-z_\x80-\xff$])
    | \\;
"""
_ESCAPED = rb"'(?:[^'\\]++|\\.|''){0,1000}'(?=[^'])"
_E_PREFIX = rb"(?<=[eE])(?<![%b$][eE])" % _IDENT
_STANDARD = rb"%b%b | (?<![eE])'[^']*+' | (?<=[%b$][eE])'[^']*+'" % (_E_PREFIX, _ESCAPED, _IDENT)
_SETTING = rb"(?i:SET\b|SELECT\ pg_catalog\.set_config\()"
_KEYWORD = regex(rb"(?i:(COPY\b))|" + _SETTING)
# Enough bytes to decide whether a statement begins with one of the keywords.
_KEYWORD_BYTES = 64


class _Grammar:
    """The patterns that depend on standard_conforming_strings."""

    def __init__(self, *, standard: bool) -> None:
        strings = _STANDARD if standard else _ESCAPED
        tokens = _TOKENS % {b"strings": strings, b"ident": _IDENT}
        self.tokens = regex(rb"(?:%b){1,1000}" % tokens, re.X | re.S)
        whole = rb"(?:\s++ | (?!--|/\*|\\|(?i:COPY\b)|%b) (?:%b){0,1000};){0,1000}"
        self.run = regex(whole % (_SETTING, tokens), re.X | re.S)
        self.escape_open = regex(_E_PREFIX + b"'" if standard else b"'")


_STANDARD_GRAMMAR = _Grammar(standard=True)
_BACKSLASH_GRAMMAR = _Grammar(standard=False)

_COMMENT_LINES = regex(rb"(?:--[^\r\n]*+(?:\r\n|\r|\n))+")
_LINE_END = regex(rb"[\r\n]")
_META_LINE = regex(rb"\\[^\n]*+\n")
_META_COPY = regex(rb"\\copy\s.*\bfrom\s+p?stdin\b", re.I | re.S)
_COMMENT_EDGE = regex(rb"/\*|\*/")
_ESCAPED_BODY = regex(rb"(?:[^'\\]++|\\.|''){1,1000}", re.S)
_DOLLAR_OPEN = regex(rb"\$(?:[A-Za-z_\x80-\xff][%b]*+)?\$" % _IDENT)
_DOLLAR_PART = regex(rb"\$[%b]*+" % _IDENT)
# An identifier cut off by the block's end; a longer word is a number, not a name.
_WORD_BYTES = 128
_CUT_WORD = regex(rb"[%b$]+\Z" % _IDENT)
_REST_OF_LINE = regex(rb"[ \t\r\f\v]*+(?:--[^\n]*+)?\n")
_QUOTED = regex(rb"""'[^']*+'|"[^"]*+"|--[^\r\n]*+|/\*.*?\*/""", re.S)
_FROM_STDIN = regex(rb"COPY\b.*\bFROM\s+STDIN\b", re.I | re.S)
_CONFORMING = regex(
    rb"SET\s+(?:SESSION\s+)?standard_conforming_strings(?:\s*=\s*|\s+TO\s+)'?(\w+)", re.I
)
_ROWS_END_HERE = regex(rb"\\\.\r?\n")
_ROWS_END = regex(rb"\n(?=\\\.\r?\n)")
_CUT_ROWS_END_HERE = regex(rb"\\(?:\.\r?)?\Z")
_CUT_ROWS_END = regex(rb"(?<=\n)\\(?:\.\r?)?\Z")
# The end of a table's rows within this distance is found without searching the rest of the block.
_NEAR_BYTES = 4096

_State: TypeAlias = Callable[[bytes, int], int]


class Lexer:
    """Splits blocks into pieces. `feed` every block, then `finish`; then `inside` should be ""."""

    def __init__(self) -> None:
        self._grammar = _STANDARD_GRAMMAR
        self._state: _State = self._ground
        self._after_comment: _State = self._ground
        self._depth = 0
        self._tag = b""
        # The kind of what is passed on unchanged: TEXT, and ROWS in the state _rows.
        self._plain = Piece.TEXT
        self._line_start = False
        self._carry = b""
        self._mark = 0
        self._wait = False
        self._final = False
        self._out: list[tuple[Piece, bytes]] = []

    def feed(self, block: bytes) -> list[tuple[Piece, bytes]]:
        """Return the pieces that *block* completes. At most about 1 MiB is buffered."""
        buffer = self._carry + block if self._carry else block
        self._out, self._wait = [], False
        self._mark = position = 0
        while position < len(buffer) and not self._wait:
            position = self._state(buffer, position)
        self._flush(buffer, position)
        self._carry = buffer[position:]
        return self._out

    def finish(self) -> list[tuple[Piece, bytes]]:
        """Return the pieces that were buffered."""
        self._final = True
        return self.feed(b"")

    @property
    def inside(self) -> str:
        """Return a phrase for what is still open; "" between statements."""
        state = self._state
        if state in (self._line_comment, self._block_comment) and self._depth == 0:
            state = self._after_comment
        return self._opened(state)[0]

    def closing(self) -> bytes:
        """Return what closes an open string or comment. Called after `finish`."""
        # A line end first: an escape, a comment or half a tag may precede it.
        return b"\n" + self._opened(self._state)[1]

    def _opened(self, state: _State) -> tuple[str, bytes]:
        """Return a phrase for what *state* is inside of, and what closes that."""
        known: dict[_State, tuple[str, bytes]] = {
            self._ground: ("", b""),
            self._rows: ("the rows of a table", b""),
            self._quoted: ("a quoted string", b"'"),
            self._escaped: ("a quoted string", b"'"),
            self._identifier: ("a quoted identifier", b'"'),
            self._dollar: ("a dollar-quoted string", self._tag),
            self._block_comment: ("a comment", b"*/" * self._depth),
        }
        return known.get(state, ("a statement", b""))

    def _flush(self, buffer: bytes, end: int) -> None:
        """Emit what precedes *end* and is not part of a piece yet."""
        if end > self._mark:
            self._out.append((self._plain, buffer[self._mark : end]))
        self._mark = end

    def _emit(self, piece: Piece, buffer: bytes, start: int, end: int) -> int:
        self._flush(buffer, start)
        self._out.append((piece, buffer[start:end]))
        self._mark = end
        return end

    def _hold(self, position: int) -> int:
        """Wait for the next block; what follows *position* is then scanned again."""
        self._wait = True
        return position

    def _may_hold(self, buffer: bytes, position: int) -> bool:
        return not self._final and len(buffer) - position <= HELD_BYTES_MAX

    def _enter(self, state: _State, position: int) -> int:
        self._state = state
        return position

    def _enter_comment(self, state: _State, position: int) -> int:
        self._after_comment = self._state
        self._depth = 1 if state == self._block_comment else 0
        return self._enter(state, position)

    # -- the states: each returns its new position, and may change the state -----------------------

    def _ground(self, buffer: bytes, position: int) -> int:
        """Between statements."""
        run = self._grammar.run.match(buffer, position)
        if run and run.end() > position:
            return run.end()
        if buffer.startswith(b"--", position):
            return self._comment_lines(buffer, position)
        if buffer.startswith(b"/*", position):
            return self._enter_comment(self._block_comment, position + 2)
        if buffer.startswith(b"\\", position):
            return self._meta(buffer, position)
        if len(buffer) - position < _KEYWORD_BYTES and not self._final:
            return self._hold(position)
        if keyword := _KEYWORD.match(buffer, position):
            return self._whole_statement(buffer, position, is_copy=keyword[1] is not None)
        return self._enter(self._statement, position)

    def _comment_lines(self, buffer: bytes, position: int) -> int:
        lines = _COMMENT_LINES.match(buffer, position)
        end = lines.end() if lines else position
        # The run of comment lines may continue in the next block.
        may_go_on = end == len(buffer) or buffer[end : end + 2] in (b"-", b"--")
        if may_go_on and self._may_hold(buffer, position):
            return self._hold(position)
        if lines:
            return self._emit(Piece.COMMENT, buffer, position, end)
        return self._enter_comment(self._line_comment, position + 2)

    def _meta(self, buffer: bytes, position: int) -> int:
        """A psql command. It is assumed to end the statement before it, as \\g does."""
        line = _META_LINE.match(buffer, position)
        if line is None and self._may_hold(buffer, position):
            return self._hold(position)
        if line is None and not self._final:
            raise UnusableInput("a psql command in the dump is longer than 1 MiB")
        end = line.end() if line else len(buffer)
        if line and _META_COPY.match(line[0]):
            return self._enter_rows(self._emit(Piece.COPY, buffer, position, end))
        self._emit(Piece.META, buffer, position, end)
        return self._enter(self._ground, end)

    def _whole_statement(self, buffer: bytes, position: int, *, is_copy: bool) -> int:
        """A statement that the reader needs as one piece, if it is one."""
        end = self._statement_end(buffer, position)
        is_cut = not buffer.startswith((b";", b"\\"), end)
        if is_cut and self._may_hold(buffer, position):
            return self._hold(position)
        if is_cut and is_copy and not self._final:
            raise UnusableInput("a COPY statement in the dump is longer than 1 MiB")
        if not buffer.startswith(b";", end):
            return self._enter(self._statement, position)
        statement = buffer[position : end + 1]
        if not is_copy:
            if setting := _CONFORMING.match(statement):
                is_off = setting[1].lower() in (b"off", b"false", b"no", b"0")
                self._grammar = _BACKSLASH_GRAMMAR if is_off else _STANDARD_GRAMMAR
            return self._emit(Piece.SETTING, buffer, position, end + 1)
        if not _FROM_STDIN.match(_QUOTED.sub(b" ", statement)):
            return end + 1
        rest = _REST_OF_LINE.match(buffer, end + 1)
        if rest is None and b"\n" not in buffer[end:] and self._may_hold(buffer, position):
            return self._hold(position)
        if rest is None:
            raise UnusableInput(
                "a COPY statement in the dump is not followed by its rows",
                detail="Something else follows its semicolon, or nothing.",
            )
        return self._enter_rows(self._emit(Piece.COPY, buffer, position, rest.end()))

    def _statement_end(self, buffer: bytes, position: int) -> int:
        """Return the position of the statement's semicolon, or of the first incomplete token."""
        end = self._tokens_end(buffer, position)
        while dollar := _DOLLAR_OPEN.match(buffer, end):
            close = buffer.find(dollar[0], dollar.end())
            if close < 0:
                break
            end = self._tokens_end(buffer, close + len(dollar[0]))
        return end

    def _tokens_end(self, buffer: bytes, position: int) -> int:
        while tokens := self._grammar.tokens.match(buffer, position):
            position = tokens.end()
        return position

    def _statement(self, buffer: bytes, position: int) -> int:
        """Inside a statement that is only passed on."""
        end = self._tokens_end(buffer, position)
        here = buffer[end : end + 2]
        if here == b"":
            start = max(position, end - _WORD_BYTES)
            word = None if self._final else _CUT_WORD.search(buffer, start)
            return self._hold(word.start()) if word else end
        match here[:1]:
            case b";":
                return self._enter(self._ground, end + 1)
            case b"'":
                is_escaped = self._grammar.escape_open.match(buffer, end)
                return self._enter(self._escaped if is_escaped else self._quoted, end + 1)
            case b'"':
                return self._enter(self._identifier, end + 1)
            case b"$":
                return self._dollar_open(buffer, end)
            case b"\\":
                return self._meta(buffer, end)
        if here == b"--":
            return self._enter_comment(self._line_comment, end + 2)
        if here == b"/*":
            return self._enter_comment(self._block_comment, end + 2)
        return end + 1 if self._final else self._hold(end)

    def _dollar_open(self, buffer: bytes, position: int) -> int:
        if whole := _DOLLAR_OPEN.match(buffer, position):
            self._tag = whole[0]
            return self._enter(self._dollar, whole.end())
        part = _DOLLAR_PART.match(buffer, position)
        end = part.end() if part else position + 1
        may_go_on = end == len(buffer) and end - position <= _WORD_BYTES
        return self._hold(position) if may_go_on and not self._final else end

    def _dollar(self, buffer: bytes, position: int) -> int:
        close = buffer.find(self._tag, position)
        if close >= 0:
            return self._enter(self._statement, close + len(self._tag))
        if self._final:
            return len(buffer)
        return self._hold(max(position, len(buffer) - len(self._tag) + 1))

    def _quoted(self, buffer: bytes, position: int) -> int:
        """Inside '…'. A doubled quote ends one string and begins the next, with the same effect."""
        close = buffer.find(b"'", position)
        return len(buffer) if close < 0 else self._enter(self._statement, close + 1)

    def _identifier(self, buffer: bytes, position: int) -> int:
        close = buffer.find(b'"', position)
        return len(buffer) if close < 0 else self._enter(self._statement, close + 1)

    def _escaped(self, buffer: bytes, position: int) -> int:
        """Inside E'…'."""
        end = position
        while body := _ESCAPED_BODY.match(buffer, end):
            end = body.end()
        if end == len(buffer):
            return end
        if end == len(buffer) - 1 and not self._final:
            return self._hold(end)
        if buffer.startswith(b"'", end):
            return self._enter(self._statement, end + 1)
        return end + 1

    def _line_comment(self, buffer: bytes, position: int) -> int:
        end = _LINE_END.search(buffer, position)
        return self._enter(self._after_comment, end.end()) if end else len(buffer)

    def _block_comment(self, buffer: bytes, position: int) -> int:
        while self._depth:
            edge = _COMMENT_EDGE.search(buffer, position)
            if edge is None:
                is_cut = buffer.endswith((b"*", b"/")) and position < len(buffer)
                return self._hold(len(buffer) - 1) if is_cut and not self._final else len(buffer)
            self._depth += 1 if edge[0] == b"/*" else -1
            position = edge.end()
        return self._enter(self._after_comment, position)

    def _enter_rows(self, position: int) -> int:
        self._line_start, self._plain = True, Piece.ROWS
        return self._enter(self._rows, position)

    def _rows(self, buffer: bytes, position: int) -> int:
        end = position if self._line_start and _ROWS_END_HERE.match(buffer, position) else -1
        if end < 0:
            end = _find_rows_end(buffer, position)
        if end >= 0:
            self._flush(buffer, end)
            self._plain = Piece.TEXT
            self._emit(Piece.ROWS_END, buffer, end, buffer.index(b"\n", end) + 1)
            return self._enter(self._ground, self._mark)
        cut = _CUT_ROWS_END.search(buffer, max(position, len(buffer) - 3))
        if self._line_start and cut is None:
            cut = _CUT_ROWS_END_HERE.match(buffer, position)
        self._line_start = cut is not None or buffer.endswith(b"\n")
        return self._hold(cut.start()) if cut and not self._final else len(buffer)


def _find_rows_end(buffer: bytes, position: int) -> int:
    """Return the position of the first `\\.` line after a line end, or -1.

    Nearly every block of a large table has none, so that case must be cheap: bytes.find of one byte
    runs at memory speed, and rfind of four at 1.1 to 3.2 GB/s, whatever the rows are like; find
    reached 0.5 to 1.5 and re.search 0.4 to 2.8 on the same rows.
    """
    near = _ROWS_END.search(buffer, position, position + _NEAR_BYTES)
    if near:
        return near.end()
    if buffer.find(b"\\", position) < 0:
        return -1
    has_end = buffer.rfind(b"\n\\.\n", position) >= 0
    if not has_end and buffer.find(b"\r", position) >= 0:
        has_end = buffer.rfind(b"\n\\.\r\n", position) >= 0
    first = _ROWS_END.search(buffer, position) if has_end else None
    return first.end() if first else -1
