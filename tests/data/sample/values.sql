-- Values: every escape of COPY's text format, and the extremes of every type.

SET client_min_messages = warning;
SET TimeZone = 'UTC';
BEGIN;
SET LOCAL ROLE snap_demo_owner;

CREATE TABLE corners.escapes (id int PRIMARY KEY, what text NOT NULL, value text);
INSERT INTO corners.escapes VALUES
    (1, 'NULL', NULL), (2, 'empty', ''), (3, 'NULL as text', '\N'), (4, 'end mark', '\.'),
    (5, 'end mark on a line of its own', E'a\n\\.\nb'), (6, 'tab', E'a\tb'), (7, 'newline', E'a\nb'),
    (8, 'carriage return', E'a\rb\r\n'), (9, 'one backslash', '\'), (10, 'backslash at the end', 'a\'),
    (11, 'escapes as text', '\t\n\r\b\f\v\x41\101'), (12, 'only a newline', E'\n'), (13, 'only a tab', E'\t'),
    (14, 'spaces around', '  a  '), (15, 'quotes', $$'single' "double" `back`$$), (16, 'a COPY', E'COPY x FROM stdin;\n1\n\\.\n'),
    (17, 'dollar', '$$ $tag$'), (18, 'psql', E'\\connect postgres\n\\! echo no'), (19, 'NULL in words', 'NULL'),
    (20, 'delete and C1', U&'\007F\0080\0085\009F'), (21, 'line separators', U&'a\2028b\2029c'),
    (22, 'byte order mark', U&'\FEFFa\FFFE'), (23, 'right to left', U&'\202Eabc\202C'),
    (24, 'combining', U&'e\0301 \1112\1161'), (25, 'end of the planes', U&'\+01FFFF \+02FFFF \+0E0001 \+10FFFF'),
    (26, 'restrict', '\restrict abc'), (27, 'header', E'--\n-- Name: x; Type: TABLE; Schema: y; Owner: z\n--\n');
INSERT INTO corners.escapes SELECT 100 + i, 'control character ' || i, 'x' || chr(i) || 'y' FROM generate_series(1, 31) AS i;
INSERT INTO corners.escapes SELECT 200 + i, 'only control character ' || i, chr(i) FROM generate_series(1, 31) AS i;
INSERT INTO corners.escapes
SELECT 300 + plane, 'plane ' || plane, string_agg(chr(plane * 65536 + low), '' ORDER BY low)
FROM generate_series(0, 16) AS plane, generate_series(1, 65533, 211) AS low
WHERE plane > 0 OR low NOT BETWEEN 55296 AND 57343 GROUP BY plane;

-- One column: a row is a line, and a line can look like the end.
CREATE TABLE corners.lines (line text);
INSERT INTO corners.lines SELECT value FROM corners.escapes ORDER BY id;

CREATE TABLE corners.long_text (id int, value text);
ALTER TABLE corners.long_text ALTER value SET STORAGE EXTERNAL;
INSERT INTO corners.long_text
SELECT 1, string_agg(md5(i::text), CASE WHEN i % 50 = 0 THEN E'\n' WHEN i % 7 = 0 THEN '\' ELSE ' ' END ORDER BY i)
FROM generate_series(1, 92000) AS i;
INSERT INTO corners.long_text VALUES (2, 'short'), (3, repeat('=', 70000)), (4, repeat(E'\\\n', 40000));

CREATE TABLE corners.bytes (id int, value bytea);
INSERT INTO corners.bytes SELECT i, set_byte('\x00', 0, i) FROM generate_series(0, 255) AS i;
INSERT INTO corners.bytes VALUES (256, ''), (257, NULL), (258, decode(repeat('00ff5c0a', 20000), 'hex'));

CREATE TABLE corners.numbers_of_all_kinds (what text, n numeric, d double precision, f real, i8 bigint, i2 smallint, m money);
INSERT INTO corners.numbers_of_all_kinds VALUES
    ('not a number', 'NaN', 'NaN', 'NaN', 0, 0, 0),
    ('infinity', 'Infinity', 'Infinity', 'Infinity', 9223372036854775807, 32767, 92233720368547758.07),
    ('minus infinity', '-Infinity', '-Infinity', '-Infinity', -9223372036854775808, -32768, -92233720368547758.08),
    ('zero with a sign', -0.0, '-0', '-0', -0, -0, -0),
    ('largest', 10::numeric ^ 1000, 1.7976931348623157e308, 3.4028235e38, 1, 1, 1),
    ('smallest', 1e-1000, 5e-324, 1e-45, 1, 1, 0.01),
    ('digits', 1.10, 0.1, 0.1, 9007199254740993, 1, 1), ('scale', 1.1000000, 1e23, 16777216, 1, 1, 1),
    ('thirds', 1 / 3.0, 1 / 3.0, 1 / 3.0, 3, 3, 3);

CREATE TABLE corners.times (what text, d date, t timestamp, z timestamptz, h time, hz timetz, i interval);
INSERT INTO corners.times VALUES
    ('infinity', 'infinity', 'infinity', '-infinity', '24:00:00', '24:00:00-15:59', '0'),
    ('first', '4713-01-01 BC', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '00:00', '00:00+15:59', '-178000000 years'),
    ('last', '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '23:59:59.999999', '23:59:59.999999+00', '178000000 years'),
    ('year one', '0001-01-01', '0001-12-31 BC', '1969-12-31 23:59:59.999999+00', '12:00', '12:00+05:30', '1 year -2 mons +3 days -04:05:06.000007'),
    ('clock change', '2025-03-30', '2025-03-30 02:30', '2025-03-30 02:30:00 Europe/Berlin', '02:30', '02:30+02', '-1 day +23:59'),
    ('leap', '2024-02-29', '2024-02-29', '2024-02-29 12:00+14', '12:00:00.5', '12:00-12', 'P1Y2M3DT4H5M6.5S');

CREATE TABLE corners.composites (id int, a text[], b int[], m corners.mood[], p corners.pair, ps corners.pairs, r int8range,
    n nummultirange, x corners.textrange, j json, jb jsonb, jp jsonpath);
INSERT INTO corners.composites VALUES
    (1, '{}', '{}', '{}', NULL, '{}', 'empty', '{}', 'empty', '{}', '{}', '$'),
    (2, ARRAY['a,b', '{c}', '"d"', NULL, 'NULL', '', '\', E'e\nf', E'\t', '\.'], '[0:2]={1,2,3}', ARRAY['sad', 'it''s "ok"', '']::corners.mood[],
     ROW(E'(a,"b")\n\\.', '{1,NULL}'), ARRAY[ROW('x,y', '{}'), NULL, ROW('', NULL)]::corners.pair[], '[1,]', '{[1,2),(5,7.5]}',
     '["a,b","c]d")', E'{"b": 1, "a" :\t[1, 2 ],\n "a": "\\u00e9\\\\."}', '{"b": 1, "a": [1.10, 1e3, null, "\\.", "\u0001"], "": {}}', '$.a[*] ? (@ > 1)'),
    (3, '{{a,b},{c,NULL}}', '{{{1}},{{2}}}', NULL, ROW(NULL, NULL), NULL, '(,)', '{(,)}', '(,"")', '[]', '"just text"', 'strict $."b c"');

CREATE TABLE corners.others (b bit(5), vb bit varying, n inet, c cidr, m macaddr, m8 macaddr8, u uuid, g point, l lseg, bx box,
    pt path, pg polygon, ci circle, ln line, ts tsvector, tq tsquery, x "char", nm name, ch char(4), lsn pg_lsn, ov oidvector);
INSERT INTO corners.others VALUES
    ('10101', '', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '00000000-0000-0000-0000-00000000000f',
     '(1,-0)', '((0,0),(1,1))', '((0,0),(1,1))', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1e-300>', '{1,-1,0}',
     $$'a':1A 'b c':2,3 'it''s' '\\'$$, $$'a' & !'b' <2> 'c':*$$, '\\', 'name', 'a', '16/B374D848', '1 2 3'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', '', '0/0', '');
COMMIT;
