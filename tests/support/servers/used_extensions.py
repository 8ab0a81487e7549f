"""Extensions in use: what makes them hold something, and what must be so after a restore."""

from __future__ import annotations

from dataclasses import dataclass

PACKAGES = {
    "postgis-3": "postgis",
    "partman": "pg_partman",
    "cron": "pg_cron",
    "pgq3": "pgq",
    "periods": "periods",
    "pointcloud": "pointcloud",
    "pgsphere": "pg_sphere",
    "pgaudit": "pgaudit",
    "pgagent": "pgagent",
    "hll": "hll",
    "ip4r": "ip4r",
    "prefix": "prefix",
    "semver": "semver",
    "tdigest": "tdigest",
    "unit": "unit",
    "pgmp": "pgmp",
    "q3c": "q3c",
    "debversion": "debversion",
}
"""Debian's packages, each with an extension of it. Those of contrib come with the server."""


@dataclass(frozen=True)
class Used:
    """*start* makes the database; *ask* has the same answer before and after a restore; *write* is
    what the extension's users do next, which must not fail.

    *fails* is the check of a drill that must fail, *notes* are words of its note (none: there is
    none; None: there may be one, for bytes that a type leaves as they happen to be).
    """

    start: str
    ask: str
    write: str = "SELECT 1"
    fails: str = ""
    notes: tuple[str, ...] | None = ()


_SCHEMA = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<pc:PointCloudSchema xmlns:pc="http://pointcloud.org/schemas/PC/1.1"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    "<pc:dimension><pc:position>1</pc:position><pc:size>4</pc:size><pc:name>X</pc:name>"
    "<pc:interpretation>int32_t</pc:interpretation><pc:scale>0.01</pc:scale></pc:dimension>"
    "<pc:dimension><pc:position>2</pc:position><pc:size>4</pc:size><pc:name>Y</pc:name>"
    "<pc:interpretation>int32_t</pc:interpretation><pc:scale>0.01</pc:scale></pc:dimension>"
    '<pc:metadata><Metadata name="compression">none</Metadata></pc:metadata>'
    "</pc:PointCloudSchema>"
)
_POINT = "ST_SetSRID(ST_MakePoint(g / 7.0, g / 3.0), 4326)"

USED = {
    "postgis": Used(
        "CREATE EXTENSION postgis;"
        "CREATE TABLE place (id int PRIMARY KEY, at geometry(Point, 4326), area geography);"
        f"INSERT INTO place SELECT g, {_POINT}, {_POINT}::geography FROM generate_series(1, 100) g;"
        "CREATE INDEX place_at ON place USING gist (at);"
        "INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text)"
        " VALUES (910001, 'own', 1, 'x', '+proj=longlat')",
        "SELECT count(*), sum(ST_X(at)), md5(string_agg(area::text, '' ORDER BY id)) FROM place;"
        "SELECT proj4text FROM spatial_ref_sys WHERE srid = 910001",
    ),
    "postgis_topology": Used(
        "CREATE EXTENSION postgis; CREATE EXTENSION postgis_topology;"
        "SELECT topology.CreateTopology('town', 4326);"
        "CREATE TABLE public.street (id serial PRIMARY KEY, name text);"
        "SELECT topology.AddTopoGeometryColumn('town', 'public', 'street', 'geom', 'LINE');"
        "INSERT INTO street (name, geom) VALUES ('a', topology.toTopoGeom("
        "ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326), 'town', 1))",
        "SELECT name, ST_AsText(geom::geometry) FROM street; SELECT name FROM topology.topology",
        "SELECT topology.CreateTopology('village', 4326)",
    ),
    "pg_partman": Used(
        "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;"
        "CREATE TABLE public.event (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);"
        "SELECT partman.create_parent('public.event', 'at', 'native', 'daily');"
        "INSERT INTO event SELECT g, now() FROM generate_series(1, 50) g",
        "SELECT count(*), sum(id) FROM event;SELECT parent_table, premake FROM partman.part_config",
        "SELECT partman.run_maintenance('public.event')",
    ),
    "pg_cron": Used(
        "CREATE EXTENSION pg_cron; CREATE TABLE t AS SELECT 1 AS id;"
        "SELECT cron.schedule('nightly', '0 3 * * *', 'VACUUM')",
        "SELECT jobid, schedule, command, jobname FROM cron.job; SELECT id FROM t",
        "SELECT cron.schedule('hourly', '5 * * * *', 'SELECT 1')",
        notes=("not proven: the extension pg_cron",),
    ),
    "pgq": Used(
        "CREATE EXTENSION pgq;"
        "SELECT pgq.create_queue('orders'), pgq.register_consumer('orders', 'mailer');"
        "SELECT pgq.insert_event('orders', 'new', '1'); SELECT pgq.ticker()",
        "SELECT queue_name FROM pgq.queue; SELECT co_name FROM pgq.consumer",
        "SELECT pgq.create_queue('more'), pgq.register_consumer('more', 'printer')",
    ),
    "pgagent": Used(
        "CREATE EXTENSION pgagent;"
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'nightly'), (1, 'daily')",
        "SELECT jobid, jobname FROM pgagent.pga_job ORDER BY 1",
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'weekly')",
    ),
    "periods": Used(
        "CREATE EXTENSION periods CASCADE;"
        "CREATE TABLE emp (id int PRIMARY KEY, name text);"
        "SELECT periods.add_system_time_period('emp'), periods.add_system_versioning('emp');"
        "INSERT INTO emp VALUES (1, 'a'); UPDATE emp SET name = 'b'",
        "SELECT id, name FROM emp; SELECT id, name FROM emp_history",
        "UPDATE emp SET name = 'c'",
    ),
    "pointcloud": Used(
        "CREATE EXTENSION pointcloud;"
        f"INSERT INTO pointcloud_formats (pcid, srid, schema) VALUES (1, 4326, '{_SCHEMA}');"
        "CREATE TABLE a_cloud (id serial PRIMARY KEY, pt pcpoint(1));"
        "INSERT INTO a_cloud (pt)"
        " SELECT PC_MakePoint(1, ARRAY[g, g / 2.0]) FROM generate_series(1, 20) g",
        "SELECT id, PC_AsText(pt) FROM a_cloud ORDER BY 1",
        notes=None,
    ),
    "pg_sphere": Used(
        "CREATE EXTENSION pg_sphere; CREATE TABLE star (id int PRIMARY KEY, p spoint);"
        "INSERT INTO star SELECT g, spoint(g * 0.0617283945061728, g * 0.01234567890123457)"
        " FROM generate_series(1, 100) g; CREATE INDEX ON star USING gist (p)",
        "SELECT id, p FROM star ORDER BY 1",
        notes=("public.star.p (spoint)", "may print less than they hold"),
    ),
    "tdigest": Used(
        "CREATE EXTENSION tdigest; CREATE TABLE delay (id int PRIMARY KEY, q tdigest);"
        "INSERT INTO delay SELECT 1, tdigest(x::float8 / 7, 100) FROM generate_series(1, 50) x",
        "SELECT id, q FROM delay",
        fails="contents",
    ),
    "pgaudit and postgres_fdw": Used(
        "CREATE EXTENSION pgaudit; CREATE EXTENSION postgres_fdw;"
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'x');"
        "CREATE USER MAPPING FOR public SERVER far OPTIONS (user 'u');"
        "CREATE FOREIGN TABLE ft (id int) SERVER far; CREATE TABLE t AS SELECT 1 AS id",
        "SELECT srvname, srvoptions FROM pg_foreign_server; SELECT to_regclass('ft') IS NOT NULL",
    ),
    "types and indexes of many": Used(
        "CREATE EXTENSION hll; CREATE EXTENSION ip4r; CREATE EXTENSION prefix;"
        "CREATE EXTENSION semver; CREATE EXTENSION unit; CREATE EXTENSION q3c;"
        "CREATE EXTENSION debversion; CREATE EXTENSION pgmp; CREATE EXTENSION hstore;"
        "CREATE EXTENSION ltree; CREATE EXTENSION citext; CREATE EXTENSION cube;"
        "CREATE EXTENSION isn; CREATE EXTENSION pg_trgm; CREATE EXTENSION bloom;"
        "CREATE EXTENSION btree_gist; CREATE EXTENSION intarray;"
        "CREATE TABLE v (id int PRIMARY KEY, h hll, ip ip4r, p prefix_range, s semver, u unit,"
        " d debversion, m mpz, k hstore, l ltree, c citext, cu cube, i isbn, t text, n int[]);"
        "INSERT INTO v SELECT g, hll_add(hll_empty(), hll_hash_integer(g)), ('10.0.0.' || g)::ip4r,"
        " ('12' || g)::prefix_range, ('1.2.' || g)::semver, (g || ' m/s')::unit, '1.0-' || g,"
        " g::mpz, hstore('a', g::text), ('a.b' || g)::ltree, 'A' || g, cube(g / 7.0, g / 3.0),"
        " '978-0-393-04002-9'::isbn, 'hello ' || g, ARRAY[g, g + 1] FROM generate_series(1, 100) g;"
        "CREATE INDEX ON v USING gin (t gin_trgm_ops); CREATE INDEX ON v USING bloom (id);"
        "CREATE INDEX ON v (q3c_ang2ipix(id, 1.0)); CREATE INDEX ON v USING gist (p);"
        "CREATE INDEX ON v USING gist (l); CREATE INDEX ON v USING gist (id);"
        "CREATE INDEX ON v USING gin (n gin__int_ops)",
        "SELECT md5(string_agg(v::text, '' ORDER BY id)) FROM v; SELECT count(*) FROM pg_indexes"
        " WHERE tablename = 'v'",
    ),
    "address_standardizer": Used(
        "CREATE EXTENSION address_standardizer; CREATE EXTENSION address_standardizer_data_us;"
        "CREATE TABLE t AS SELECT 1 AS id",
        "SELECT count(*) > 100 FROM us_lex; SELECT id FROM t",
    ),
}
