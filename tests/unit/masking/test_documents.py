from __future__ import annotations

import json
import random
from typing import Any

import pytest

from pgsnap.dump.definitions.copy_text import escaped, without_escapes
from pgsnap.errors import CorruptionError, UsageError
from pgsnap.masking.catalog import ColumnType, Family
from pgsnap.masking.masks import Kind, Rule, parse_masks
from pgsnap.masking.paths import parse_path
from pgsnap.masking.rows import ColumnMask, RowMasker
from pgsnap.masking.values import LONG_BYTES, document_mask, mask_of

KEY = b"k" * 32
COLUMN = ColumnType(Family.JSON)


def rule_of(paths: dict[str, Any]) -> Rule:
    masks = parse_masks({"tables": {"t": {"doc": {"json": paths}}}}, "masks.toml")
    return masks.tables[("public", "t")]["doc"]


def masked(paths: dict[str, Any], document: str, encoding: str = "UTF8") -> str:
    mask = mask_of(rule_of(paths), COLUMN, KEY, encoding)
    assert mask is not None
    codec = {"UTF8": "utf-8", "LATIN1": "latin-1"}[encoding]
    [found] = mask.many([escaped(document.encode(codec))], [])
    return without_escapes(found).decode(codec)


def as_column(rule: Rule, family: Family, value: bytes) -> str:
    mask = mask_of(rule, ColumnType(family, width=64 * (family is Family.INTEGER)), KEY, "UTF8")
    assert mask is not None
    return mask.many([value], [value])[0].decode()


@pytest.mark.parametrize(
    ("paths", "document", "expected"),
    [
        (
            {"a": "null"},
            '{"a" : {"b":[1,2]}, "c":1.50,"a":"x" }',
            '{"a" : null, "c":1.50,"a":null }',
        ),
        ({"a.b": {"fixed": 'é"\n'}}, '{"a":{"b":null},"b":1}', '{"a":{"b":"é\\"\\n"},"b":1}'),
        ({"a": {"fixed": 7}}, '{"b":1}', '{"b":1}'),
        ({"a": {"fixed": True}}, '\t{"a":\n[]}\r\n', '\t{"a":\ntrue}\r\n'),
        ({"s": {"truncate": 2}}, '{"s":"\\u00e9\\n\\ud83d\\ude00x"}', '{"s":"\\u00e9\\n"}'),
        ({"s": {"truncate": 1}}, '{"s":"\\ud83d\\ude00x"}', '{"s":"\\ud83d\\ude00"}'),
        ({"s": {"truncate": 2}}, '{"s":["abc"]}', '{"s":null}'),
        # Arrays on the way are looked into, whether the path says so or not.
        (
            {"i[].e": "null"},
            '{"i":[{"e":1,"f":2},[{"e":3}],"e"]}',
            '{"i":[{"e":null,"f":2},[{"e":null}],"e"]}',
        ),
        (
            {"i.e": "null"},
            '[{"i":[{"e":1}]},{"i":{"e":2}}]',
            '[{"i":[{"e":null}]},{"i":{"e":null}}]',
        ),
        ({"t[]": "null"}, '{"t":["a",["b",{"c":1}],null]}', '{"t":[null,[null,null],null]}'),
        ({"[]": "null"}, '["a",1]', "[null,null]"),
        ({"[].e": "null"}, '[{"e":1},{"f":2}]', '[{"e":null},{"f":2}]'),
        # All others, but for those that are named.
        (
            {"*": "null", "k": "keep", "o.*": "null", "o.k": "keep"},
            '{"a":1,"k":{"x":[1]},"o":{"k":1,"l":2}}',
            '{"a":null,"k":{"x":[1]},"o":{"k":1,"l":null}}',
        ),
        # Where only named keys may be seen, a value without keys may not.
        ({"*": "null", "k": "keep"}, ' "secret"', " null"),
        (
            {"*": "hash", "k": "keep"},
            '[1e9,{"k":"v"},[true],null]',
            '[null,{"k":"v"},[null],null]',
        ),
        (
            {"*": "null", "o.*": {"fixed": 1}, "o.k": "keep"},
            '{"o":"secret","o":{"k":2,"l":3}}',
            '{"o":null,"o":{"k":2,"l":1}}',
        ),
        ({"*": "keep", "k": "null"}, '["seen",{"k":1,"l":2}]', '["seen",{"k":null,"l":2}]'),
        ({"*.e": "null"}, '["seen",{"k":{"e":1}}]', '["seen",{"k":{"e":null}}]'),
        # A key by its meaning, and names with dots.
        ({"mail": "null"}, '{"\\u006dail":"x"}', '{"\\u006dail":null}'),
        ({'"a.b".c': "null"}, '{"a.b":{"c":1},"a":{"b":1}}', '{"a.b":{"c":null},"a":{"b":1}}'),
        ({"é": "null"}, '{"é":"}{,","f":"\\\\"}', '{"é":null,"f":"\\\\"}'),
        # What a hash is not for.
        ({"h": "hash"}, '{"h":1.5}', '{"h":null}'),
        ({"h": "hash"}, '{"h":true}', '{"h":null}'),
        ({"h": "hash"}, '{"h":{"secret":1}}', '{"h":null}'),
        ({"h": "hash"}, '{"h":null}', '{"h":null}'),
    ],
)
def test_only_what_a_path_leads_to_changes(
    paths: dict[str, Any], document: str, expected: str
) -> None:
    for path in paths:
        assert parse_path(path) is not None
    assert masked(paths, document) == expected
    if expected.isascii() or "é" in expected:
        assert masked(paths, document, "LATIN1") == expected


def test_values_become_what_they_would_in_a_column() -> None:
    text = as_column(Rule(Kind.HASH), Family.TEXT, rb"a\\nn")
    number = as_column(Rule(Kind.HASH), Family.INTEGER, b"-77")
    email = as_column(Rule(Kind.FAKE, "email"), Family.TEXT, b"ann")
    found = masked(
        {"t": "hash", "n": "hash", "e": {"fake": "email"}, "f": {"hash": "x", "length": 6}},
        '{"t":"a\\\\nn","n":-77,"e":"\\u0061nn","f":"a"}',
    )
    values = json.loads(found)
    assert (values["t"], str(values["n"]), values["e"]) == (text, number, email)
    assert len(values["f"]) == 6
    rule = rule_of({"t": "hash"})
    mask = mask_of(rule, COLUMN, KEY, "UTF8")
    assert mask is not None
    assert mask.many([rb"\N", b"{}"], []) == [rb"\N", b"{}"]
    assert rule.needs_key
    assert not rule_of({"t": "null"}).needs_key


def drawn_document(drawn: random.Random, depth: int) -> Any:
    kind = drawn.randrange(8 if depth else 4)
    if kind == 4:
        return [drawn_document(drawn, depth - 1) for _ in range(drawn.randrange(4))]
    if kind > 4:
        names = drawn.sample(["a", "b", 'c"', "d.e", "\t"], drawn.randrange(4))
        return {name: drawn_document(drawn, depth - 1) for name in names}
    return [None, drawn.random(), 'x"]}\\\n' * drawn.randrange(3), True][kind]


def nulled(value: Any, keys: tuple[str, ...]) -> Any:
    """Return what becomes of a document when a path of *keys* is masked with null."""
    if isinstance(value, list) and keys:
        return [nulled(one, keys) for one in value]
    if not keys:
        return None
    if not isinstance(value, dict):
        return value
    return {k: nulled(v, keys[1:]) if k == keys[0] else v for k, v in value.items()}


def test_documents_of_any_form_are_what_a_parser_makes_of_them() -> None:
    drawn = random.Random(3)
    for _ in range(3000):
        value = drawn_document(drawn, 4)
        keys = tuple(drawn.choices(["a", "b", 'c"', "d.e", "\t"], k=drawn.randrange(1, 4)))
        path = ".".join(map(json.dumps, keys))
        text = json.dumps(value, indent=drawn.choice((None, 1)))
        found = masked({path: "null"}, text)
        assert json.loads(found) == nulled(value, keys), (text, path)
        if json.loads(found) == value:
            assert found == text


def test_a_long_document_is_masked_however_its_row_arrives() -> None:
    mask = document_mask(rule_of({"s.e": "null"}), KEY, "UTF8")
    long = b'{"l":"%b","s":[{"e":"SECRET"}]}' % (b"x" * 9_000_000)
    short = b'{"l":"%b","s":{"e":"SECRET"}}' % (b"y" * (LONG_BYTES + 1))
    text = b"1\t%b\ta\n2\t%b\tb\n\\.\n" % (long, short)
    for step in (len(text), 100_000):
        masker = RowMasker(3, {1: ColumnMask(mask, 1, is_whole=True)}, "public.t")
        parts = [
            part
            for start in range(0, len(text), step)
            for part in masker.feed(text[start : start + step])
        ]
        masker.finish()
        assert b"".join(parts) == text.replace(b'"SECRET"', b"null")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"a":1',
        "[1}",
        '{"a" "SECRET',
        "{1:2}",
        "]",
        "1,2",
        "",
        r'{"\q":"SECRET"}',
        r'{"h":"\uD8 SECRET"}',
    ],
)
def test_what_is_no_document_lets_nothing_pass(text: str) -> None:
    mask = mask_of(rule_of({"a": "null", "h": "hash"}), COLUMN, KEY, "UTF8")
    assert mask is not None
    with pytest.raises(CorruptionError) as raised:
        mask.many([escaped(text.encode())], [])
    assert "SECRET" not in f"{raised.value}{raised.value.detail}"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({}, "takes a table of paths"),
        ({"a..b": "null"}, "'a..b' is no path"),
        ({"a.": "null"}, "'a.' is no path"),
        ({"": "null"}, "'' is no path"),
        ({"a[0]": "null"}, "is no path"),
        ({'"a': "null"}, "is no path"),
        ({"a": "null", "a.b": "null"}, 'what "a.b" leads to is masked by another path'),
        ({"a[].b": "null", "a.b": "hash"}, 'what "a.b" leads to is masked by another path'),
        ({"a": {"shift": 3}}, "not in documents"),
        ({"a": {"truncate": "month"}}, "not in documents"),
        ({"a": {"fake": "name", "by": "id"}}, "not in documents"),
        ({"a": {"json": {"b": "null"}}}, "not in documents"),
        ({"a": {"fixed": float("nan")}}, "JSON has no such number"),
        ({"a": {"b": "null"}}, '"a" of "doc"'),
        ({"a": "hsah"}, "there is no mask 'hsah'"),
    ],
)
def test_paths_that_cannot_be_understood_are_refused(paths: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        rule_of(paths)
    assert message in raised.value.message
