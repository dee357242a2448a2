#!/bin/sh
# Says a verb to a rollout of `coalmine serve`, and follows the release to its end. It needs a POSIX shell, curl, sed and awk.
#
#   rollout.sh VERB       says start, approve, promote or rollback, and waits; interrupted, it rolls back
#   rollout.sh withdraw   rolls the release back that was said a verb to latest, where it still goes on
#
# COALMINE_SERVER, COALMINE_ROLLOUT   the server's address, and the rollout: shop/checkout
# COALMINE_TOKEN                      a token; without it GitHub is asked for one, for the audience COALMINE_AUDIENCE
# COALMINE_MESSAGE, COALMINE_KEY      why, for history; what makes it one release however often it is sent
# COALMINE_UNTIL                      what is waited for: WaitingForApproval, Promoting, Promoted (unless said) or RolledBack
# COALMINE_TIMEOUT, COALMINE_ON_TIMEOUT   seconds (21000), and then: rollback (unless said) or leave
# COALMINE_POLL                       seconds between two looks (15)
# COALMINE_STATE                      a folder that stays until `withdraw`
#
# It ends with 0 where that is reached, 3 where the release ended otherwise, 4 where the time is over, and 1 where the
# server refuses or says nothing for five minutes.
set -u
umask 077

fail() { echo "coalmine: $1" >&2; exit 1; }

server=${COALMINE_SERVER:?the address of the server is missing}
rollout=${COALMINE_ROLLOUT:?the name of the rollout is missing}
state=${COALMINE_STATE:?a folder for what is kept is missing}
server=${server%/} token=${COALMINE_TOKEN:-} token_from=0 poll=${COALMINE_POLL:-15}
case $server in http://* | https://*) ;; *) fail "COALMINE_SERVER is no URL, as https://coalmine.example" ;; esac
case $rollout in
  */*/* | *[!a-z0-9/-]* | /* | */) fail "COALMINE_ROLLOUT is no name of a rollout, as shop/checkout" ;;
  */*) ;;
  *) rollout=default/$rollout ;;
esac
base=$server/v1/rollouts/$rollout
# A job may have several rollouts.
state=$state/$(printf %s "$rollout" | tr / .)
mkdir -p "$state" || fail "COALMINE_STATE cannot be written"

# A token of GitHub is good for minutes only, and is asked for again.
renew_token() {
  if [ -z "${COALMINE_TOKEN:-}" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    now=$(date +%s)
    [ $((now - token_from)) -ge 120 ] || return 0
    token=$(printf 'header = "Authorization: bearer %s"\n' "${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" |
      curl --silent --max-time 20 --config - --get --data-urlencode "audience=${COALMINE_AUDIENCE:-$server}" \
        "$ACTIONS_ID_TOKEN_REQUEST_URL" | sed -nE 's/.*"value" *: *"([^"]*)".*/\1/p')
    [ -n "$token" ] || fail "GitHub gives no token: the job needs the permission id-token: write"
    token_from=$now
  fi
  case $token in *[!A-Za-z0-9._~+/=-]*) fail "COALMINE_TOKEN has characters that no token has" ;; esac
}

# ask METHOD URL [BODY [KEY]]: the answer's status is in $status, its body and its headers in the folder. The token stands on
# no command line, and goes nowhere else: no redirect is followed.
ask() {
  renew_token
  set -- "$1" "$2" "${3:-}" "${4:-}"
  : >"$state/body"
  status=$(
    {
      [ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$token"
      [ -z "$4" ] || printf 'header = "Idempotency-Key: %s"\n' "$4"
      [ "$1" = GET ] || printf 'header = "Content-Type: application/json"\n'
    } | if [ "$1" = GET ]; then
      curl --silent --max-time 20 --config - --output "$state/body" --write-out '%{http_code}' "$2"
    else
      curl --silent --max-time 20 --config - --dump-header "$state/headers" --output "$state/body" \
        --write-out '%{http_code}' --data-binary "$3" "$2"
    fi
  ) || status=000
}

# Whether the same request may have another answer later.
is_for_later() { case $status in 000 | 429 | 5??) return 0 ;; *) return 1 ;; esac; }

# What the server says of itself: a word, a number, or a text of the latest answer. In JSON no text has a bare quote, so none
# can be taken for a field.
word() { sed -nE 's/.*"'"$1"'":"([A-Za-z]*)".*/\1/p' "$state/body"; }
number() { sed -nE 's/.*"'"$1"'":([0-9.]+).*/\1/p' "$state/body" | sed 's/\.0$//'; }
text() {
  sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' "$state/body" | sed 's/\\n/ /g; s/\\"/"/g; s/\\\\/\\/g' | tr -d '\000-\037\177'
}
json() { printf %s "$1" | tr '\n\r\t' '   ' | tr -d '\000-\037\177' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

refused() {
  case $status in
    3??) fail "the server answers with a redirect, which is not followed: is $server its address?" ;;
    *) fail "the server refuses ($status): $(text detail)" ;;
  esac
}

# While one waits so, a signal is seen at once.
pause() {
  sleep "$1" &
  sleeper=$!
  wait $sleeper
}

say() {
  body="{\"message\":\"$(json "${COALMINE_MESSAGE:-}")\"}" key=${COALMINE_KEY:+$COALMINE_KEY-$rollout-$1}
  case $key in *[!A-Za-z0-9._:/-]*) fail "COALMINE_KEY has characters beside letters, digits and ._:/-" ;; esac
  echo "$1" >"$state/said"
  tries=0
  while ask POST "$base/$1" "$body" "$key"; is_for_later; do
    tries=$((tries + 1))
    # Without a key a second time may be a second release.
    [ -n "$key" ] && [ $((tries * poll)) -lt 300 ] || fail "the server does not take $1: it answers ${status#000}"
    echo "coalmine: the server does not answer $1 yet ($status); it is asked again"
    pause "$poll"
  done
  case $status in 200 | 202) ;; *) refused ;; esac
  # The number alone: the token goes to the address that was given, whatever the answer names.
  sed -nE 's|^[Ll]ocation:.*/releases/([0-9]+).*|\1|p' "$state/headers" | tr -d '\r' >"$state/release"
  release=$(cat "$state/release")
  [ -n "$release" ] || fail "the server names no release"
}

# Ends with what was reached, once something is.
look() {
  phase=$(word phase) outcome=$(word outcome) weight=$(number weight) message=$(text message)
  if [ "$phase $weight" != "${seen:-}" ]; then
    seen="$phase $weight"
    echo "$(($(date +%s) - begun)) $weight $phase" >>"$state/course"
    echo "coalmine: release $release: $phase, $weight %: $message"
  fi
  case $outcome in
    '') case $phase.$until in
      "$until.$until" | Promoting.WaitingForApproval) ended=0 ;;
    esac ;;
    "$until") ended=0 ;;
    Promoted) case $until in WaitingForApproval | Promoting) ended=0 ;; *) ended=3 ;; esac ;;
    *) ended=3 ;;
  esac
}

follow() {
  until=${COALMINE_UNTIL:-} ended= silent=0
  [ -n "$until" ] || case $1 in rollback) until=RolledBack ;; *) until=Promoted ;; esac
  case $until in
    WaitingForApproval | Promoting | Promoted | RolledBack) ;;
    *) fail "COALMINE_UNTIL is WaitingForApproval, Promoting, Promoted or RolledBack" ;;
  esac
  begun=$(date +%s) limit=${COALMINE_TIMEOUT:-21000}
  rm -f "$state/release" "$state/course"
  trap 'cancelled' INT TERM HUP
  say "$1"
  while :; do
    ask GET "$base/releases/$release"
    if [ "$status" = 200 ]; then
      silent=0
      look
    elif is_for_later; then
      # Proxies go on without the server, and so does the release once it is back.
      silent=$((silent + poll))
      [ $silent -lt 300 ] || fail "the server says nothing for five minutes; release $release goes on without this job"
    else
      refused
    fi
    [ -z "$ended" ] || break
    if [ $(($(date +%s) - begun)) -ge "$limit" ]; then
      echo "coalmine: the time is over after ${limit} s: ${message:-nothing is known of it}"
      [ "${COALMINE_ON_TIMEOUT:-rollback}" = leave ] || withdraw "the time is over"
      ended=4
      break
    fi
    pause "$poll"
  done
  trap - INT TERM HUP
  [ $ended != 3 ] || echo "coalmine: release $release ended as $outcome: $message" >&2
  told
  exit "$ended"
}

# Sends users back, where the release of this job still goes on: another one may have begun meanwhile.
withdraw() {
  [ -s "$state/said" ] || return 0
  # It was said, and nobody knows whether it was heard: the same key has the same answer.
  [ -s "$state/release" ] || { [ -n "${COALMINE_KEY:-}" ] && say "$(cat "$state/said")"; }
  release=$(cat "$state/release")
  for _ in 1 2 3; do
    ask GET "$base/releases/$release"
    [ "$status" = 200 ] && [ -n "$(word outcome)" ] && return 0
    ask POST "$base/rollback" "{\"message\":\"$(json "$1: ${COALMINE_MESSAGE:-}")\"}"
    case $status in 2??) break ;; 409) break ;; esac
    sleep 1
  done
  case $status in
    2??) echo "coalmine: release $release is rolled back: $1" ;;
    *) echo "coalmine: release $release is NOT rolled back ($status): $(text detail)" >&2 ;;
  esac
}

cancelled() {
  trap '' INT TERM HUP
  [ -z "${sleeper:-}" ] || kill "$sleeper" 2>/dev/null
  withdraw "the job is cancelled"
  outcome= phase=RollingBack
  told
  exit 130
}

# Outputs and the summary of a job on GitHub.
told() {
  if [ -n "${GITHUB_OUTPUT:-}" ]; then
    for output in "release=${release:-}" "phase=${phase:-}" "outcome=${outcome:-}" "weight=${weight:-}" \
      "message=${message:-}"; do printf '%s\n' "$output"; done >>"$GITHUB_OUTPUT"
  fi
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || summary >>"$GITHUB_STEP_SUMMARY"
}

summary() {
  printf '### %s, release %s: %s\n\n' "$rollout" "${release:-}" "${outcome:-${phase:-}}"
  printf '%s\n\n```text\n' "$(printf %s "${message:-}" | sed 's/[][`<>*_|\\]/\\&/g')"
  [ ! -s "$state/course" ] || awk '{
    bar = ""
    for (i = 0; i < 40; i++) bar = bar (i < $2 * 0.4 ? "█" : "·")
    printf "%6d:%02d  %s %7s %%  %s\n", $1 / 60, $1 % 60, bar, $2, $3
  }' "$state/course"
  printf '```\n'
}

case ${1:-} in
  start | approve | promote | rollback) follow "$1" ;;
  withdraw) withdraw "the job is cancelled" ;;
  *) fail "a verb is start, approve, promote, rollback or withdraw" ;;
esac
