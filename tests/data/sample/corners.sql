-- One object for each thing that a dump, a restore or a comparison can get wrong.
-- psql variables: major (of the server).

SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT :major >= 15 AS has_15, :major >= 19 AS has_19 \gset
SELECT count(*) FILTER (WHERE name = 'pgsnap_demo') > 0 AS has_pgsnap_demo,
       count(*) FILTER (WHERE name = 'hstore') > 0 AS has_hstore,
       count(*) FILTER (WHERE name = 'citext') > 0 AS has_citext
FROM pg_available_extensions \gset

BEGIN;
CREATE SCHEMA corners AUTHORIZATION snap_demo_owner;

-- Extensions: one of them with a configuration table, whose rows are in the dump.
CREATE SCHEMA extensions;
\if :has_pgsnap_demo
    CREATE EXTENSION pgsnap_demo SCHEMA extensions;
    INSERT INTO extensions.vat_rates VALUES ('DK', 25, false), ('NO', 25.5, false);
    COMMENT ON EXTENSION pgsnap_demo IS 'The sample''s own: a configuration table.';
\endif
\if :has_hstore
    CREATE EXTENSION hstore SCHEMA extensions;
    CREATE TABLE corners.with_hstore (id int PRIMARY KEY, h extensions.hstore);
    INSERT INTO corners.with_hstore VALUES (1, 'a=>1, "b c"=>NULL'), (2, '"\"q\""=>"back\\slash"'), (3, '');
\endif
\if :has_citext
    CREATE EXTENSION citext SCHEMA extensions;
    CREATE TABLE corners.with_citext (name extensions.citext PRIMARY KEY);
    INSERT INTO corners.with_citext VALUES ('Ada'), ('BO');
\endif

SET LOCAL ROLE snap_demo_owner;

-- Inheritance, also from two parents; a table without columns, an empty and an unlogged one.
CREATE TABLE corners.log (id int PRIMARY KEY, line text DEFAULT 'nothing');
CREATE TABLE corners.marked (mark boolean NOT NULL DEFAULT false);
CREATE TABLE corners.web_log (url text) INHERITS (corners.log, corners.marked);
ALTER TABLE corners.web_log ALTER line SET DEFAULT 'web';
CREATE TABLE corners.no_columns ();
CREATE TABLE corners.empty (id int PRIMARY KEY, words text[]);
CREATE UNLOGGED TABLE corners.unlogged (id int, t text);
CREATE TABLE corners.dropped_columns (gone int, kept text, gone_too int, late text DEFAULT 'late');
INSERT INTO corners.log VALUES (1, 'parent'), (2, DEFAULT);
INSERT INTO corners.web_log VALUES (3, DEFAULT, true, 'https://example.org/?a=1&b=\n');
INSERT INTO corners.no_columns SELECT FROM generate_series(1, 3);
INSERT INTO corners.unlogged VALUES (1, 'lost after a crash');
INSERT INTO corners.dropped_columns VALUES (1, 'kept', 2);
ALTER TABLE corners.dropped_columns DROP COLUMN gone, DROP COLUMN gone_too, ADD COLUMN added int NOT NULL DEFAULT 7;

-- Partitions by list, range and hash, on two levels, with defaults, one of them foreign to its parent's order.
CREATE TABLE corners.payments (id int, method text, amount numeric) PARTITION BY LIST (method);
CREATE TABLE corners.payments_card PARTITION OF corners.payments FOR VALUES IN ('visa', 'amex', NULL)
    PARTITION BY HASH (id);
CREATE TABLE corners.payments_card_0 PARTITION OF corners.payments_card FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE corners.payments_card_1 PARTITION OF corners.payments_card FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE corners.payments_card_2 PARTITION OF corners.payments_card FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE TABLE corners.payments_cash (amount numeric, id int, method text);
ALTER TABLE corners.payments ATTACH PARTITION corners.payments_cash FOR VALUES IN ('cash');
CREATE TABLE corners.payments_rest PARTITION OF corners.payments DEFAULT PARTITION BY RANGE (amount, id);
CREATE TABLE corners.payments_small PARTITION OF corners.payments_rest FOR VALUES FROM (MINVALUE, MINVALUE) TO (10, 0);
CREATE TABLE corners.payments_large PARTITION OF corners.payments_rest DEFAULT;
INSERT INTO corners.payments
SELECT i, (ARRAY['visa', 'amex', NULL, 'cash', 'barter'])[1 + i % 5], i * 0.5 FROM generate_series(1, 60) AS i;
CREATE INDEX ON corners.payments (id);

-- Checks that come back with other casts after the first restore, and stay so.
CREATE TABLE corners.checks (
    a varchar(5) CHECK (a IN ('x', 'y')), b char(3) CHECK (b = ANY ('{abc,def}')), c text CHECK (c NOT IN ('a', E'\\.\n')),
    d int CHECK (d BETWEEN 1 AND 9), CONSTRAINT "no \ (backslash)" CHECK (a <> E'\\'));
INSERT INTO corners.checks VALUES ('x', 'abc', 'fine', 5), (NULL, NULL, NULL, NULL);

-- Keys that refer to each other, and wait for the end of the transaction.
CREATE TABLE corners.teams (id int PRIMARY KEY, lead int NOT NULL);
CREATE TABLE corners.people (id int PRIMARY KEY, team int NOT NULL, mentor int REFERENCES corners.people);
ALTER TABLE corners.teams ADD CONSTRAINT lead_fk FOREIGN KEY (lead) REFERENCES corners.people DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE corners.people ADD FOREIGN KEY (team) REFERENCES corners.teams ON DELETE SET NULL NOT VALID;
INSERT INTO corners.teams VALUES (1, 2), (2, 1);
INSERT INTO corners.people VALUES (1, 1, 1), (2, 2, 1);
CREATE TABLE corners.bookings (
    room int, during tsrange NOT NULL, code text COLLATE "C" UNIQUE DEFERRABLE,
    EXCLUDE USING gist (during WITH &&) WHERE (room = 1));
INSERT INTO corners.bookings VALUES (1, '[2025-01-01,2025-01-02)', 'a'), (1, '[2025-01-02,)', 'b'), (2, 'empty', NULL);
CREATE INDEX "expression" ON corners.bookings (upper(code), (room + 1) DESC) WHERE code ~ '^[a-z;]+$';

-- Sequences and identities with odd steps.
CREATE SEQUENCE corners.downward AS smallint INCREMENT -7 MINVALUE -3000 MAXVALUE 100 START 50 CACHE 5 CYCLE;
CREATE SEQUENCE corners.never_called START 1000000007;
CREATE TABLE corners.identities (
    a int GENERATED ALWAYS AS IDENTITY (START -5 INCREMENT -3), b bigint GENERATED BY DEFAULT AS IDENTITY, c serial);
INSERT INTO corners.identities (b) VALUES (DEFAULT), (DEFAULT), (9007199254740993);
SELECT nextval('corners.downward'), nextval('corners.downward') \g /dev/null

-- Names.
CREATE SCHEMA "a.b";
CREATE SCHEMA a;
CREATE SCHEMA "Weird; Schema -- ""quoted""";
CREATE TABLE "a.b".c AS SELECT 'a.b then c' AS who;
CREATE TABLE a."b.c" AS SELECT 'a then b.c' AS who;
CREATE TABLE corners."select" ("from" int, "where" int, "order" text, "UPPER" int, "with space" int, "ünï" text);
INSERT INTO corners."select" VALUES (1, 2, 'by', 3, 4, 'ö');
CREATE TABLE corners." leading and trailing " (" " text);
CREATE TABLE corners.U&"tab\0009and\000Anewline\000Din ""name""" (U&"col\000Aumn" text, "\." int, "$1" int);
INSERT INTO corners.U&"tab\0009and\000Anewline\000Din ""name""" VALUES ('x', 1, 2);
CREATE TABLE corners.U&"COPY x FROM stdin;\000A1\000A\005C." (id int);
INSERT INTO corners.U&"COPY x FROM stdin;\000A1\000A\005C." VALUES (1), (2);
CREATE TABLE corners."aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123" (id int);
CREATE TABLE corners."éééééééééééééééééééééééééééééééx" (id int);
CREATE TABLE corners."😀 $$ $_$ \ ' %s {} /* -- */" (id int);
CREATE TABLE "Weird; Schema -- ""quoted"""."Name: x; Type: TABLE DATA; Schema: public; Owner: y" (id int);
INSERT INTO "Weird; Schema -- ""quoted"""."Name: x; Type: TABLE DATA; Schema: public; Owner: y" VALUES (1);

-- Functions whose bodies look like parts of a dump.
CREATE FUNCTION corners.fake_copy() RETURNS text LANGUAGE sql AS $fake$
SELECT 'x';
/*
COPY corners.log (id, line) FROM stdin;
1	not a row
\.
*/
$fake$;
CREATE FUNCTION corners.fake_copy_open() RETURNS text LANGUAGE sql AS $fake$
SELECT '
COPY corners.log (id, line) FROM stdin;
1	never ends
'
$fake$;
CREATE FUNCTION corners.fake_header() RETURNS text LANGUAGE plpgsql AS $fake$
BEGIN
--
-- Name: stolen; Type: TABLE DATA; Schema: public; Owner: postgres
--

--
-- Data for Name: stolen; Type: TABLE DATA; Schema: public; Owner: postgres
--

    RETURN $_$ $$ nested $$ $_$;
END $fake$;
CREATE FUNCTION corners.fake_end() RETURNS text LANGUAGE sql AS $fake$
SELECT 'early';

--
-- PostgreSQL database dump complete
--

/*
\unrestrict abcdefghijklmnopqrstuvwxyz
\restrict abcdefghijklmnopqrstuvwxyz
\connect postgres
*/
-- Dumped from database version 9.6.0
$fake$;
COMMENT ON FUNCTION corners.fake_end() IS '
--
-- PostgreSQL database dump complete
--

\restrict abc
\.
COPY corners.log (id, line) FROM stdin;
$tag$ it''s a trap $tag$';
CREATE FUNCTION corners.takes_defaults(a int DEFAULT 1, b text DEFAULT E'x\n\\.\n', VARIADIC c text[] DEFAULT '{}')
    RETURNS TABLE (n int, t text) LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 7 ROWS 3
    SET work_mem = '8MB' SET search_path = corners, pg_temp AS 'SELECT a, b || ''\'' || c[1]';

-- Aggregates, operators, casts, types of every kind, text search, collations.
CREATE FUNCTION corners.longest(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN length($1) >= length($2) THEN $1 ELSE $2 END';
CREATE AGGREGATE corners.longest(text) (SFUNC = corners.longest, STYPE = text, INITCOND = '');
CREATE OPERATOR corners.<~> (LEFTARG = text, RIGHTARG = text, FUNCTION = corners.longest, COMMUTATOR = OPERATOR(corners.<~>));
CREATE TYPE corners.mood AS ENUM ('sad', 'so; so', 'it''s "ok"', 'ünder', '');
ALTER TYPE corners.mood ADD VALUE 'between' BEFORE 'so; so';
CREATE TYPE corners.pair AS (l text, r int[]);
CREATE DOMAIN corners.pairs AS corners.pair[] CHECK (array_length(VALUE, 1) < 9);
CREATE TYPE corners.textrange AS RANGE (SUBTYPE = text, COLLATION = "C");
CREATE FUNCTION corners.mood_number(corners.mood) RETURNS int LANGUAGE sql STABLE AS 'SELECT length($1::text)';
CREATE CAST (corners.mood AS int) WITH FUNCTION corners.mood_number(corners.mood);
CREATE COLLATION corners.plain FROM "C";
CREATE TEXT SEARCH DICTIONARY corners.words (TEMPLATE = pg_catalog.simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION corners.english_plus (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION corners.english_plus ALTER MAPPING FOR asciiword WITH corners.words, english_stem;
COMMENT ON AGGREGATE corners.longest(text) IS 'The longest.';
COMMENT ON OPERATOR corners.<~> (text, text) IS 'The longer one';

-- Views, rules, policies.
CREATE RECURSIVE VIEW corners.numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5;
CREATE VIEW corners.small AS SELECT id, line FROM corners.log WHERE id < 100 WITH LOCAL CHECK OPTION;
CREATE VIEW corners.writable AS SELECT 'a' || E'\n\\.\n' AS t, id FROM corners.empty;
CREATE RULE insert_it AS ON INSERT TO corners.writable DO INSTEAD INSERT INTO corners.empty VALUES (NEW.id, ARRAY[NEW.t]);
CREATE RULE "tell; all" AS ON DELETE TO corners.empty DO ALSO NOTIFY emptied;
COMMENT ON RULE insert_it ON corners.writable IS 'Writes elsewhere.';
CREATE TABLE corners.secrets (owner name NOT NULL, secret text);
INSERT INTO corners.secrets VALUES ('snap_demo_app', 'tea'), ('nobody', NULL);
ALTER TABLE corners.secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE corners.secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON corners.secrets TO snap_demo_app USING (owner = current_user) WITH CHECK (secret <> 'stolen');
CREATE POLICY "no; deletes" ON corners.secrets AS RESTRICTIVE FOR DELETE USING (false);
COMMENT ON POLICY own ON corners.secrets IS 'One''s own';
\if :has_15
    CREATE VIEW corners.invoked WITH (security_invoker = true) AS SELECT * FROM corners.secrets;
    CREATE TABLE corners.nulls (a int, UNIQUE NULLS NOT DISTINCT (a));
\endif

-- Storage and other properties of tables.
CREATE TABLE corners.tuned (id int, t text COMPRESSION pglz) WITH (fillfactor = 70, autovacuum_enabled = false);
ALTER TABLE corners.tuned ALTER t SET STORAGE EXTERNAL, ALTER id SET STATISTICS 500, ALTER id SET NOT NULL,
    ADD CONSTRAINT tuned_key PRIMARY KEY (id) WITH (fillfactor = 50), CLUSTER ON tuned_key, REPLICA IDENTITY USING INDEX tuned_key;
CREATE TABLE corners.of_type OF corners.pair (l WITH OPTIONS PRIMARY KEY);
CREATE FUNCTION corners.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER "guard; it" BEFORE INSERT ON corners.tuned FOR EACH ROW EXECUTE FUNCTION corners.guard('it''s', '\.');
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON corners.tuned DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION corners.guard();
ALTER TABLE corners.tuned DISABLE TRIGGER "guard; it", ENABLE ALWAYS TRIGGER late;

GRANT USAGE ON SCHEMA corners TO PUBLIC;
GRANT SELECT ON corners.log TO PUBLIC;
GRANT ALL ON corners.empty TO "snap_demo Clerk ""Zoë""" WITH GRANT OPTION;
GRANT USAGE, UPDATE ON SEQUENCE corners.downward TO snap_demo_app;
REVOKE USAGE ON TYPE corners.mood FROM PUBLIC;
RESET ROLE;

SET LOCAL SESSION AUTHORIZATION "snap_demo Clerk ""Zoë""";
GRANT SELECT ON corners.empty TO snap_demo_app;
RESET SESSION AUTHORIZATION;

-- What only a superuser makes.
CREATE FUNCTION corners.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE DEBUG 'ddl: %', tg_tag; END $$;
CREATE EVENT TRIGGER sample_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE')
    EXECUTE FUNCTION corners.note_ddl();
COMMENT ON EVENT TRIGGER sample_ddl IS 'Says what was made.';
CREATE PUBLICATION sample_news FOR TABLE corners.people, corners.teams WITH (publish = 'insert, update');
\if :has_19
    -- Insertions only: others would need a replica identity of every table.
    CREATE PUBLICATION sample_rest FOR ALL TABLES EXCEPT (TABLE corners.people, corners.log) WITH (publish = 'insert');
    CREATE PUBLICATION sample_numbers FOR ALL SEQUENCES;
    CREATE TABLE corners.databases (id int PRIMARY KEY, db regdatabase);
    INSERT INTO corners.databases VALUES (1, 'postgres'), (2, NULL);
\endif
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (debug 'true');
CREATE SERVER elsewhere TYPE 'none' VERSION '1' FOREIGN DATA WRAPPER nothing OPTIONS (host 'example.org');
CREATE USER MAPPING FOR snap_demo_app SERVER elsewhere OPTIONS (login 'app');
CREATE FOREIGN TABLE corners.far_away (id int OPTIONS (nr '1'), t text) SERVER elsewhere OPTIONS (path '\.');
COMMENT ON SCHEMA public IS 'Nothing of ours.';
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO snap_demo_app;
ALTER DEFAULT PRIVILEGES FOR ROLE snap_demo_owner GRANT USAGE ON TYPES TO snap_demo_readers;

-- Large objects: all bytes, an empty one, an owner, a comment, rights.
SELECT lo_from_bytea(4200001, convert_to(repeat('a large object; \.', 6000), 'UTF8')), lo_create(4200002),
       lo_from_bytea(4200003, (SELECT string_agg(set_byte('\x00', 0, i), '' ORDER BY i) FROM generate_series(0, 255) AS i))
\g /dev/null
ALTER LARGE OBJECT 4200001 OWNER TO snap_demo_owner;
GRANT SELECT ON LARGE OBJECT 4200001 TO snap_demo_app;
COMMENT ON LARGE OBJECT 4200003 IS 'Every byte. It''s \. here';
COMMIT;
