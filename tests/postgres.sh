#!/usr/bin/env bash
# Runs a command with COALMINE_TEST_POSTGRES, the URL of an empty database in a PostgreSQL that lives as long as the command,
# and with COALMINE_TEST_POSTGRES_STOP and _START, which kill it at once and start it again.
set -euo pipefail

programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
if ! [ -x "${programs:=$(dirname "$(command -v pg_ctl || echo /none)")}/initdb" ]; then
  echo "no PostgreSQL: apt-get install postgresql" >&2
  exit 1
fi
# It refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
  user=$(id -u postgres >/dev/null 2>&1 && echo postgres || echo nobody)
  as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
fi
folder=$(mktemp -d)
chmod 755 "$folder"
[ -z "${user:-}" ] || chown "$user" "$folder"
trap '"${as[@]}" "$programs/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

"${as[@]}" "$programs/initdb" --pgdata "$folder/data" --auth trust --username coalmine >/dev/null
# No port: a socket in its folder, which no other run has. What the tests kill and start again, they kill and start by these.
start="${as[*]} $programs/pg_ctl -D $folder/data -l $folder/log -w -o \"-c listen_addresses='' \
  -c unix_socket_directories=$folder -c fsync=off\" start >/dev/null"
stop="${as[*]} $programs/pg_ctl -D $folder/data -m immediate stop >/dev/null"
bash -c "$start"
"$programs/postgres" --version
COALMINE_TEST_POSTGRES="postgres://coalmine@localhost/postgres?host=$folder" \
  COALMINE_TEST_POSTGRES_START="$start" COALMINE_TEST_POSTGRES_STOP="$stop" "$@"
