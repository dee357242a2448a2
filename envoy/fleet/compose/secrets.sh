#!/bin/sh
# Makes the secrets of docker-compose.yaml, in compose/secrets: the tokens of the operator and of the proxies, and the key of
# the rollout. Those that are there already stay.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

for name in operator proxies; do
  [ -s "$name" ] || random 32 >"$name"
done
[ -s proxies.env ] ||
  printf 'COALMINE_PROXY_TOKEN=%s\nCOALMINE_CHECKOUT_KEY=%s\n' "$(cat proxies)" "$(random 16)" >proxies.env
# The folder is closed to others. The server reads these two as a user of its own, inside its container.
chmod 644 operator proxies
