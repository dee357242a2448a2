#!/bin/sh
# Users for docker-compose.yaml: 2,000 of them come again and again, each by both proxies, 150 requests a second.
set -eu
trap 'exit 0' INT TERM

requests() {
  user=$1
  while [ "$user" -lt $(($1 + 100)) ]; do
    for proxy in edge-1 edge-2; do
      printf '%surl = "http://%s:10000/"\nheader = "x-user-id: user-%d"\noutput = /dev/null\n' "$next" "$proxy" "$user"
      next='next
'
    done
    user=$((user + 1))
  done
}

first=0
while :; do
  next=''
  # The health check looks at this file: users come as long as it is made anew.
  if requests "$first" | curl --silent --rate 150/s --max-time 10 --config -; then touch /tmp/came; else sleep 1; fi
  first=$(((first + 100) % 2000))
done
