from __future__ import annotations

from pgsnap.dump.definitions.ddl import ddl_entries
from pgsnap.dump.definitions.table_columns import (
    ENUM,
    RANGE,
    RECORD,
    UNKNOWN,
    ColumnType,
    ColumnTypes,
)

PRE_DATA = """
--
-- Name: mood; Type: TYPE; Schema: a.b; Owner: me
--

CREATE TYPE "a.b".mood AS ENUM (
    'AS (',
    'sad'
);


ALTER TYPE "a.b".mood OWNER TO me;

--
-- Name: pair; Type: TYPE; Schema: s; Owner: me
--

CREATE TYPE s.pair AS (
	l text COLLATE pg_catalog."C",
	r integer[]
);

--
-- Name: money_of; Type: DOMAIN; Schema: s; Owner: me
--

CREATE DOMAIN s.money_of AS numeric(12,2) DEFAULT 0
	CONSTRAINT positive CHECK ((VALUE >= (0)::numeric));

--
-- Name: prices; Type: DOMAIN; Schema: s; Owner: me
--

CREATE DOMAIN s.prices AS s.money_of[] NOT NULL;

--
-- Name: spans; Type: TYPE; Schema: s; Owner: me
--

CREATE TYPE s.spans AS RANGE (
    subtype = s.money_of,
    multirange_type_name = s.spans_multi
);

--
-- Name: box; Type: TYPE; Schema: s; Owner: me
--

CREATE TYPE s.box AS (
	pair s.pair,
	at tstzrange
);

--
-- Name: parent; Type: TABLE; Schema: s; Owner: me
--

CREATE TABLE s.parent (
    id bigint DEFAULT nextval('s.q'::regclass) NOT NULL,
    "at, (of)" timestamp(3) without time zone DEFAULT now(),
    m "a.b".mood[],
    p s.money_of,
    ps s.prices,
    pss s.prices[],
    w character varying(20) COLLATE "C",
    i interval day to second(3),
    g public.geometry(Point,4326),
    b bit(3),
    c "char",
    pair s.pair,
    n numeric(3,-2),
    sp s.spans,
    bx s.box[],
    ci extensions.citext,
    CONSTRAINT x CHECK ((id > 0))
);

--
-- Name: child; Type: TABLE; Schema: s; Owner: me
--

CREATE TABLE s.child (
    own date
)
INHERITS (s.parent);

--
-- Name: typed; Type: TABLE; Schema: s; Owner: me
--

CREATE TABLE s.typed OF s.pair (
    l WITH OPTIONS NOT NULL
);
"""


def test_types_are_those_that_values_have() -> None:
    types = ColumnTypes(ddl_entries(PRE_DATA.encode(), "UTF8").values())
    found = types.of(("s", "child"))
    assert {name: (t.base, t.modifiers, t.is_array) for name, t in found.items()} == {
        "id": ("bigint", (), False),
        "at, (of)": ("timestamp without time zone", ("3",), False),
        "m": (ENUM, (), True),
        "p": ("numeric", ("12", "2"), False),
        "ps": ("numeric", ("12", "2"), True),
        "pss": (UNKNOWN, (), True),
        "w": ("character varying", ("20",), False),
        "i": ("interval day to second", ("3",), False),
        "g": (UNKNOWN, ("Point", "4326"), False),
        "b": ("bit", ("3",), False),
        "c": ('"char"', (), False),
        "pair": (RECORD, (), False),
        "n": ("numeric", ("3", "-", "2"), False),
        "sp": (RANGE, (), False),
        "bx": (RECORD, (), True),
        "ci": ("citext", (), False),
        "own": ("date", (), False),
    }
    assert found["m"].text == '"a.b".mood[]'
    assert found["at, (of)"].text == "timestamp(3) without time zone"
    assert found["m"].labels == ("AS (", "sad")
    assert found["ps"].is_not_null
    assert not found["p"].is_not_null
    [(_, bound)] = found["sp"].members
    assert (bound.base, bound.modifiers) == ("numeric", ("12", "2"))
    assert [(name, t.base, t.is_array) for name, t in found["pair"].members] == [
        ("l", "text", False),
        ("r", "integer", True),
    ]
    assert [(name, t.base, t.members) for name, t in found["bx"].members] == [
        ("pair", RECORD, found["pair"].members),
        ("at", RANGE, (("", ColumnType("timestamp with time zone", "timestamp with time zone")),)),
    ]
    assert list(types.of(("s", "typed"))) == ["l", "r"]
    assert types.of(("s", "typed"))["r"].is_array
    assert not types.of(("s", "missing"))


def test_composite_types_with_very_many_columns_within_each_other_have_no_members() -> None:
    # Each of these has twice the columns of the one before; two are within themselves.
    texts = ["CREATE TYPE s.t0 AS (\n\ta s.t0,\n\tb integer\n);"]
    texts += [f"CREATE TYPE s.t{n} AS (\n\ta s.t{n - 1},\n\tb s.t{n - 1}\n);" for n in range(1, 60)]
    texts += ["CREATE TYPE s.t60 AS (\n\ta s.t60[]\n);"]
    texts += ["CREATE TABLE s.t (\n" + ",\n".join(f"\tc{n} s.t{n}" for n in range(61)) + "\n);"]
    dump = ""
    for text in texts:
        kind, name = text.split()[1:3]
        head = f"-- Name: {name[2:]}; Type: {kind}; Schema: s; Owner: o"
        dump += f"--\n{head}\n--\n\n{text}\n\n\n"
    found = ColumnTypes(ddl_entries(dump.encode(), "UTF8").values()).of(("s", "t"))
    assert [bool(found[f"c{n}"].members) for n in (0, 1, 9, 10, 60)] == [
        True,
        True,
        True,
        False,
        True,
    ]
    assert found["c0"].members[0][1].members == found["c60"].members[0][1].members == ()
    assert all(found[f"c{n}"].base == RECORD for n in range(61))
