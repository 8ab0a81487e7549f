"""The lexer: every state, and every place where a block may end."""

from __future__ import annotations

import pytest

from pgsnap.dump.lexer import Lexer, Piece
from pgsnap.errors import UnusableInput

FAKES = (
    "\n\\.\n--\n-- Name: x; Type: TABLE; Schema: public; Owner: y\n--\n"
    "\\restrict x\nCOPY t FROM stdin;\n"
)


def merged(lexer: Lexer, blocks: list[bytes]) -> list[tuple[Piece, bytes]]:
    """The pieces, with TEXT and ROWS joined, so that they do not depend on the blocks."""
    out: list[tuple[Piece, bytes]] = []
    for part in [*(lexer.feed(block) for block in blocks), lexer.finish()]:
        for piece, data in part:
            if out and out[-1][0] is piece and piece in (Piece.TEXT, Piece.ROWS):
                out[-1] = (piece, out[-1][1] + data)
            else:
                out.append((piece, data))
    return out


def lex(text: str | bytes) -> list[tuple[Piece, bytes]]:
    """The pieces of *text*: the same wherever it is cut, and together *text* itself."""
    data = text if isinstance(text, bytes) else text.encode()
    whole = merged(Lexer(), [data])
    assert b"".join(part for _, part in whole) == data
    for cut in range(1, len(data)):
        assert merged(Lexer(), [data[:cut], data[cut:]]) == whole, data[:cut]
    assert merged(Lexer(), [data[at : at + 1] for at in range(len(data))]) == whole
    return whole


def kinds(text: str | bytes) -> list[Piece]:
    return [piece for piece, _ in lex(text)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a'';b' || ';';",
        "SELECT '\\', 'x\\';",
        "SELECT E'a\\';b\\\\', E'''', e'\\'' || ';';",
        "SELECT nameE'a\\', U&'\\', N'\\', ';';",
        'SELECT "a"";b--", "\\" FROM "$$";',
        "SELECT $$a;'b$$, $x$ $$ $y$ $x$, $größe$;$größ$;$größe$;",
        "SELECT a$b$c, $1, $2$1, a$$b, 1 $ 2;",
        "SELECT 1 -- ;'\n, 2 /* ; ' /* nested; */ ; */ , 3 - -4 / 5 */* x */ 6;",
        "SELECT 1 --\r, 2;",
        "SELECT '-- /* $$' \\; SELECT 2;",
        ";;; SELECT;",
    ],
)
def test_quotes_and_comments_hide_semicolons(statement: str) -> None:
    assert lex(statement + "\n\\echo x\n") == [
        (Piece.TEXT, statement.encode() + b"\n"),
        (Piece.META, b"\\echo x\n"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SELECT '", "';"),
        ("SELECT E'\\'", "';"),
        ('SELECT "', '";'),
        ("AS $$", "$$;"),
        ("AS $é_1$", "$é_1$;"),
        ("SELECT 1 /* /* */", "*/;"),
        ("/* /* */", "*/"),
    ],
)
def test_nothing_inside_quotes_is_taken_for_a_part_of_the_dump(before: str, after: str) -> None:
    assert kinds(f"{before}{FAKES}{after}\n") == [Piece.TEXT]


def test_backslashes_escape_in_plain_strings_once_the_dump_says_so() -> None:
    off = "SET standard_conforming_strings = off;\n"
    on = "SET standard_conforming_strings TO 'on';\n"
    text = off + "SELECT 'a\\';\\restrict x\n';\n" + on + "SELECT 'a\\';\n\\x\n"
    assert kinds(text) == [
        Piece.SETTING, Piece.TEXT, Piece.SETTING, Piece.TEXT, Piece.META,
    ]  # fmt: skip


def test_comment_lines_between_statements_come_as_one_piece() -> None:
    assert lex("--\n-- a\n--\n\n-- b\r\n--\nSELECT 1; -- c\n") == [
        (Piece.COMMENT, b"--\n-- a\n--\n"),
        (Piece.TEXT, b"\n"),
        (Piece.COMMENT, b"-- b\r\n--\n"),
        (Piece.TEXT, b"SELECT 1; "),
        (Piece.COMMENT, b"-- c\n"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_end_at_a_line_of_backslash_and_period_alone(end: str) -> None:
    rows = ["1\t\\.", "\\.x", "\\\\.", " \\.", "\\. ", "'", "--", "$$", "\\N"]
    text = "".join(
        line + end for line in ("COPY t (a, b) FROM stdin;", *rows, "\\.", "SELECT 1;", "\\x")
    )
    body = "".join(row + end for row in rows).encode()
    assert lex(text) == [
        (Piece.COPY, f"COPY t (a, b) FROM stdin;{end}".encode()),
        (Piece.ROWS, body),
        (Piece.ROWS_END, b"\\." + end.encode()),
        (Piece.TEXT, f"SELECT 1;{end}".encode()),
        (Piece.META, b"\\x" + end.encode()),
    ]


def test_a_table_without_rows_has_no_rows_piece() -> None:
    assert kinds("COPY t FROM stdin;\n\\.\nCOPY u FROM stdin;\n\\.\n") == [
        Piece.COPY, Piece.ROWS_END, Piece.COPY, Piece.ROWS_END,
    ]  # fmt: skip


def test_an_end_of_rows_far_into_a_block_is_found() -> None:
    rows = b"a\\tb\n" * 2000
    for end in (b"\\.\n", b"\\.\r\n"):
        text = b"COPY t FROM stdin;\n" + rows + end + b"SELECT 1;" + rows[:0]
        assert [piece for piece, _ in merged(Lexer(), [text])] == [
            Piece.COPY, Piece.ROWS, Piece.ROWS_END, Piece.TEXT,
        ]  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "copy T from STDIN with (format csv);\n",
        'COPY "from stdin" ("a;b") FROM stdin;\n',
        "COPY t (a) -- ;\n FROM /* ; */ stdin; -- rows\n",
        "COPY t FROM stdin WHERE a <> $$;$$;\n",
        "\\copy t from stdin\n",
        "\\COPY t from pstdin with csv\n",
    ],
)
def test_every_way_to_copy_from_the_script_is_followed_by_rows(statement: str) -> None:
    assert kinds(statement + "'\n\\.\n") == [Piece.COPY, Piece.ROWS, Piece.ROWS_END]


@pytest.mark.parametrize(
    "statement",
    ["COPY t TO stdout;", "COPY t FROM 'stdin';", "COPY (SELECT 1) TO STDOUT;", "COPYING;"],
)
def test_other_copies_have_no_rows(statement: str) -> None:
    assert Piece.ROWS not in kinds(statement + "\n'x';\n")


def test_a_copy_followed_by_something_on_its_line_is_refused() -> None:
    with pytest.raises(UnusableInput, match="not followed by its rows"):
        merged(Lexer(), [b"COPY t FROM stdin; SELECT 1;\n"])


@pytest.mark.parametrize("start", [b"COPY t (", b"\\echo "])
def test_what_must_be_seen_whole_is_bounded(start: bytes) -> None:
    lexer = Lexer()
    blocks = [start, *[b"abcdefg," * 8192] * 20]
    with pytest.raises(UnusableInput, match="longer than 1 MiB"):
        merged(lexer, blocks)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("", ""),
        ("SELECT 1;\n", ""),
        ("SELECT 1; -- x", ""),
        ("SELECT 1; /* x */", ""),
        ("\\echo", ""),
        ("SELECT 1", "a statement"),
        ("SELECT 1 --", "a statement"),
        ("SELECT $", "a statement"),
        ("SET x = 1", "a statement"),
        ("COPY t FROM stdin", "a statement"),
        ("SELECT 'x", "a quoted string"),
        ("SELECT E'x\\'", "a quoted string"),
        ('SELECT "x', "a quoted identifier"),
        ("SELECT $x$ $$", "a dollar-quoted string"),
        ("/* x", "a comment"),
        ("SELECT 1 /* /* */", "a comment"),
        ("COPY t FROM stdin;\n", "the rows of a table"),
        ("COPY t FROM stdin;\n1\n\\.", "the rows of a table"),
    ],
)
def test_what_is_still_open_at_the_end_is_told(text: str, inside: str) -> None:
    lexer = Lexer()
    merged(lexer, [text.encode()])
    assert lexer.inside == inside


@pytest.mark.parametrize(
    ("start", "middle", "end"),
    [
        (b"INSERT INTO t VALUES ('", b"\\xab" * 16384, b"');"),
        (b"INSERT INTO t VALUES (E'", b"\\\\ab" * 16384, b"');"),
        (b"DO $x$", b"$y$;" * 16384, b"$x$;"),
        (b"SELECT ", b"1234" * 16384, b";"),
        (b"SELECT ", b"a,b " * 16384, b";"),
        (b"-- ", b"abcd" * 16384, b"\n"),
        (b"/*", b"*/*/"[:1] * 65536, b"*/"),
        (b"COPY t FROM stdin;\n", b"abc\\" * 16384, b"\n\\.\n"),
    ],
)
def test_long_lines_are_passed_on_while_they_come(start: bytes, middle: bytes, end: bytes) -> None:
    lexer = Lexer()
    held = len(start) - sum(len(data) for _, data in lexer.feed(start))
    for _ in range(40):
        held += len(middle) - sum(len(data) for _, data in lexer.feed(middle))
        assert held <= 1 << 20 if start == b"-- " else held <= 1024
    lexer.feed(end)
    lexer.finish()
    assert lexer.inside == ""
