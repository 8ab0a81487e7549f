"""Masks: what is checked before anything goes out, and what goes out."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from support.documents import documentation
from support.running.commandline import CommandLine

COPIED = """\
--
-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.{name} ({columns}) FROM stdin;
{rows}\\.


"""
DEFINED = """\
--
-- Name: {name}; Type: {type}; Schema: public; Owner: shop
--

{text}


"""
HEAD = """\
--
-- PostgreSQL database dump
--

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

"""
END = """\
--
-- PostgreSQL database dump complete
--

"""
TABLES = {
    "mood": ("TYPE", "CREATE TYPE public.mood AS ENUM (\n    'sad',\n    'it''s ok'\n);"),
    "people": (
        "TABLE",
        "CREATE TABLE public.people (\n    id integer NOT NULL,\n    email text NOT NULL,\n"
        "    \"Full Name\" character varying(20) DEFAULT 'a, (b'::character varying,\n"
        "    born date,\n    mood public.mood,\n    doc jsonb,\n"
        "    mail text GENERATED ALWAYS AS (lower(email)) STORED,\n"
        "    CONSTRAINT born_late CHECK ((born > '1900-01-01'::date))\n);",
    ),
    "orders": (
        "TABLE",
        "CREATE TABLE public.orders (\n    id bigint NOT NULL,\n    person integer,\n"
        "    email text\n);",
    ),
}
AFTER = {
    "people people_pkey": (
        "CONSTRAINT",
        "ALTER TABLE ONLY public.people\n    ADD CONSTRAINT people_pkey PRIMARY KEY (id);",
    ),
    "people_email": (
        "INDEX",
        "CREATE UNIQUE INDEX people_email ON public.people USING btree (email);",
    ),
    "orders orders_person": (
        "FK CONSTRAINT",
        "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_person FOREIGN KEY (person)"
        " REFERENCES public.people(id) ON DELETE CASCADE;",
    ),
    "orders orders_email": (
        "FK CONSTRAINT",
        "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_email FOREIGN KEY (email)"
        " REFERENCES public.people(email);",
    ),
}
PEOPLE = {
    "id": '"hash"',
    "email": '"hash"',
    '"Full Name"': '{ fake = "name" }',
    "born": "{ shift = 30 }",
    "mood": '{ fixed = "it\'s ok" }',
    "doc": '"null"',
}
ORDERS = {"id": '"keep"', "person": '"hash"', "email": '"hash"'}


def dump(more_orders: str = "") -> str:
    people = "".join(f"{n}\tann{n}@mail.test\tAnn {n}\t1970-05-01\tsad\t{{}}\n" for n in (1, 2))
    orders = f"7\t1\tann1@mail.test\n8\t\\N\t\\N\n{more_orders}"
    columns = 'id, email, "Full Name", born, mood, doc'
    return "".join(
        (
            HEAD,
            *(DEFINED.format(name=n, type=t, text=text) for n, (t, text) in TABLES.items()),
            COPIED.format(name="people", columns=columns, rows=people),
            COPIED.format(name="orders", columns="id, person, email", rows=orders),
            *(DEFINED.format(name=n, type=t, text=text) for n, (t, text) in AFTER.items()),
            END,
        )
    )


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    (snap.work / "dump.sql").write_text(dump())
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    key = snap.work / "masks.key"
    key.touch(mode=0o600)
    key.write_text("a secret of sixteen bytes or more\n")
    return snap


def write(
    snap: CommandLine,
    people: dict[str, str] | None = None,
    orders: dict[str, str] | None = None,
    more: str = "",
    visible: str = '"public.mood"',
) -> None:
    """Write masks.toml with these rules instead of the usual ones; of "" there is no line."""
    parts = ['key_file = "masks.key"\n', f"visible_labels = [{visible}]\n", more]
    for table, rules in (
        ("people", PEOPLE | (people or {})),
        ("orders", ORDERS | (orders or {})),
    ):
        if not more or table not in more:
            parts.append(f'[tables."public.{table}"]\n')
            parts += (f"{name} = {rule}\n" for name, rule in rules.items() if rule)
    (snap.work / "masks.toml").write_text("".join(parts))


WRONG: list[tuple[dict[str, str], dict[str, str], str, str]] = [
    ({"email": ""}, {}, "", "not listed of public.people: email text"),
    ({"phone": '"null"'}, {}, "", "the column phone of public.people is listed, and the snapshot"),
    ({"mail": '"keep"'}, {}, "", "the column mail of public.people is generated from others"),
    ({"email": '"null"'}, {}, "", "email of public.people is NOT NULL"),
    ({"id": '"null"'}, {"person": '"null"'}, "", "id of public.people is NOT NULL"),
    ({"doc": '"hash"'}, {}, "", "doc of public.people is of the type jsonb, and hash is for text"),
    ({"born": "{ truncate = 3 }"}, {}, "", "born of public.people is of the type date"),
    ({"mood": '{ fixed = "glad" }'}, {}, "", "mood of public.people is an enum without the label"),
    ({'"Full Name"': f'{{ fixed = "{"x" * 21}" }}'}, {}, "", "holds at most 20 characters"),
    ({"born": '{ shift = 3, by = "mail" }'}, {}, "", "goes by the column mail, which its rows"),
    ({}, {"id": "{ fixed = 99999999999999999999 }"}, "", "id of public.orders is of the type big"),
    (
        {"email": '{ fake = "name" }'},
        {"email": '{ fake = "name" }'},
        "",
        "the unique key people_email of public.people would not stay unique",
    ),
    ({"email": '{ hash = "mail" }'}, {}, "", "the foreign key orders_email of public.orders would"),
    ({"id": '"keep"'}, {}, "", "the foreign key orders_person of public.orders would not hold"),
    (
        {},
        {},
        'without_rows = ["public.people"]\n',
        "the foreign key orders_person of public.orders refers to public.people, which comes",
    ),
    (
        {},
        {},
        'without_rows = ["public.sessions"]\n',
        "the table public.sessions is listed, and the snapshot has no such table",
    ),
]


def test_everything_that_does_not_fit_is_found_before_anything_goes_out(shop: CommandLine) -> None:
    for people, orders, more, message in WRONG:
        write(shop, people, orders, more)
        found = shop("mask", "check", "latest")
        assert (found.code, message in found.err) == (4, True), (message, found)
        shown = shop("cat", "latest", "--mask", "masks.toml")
        assert (shown.code, shown.out) == (2, "")
        assert message[:30].lower() in shown.err.lower()
        written = shop("export", "latest", "out.sql", "--mask", "masks.toml")
        assert written.code == 2
        assert not (shop.work / "out.sql").exists()
    # What is referred to may be masked as it likes where no reference is left.
    write(shop, {"email": '{ fake = "email" }'}, {"email": '"null"', "person": '"hash"'})
    shop.ok("mask", "check", "latest")


def test_keys_that_take_no_nulls_are_looked_at(shop: CommandLine) -> None:
    more = (
        ("FK CONSTRAINT", "orders full", "orders", "FOREIGN KEY (email, person) REFERENCES"
         " public.people(email, id) MATCH FULL"),
        ("CONSTRAINT", "people born", "people", "UNIQUE NULLS NOT DISTINCT (born)"),
    )  # fmt: skip
    text = "".join(
        DEFINED.format(name=name, type=kind, text=f"ALTER TABLE ONLY public.{table}\n"
                       f"    ADD CONSTRAINT {name.partition(' ')[2]} {words};")
        for kind, name, table, words in more
    )  # fmt: skip
    (shop.work / "dump.sql").write_text(dump().replace(END, text + END))
    shop.ok("commit", "-m", "second", "--file", "dump.sql", "--database", "shop")
    write(shop, {"born": '"null"'}, {"person": '"null"'})
    found = shop("mask", "check", "latest")
    assert found.code == 4
    assert "the unique key born of public.people would not stay unique" in found.err
    assert "the foreign key full of public.orders would not hold: only person" in found.err
    write(shop, {"born": '"keep"'}, {"person": '"null"', "email": '"null"'})
    shop.ok("mask", "check", "latest")


def test_a_file_that_cannot_be_understood_says_where(shop: CommandLine) -> None:
    for text, message in (
        ("x = ", "masks.toml is not valid TOML"),
        ('defualt = "refuse"', 'masks.toml has an unknown key "defualt"'),
        ('default = "keep"', '"default" in masks.toml can only be "refuse"'),
        ('[tables."public.people"]\nid = "hsah"', "there is no mask 'hsah'"),
        ('[tables."public.people"]\nid = { fake = "e-mail" }', "nothing fake is called 'e-mail'"),
        ('[tables."a.b.c"]\n', "'a.b.c' is no name of a table"),
        ('visible_labels = ["a.b.c"]\n', "'a.b.c' is no name of an enum"),
        ('visible_labels = "mood"\n', '"visible_labels" in masks.toml must be a list of enums'),
        ('[tables."public.people"]\nid = "hash"', 'has "hash", "fake" or "shift", and no'),
        (
            'key_file = "database/backups/k"\n[tables.people]\nid = "hash"',
            '"key_file" in masks.toml is in the repository',
        ),
    ):
        (shop.work / "masks.toml").write_text(text)
        found = shop("mask", "check", "latest")
        assert (found.code, message in found.err) == (2, True), (message, found)
    write(shop)
    (shop.work / "masks.key").chmod(0o644)
    assert shop("mask", "check", "latest").code == 10
    (shop.work / "masks.key").chmod(0o600)
    (shop.work / "masks.key").write_text("short")
    assert "less than 16 bytes" in shop("mask", "check", "latest").err


def test_what_goes_out_is_masked_and_fits_together(shop: CommandLine) -> None:
    write(shop)
    shown = shop.ok("cat", "latest", "--mask", "masks.toml").out
    assert "mail.test" not in shown
    assert "Ann" not in shown
    assert "1970-05-01\t" not in shown
    one = re.search(r"^(\d+)\t([0-9a-f]{32})\t(\w+ \w+)\t1970-0\d-\d\d\tit's ok\t\\N$", shown, re.M)
    assert one is not None
    assert f"\n7\t{one[1]}\t{one[2]}\n8\t\\N\t\\N\n" in shown
    assert int(one[1]) not in (1, 2)
    # The primary key decides by how many days a date moves.
    assert len(set(re.findall(r"\t(19[67]\d-\d\d-\d\d)\t", shown))) == 2
    # Everything else is as it was: the same text, but for rows.
    plain = shop.ok("cat", "latest").out
    assert [line for line in shown.split("\n") if "\t" not in line and line] == [
        line for line in plain.split("\n") if "\t" not in line and line
    ]
    shop.ok("export", "latest", "out.sql", "--mask", "masks.toml")
    assert (shop.work / "out.sql").read_text() == shown
    rest = shop.ok("cat", "latest", "--section", "data public.orders", "--mask", "masks.toml").out
    assert one[2] in rest
    assert "mail.test" not in rest
    write(shop, more='without_rows = ["public.orders"]\n')
    assert "COPY public.orders" not in shop.ok("cat", "latest", "--mask", "masks.toml").out
    both = shop("cat", "latest", "--mask", "masks.toml", "--section", "globals", "--with-secrets")
    assert both.code == 2


def test_paths_into_documents_are_masked_and_those_that_lead_nowhere_are_named(
    shop: CommandLine,
) -> None:
    documents = (
        (
            "{}",
            r'{"mail": "ann1@mail.test", "to": {"street": "Elm 5"}, "n": 1.50, "a\\u0062": [ ]}',
        ),
        ("{}", r'{"mail": null, "to": "Elm 5, Ashford"}'),
    )
    text = dump()
    for old, new in documents:
        text = text.replace(f"\t{old}\n", f"\t{new}\n", 1)
    (shop.work / "dump.sql").write_text(text)
    shop.ok("commit", "-m", "documents", "--file", "dump.sql", "--database", "shop")
    paths = '"mail" = "hash", "to.street" = { fixed = "x" }, "sent[].mail" = "null"'
    write(shop, {"doc": f"{{ json = {{ {paths} }} }}"})
    found = shop("mask", "check", "latest")
    assert found.code == 0
    words = " ".join(found.err.split())
    assert "doc of public.people: the path sent[].mail leads to nothing in any row" in words
    assert "doc of public.people: the value of to is neither an object nor an array in 1 case" in (
        words
    )
    assert "mail leads" not in words.replace("sent[].mail", "")
    shown = shop.ok("cat", "latest", "--mask", "masks.toml").out
    # The same text as in a column.
    [email] = set(re.findall(r"^7\t\S+\t([0-9a-f]{32})$", shown, re.M))
    street = '"to": {"street": "x"}, "n": 1.50, "a\\\\u0062": [ ]}'
    assert f'\t{{"mail": "{email}", {street}\n' in shown
    assert '\t{"mail": null, "to": "Elm 5, Ashford"}\n' in shown
    write(shop, {"doc": '{ json = { "to.*" = "hash", "to.land" = "keep" } }'})
    words = " ".join(shop("mask", "check", "latest").err.split())
    assert "neither an object nor an array in 1 case, and becomes null there" in words
    assert '"to": null}\n' in shop.ok("cat", "latest", "--mask", "masks.toml").out
    write(shop, {"email": '{ json = { "a" = "null" } }'})
    wrong = shop("mask", "check", "latest")
    assert (wrong.code, "email of public.people is of the type text" in wrong.err) == (4, True)


def test_a_first_file_fits_what_it_was_made_for(shop: CommandLine) -> None:
    made = shop.ok("mask", "init", "latest", "first.toml", "--json").json
    checked = shop.ok("mask", "check", "latest", "first.toml", "--json").json
    documented = documentation.fields(documentation.section("snap mask"))
    assert [documentation.field_names(made), documentation.field_names(checked)] == documented
    assert made["key_made"]
    assert Path(made["key_file"]).stat().st_mode & 0o777 == 0o600
    text = (shop.work / "first.toml").read_text()
    # Both ends of a foreign key are masked alike, and so the unique one is hashed.
    assert text.count('"email" = "hash"') == 2
    assert '"Full Name" = { fake = "name" }' in text
    assert '"born" = { shift = 180, by = "id" }' in text
    assert '"mail"' not in text
    assert checked["columns"]["hash"] == 2
    assert checked["tables"] == 2
    again = shop("mask", "init", "latest", "first.toml")
    assert again.code == 2
    assert "--force" in again.err
    # The key stays: copies of different days fit together.
    assert not shop.ok("mask", "init", "latest", "first.toml", "--force", "--json").json["key_made"]


def test_masks_are_for_new_databases_only(shop: CommandLine) -> None:
    write(shop)
    shop.setenv("DATABASE_URL", "postgresql:///shop")
    for words in ((), ("--table", "people"), ("--changed-only",), ("--warm",)):
        found = shop("restore", "latest", "--mask", "masks.toml", "--yes", *words)
        assert (found.code, "--mask" in found.err) == (2, True), (words, found)


def test_tables_for_other_programs_are_masked_too(shop: CommandLine) -> None:
    write(shop, more='without_rows = ["public.orders"]\n')
    shop.ok("export", "latest", "tables/", "--format", "csv", "--mask", "masks.toml")
    (path,) = (shop.work / "tables").glob("*.csv")
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert "mail.test" not in path.read_text()
    shop.ok("export", "latest", "t.sqlite", "--format", "sqlite", "--mask", "masks.toml")
    assert b"mail.test" not in (shop.work / "t.sqlite").read_bytes()


def test_a_masked_output_that_ends_early_cannot_pass_for_a_whole_one(shop: CommandLine) -> None:
    drawn = random.Random(5)
    orders = (f"{n}\t\\N\tb{drawn.getrandbits(80):x}@mail.test\n" for n in range(9, 300_000))
    (shop.work / "more.sql").write_text(dump("".join(orders)))
    write(shop)
    shop.ok("commit", "-m", "more", "--file", "more.sql", "--database", "shop")
    for pack in (shop.work / "database" / "backups" / "packs").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 100_000:
            data = bytearray(pack.read_bytes())
            data[len(data) * 3 // 4] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
    found = shop("cat", "latest", "--mask", "masks.toml")
    assert found.code == 60
    assert "mail.test" not in found.out
    # Within the rows: one that no table can take, and then a statement that fails.
    assert found.out.count("COPY public.orders") == 1
    assert found.out.endswith("\\snap_the_snapshot_is_damaged\n")
    assert "\t" * 1700 + "snap: the snapshot is damaged\n\\.\n" in found.out
