#!/bin/sh
# Says a verb to a rollout of `coalmine serve`, and follows the release to its end. It needs curl, and of POSIX a shell, sed,
# awk and od.
#
#   rollout.sh VERB       says start, approve, promote or rollback, and waits; interrupted, it rolls back
#   rollout.sh withdraw   rolls back the release to which a verb was said last, where it still goes on
#
# COALMINE_SERVER, COALMINE_ROLLOUT   the server's address, and the rollout: shop/checkout
# COALMINE_TOKEN                      a token; without it GitHub is asked for one, for the audience COALMINE_AUDIENCE
# COALMINE_RELEASE                    number of the release that approve, promote and rollback are about; without it the latest
# COALMINE_MESSAGE                    why, for history: 900 characters of it
# COALMINE_IDEMPOTENCY_KEY            what makes it one release however often it is sent
# COALMINE_UNTIL                      what is waited for: WaitingForApproval, Promoting, Promoted (unless said) or RolledBack
# COALMINE_TIMEOUT, COALMINE_ON_TIMEOUT   seconds (21000), and then: rollback (unless said) or leave
# COALMINE_POLL                       seconds between two looks (15)
# COALMINE_STATE                      a folder that stays until `withdraw`
# COALMINE_DOTENV                     a file that tells later jobs the release, as COALMINE_RELEASE=7
#
# It ends with 0 where that is reached, 3 where the release ended otherwise, 4 where the time is over, and 1 where the
# server refuses or says nothing for five minutes, where `start` finds a release of somebody else, and where `withdraw`
# could not roll back.
set -u
umask 077

# Not by `echo`, which in some shells makes line breaks of what it is given: a line may be a command to GitHub's runner.
tell() { printf 'coalmine: %s\n' "$1"; }
fail() { tell "$1" >&2; exit 1; }

# digits NAME VALUE MOST EXAMPLE: a number of at most so many digits, and nothing that a shell's arithmetic would evaluate.
digits() {
  case $2 in
    '' | *[!0123456789]* | 0?*) ;;
    *) [ ${#2} -gt "$3" ] || return 0 ;;
  esac
  fail "$1 is no number in plain digits, as $4"
}

server=${COALMINE_SERVER:?the address of the server is missing}
rollout=${COALMINE_ROLLOUT:?the name of the rollout is missing}
state=${COALMINE_STATE:?a folder for what is kept is missing}
server=${server%/} token=${COALMINE_TOKEN:-} token_from=0 is_old=
poll=${COALMINE_POLL:-15} limit=${COALMINE_TIMEOUT:-21000} meant=${COALMINE_RELEASE:-} patience=300
digits COALMINE_POLL "$poll" 5 15
[ "$poll" -ge 1 ] || fail "COALMINE_POLL is at least 1"
digits COALMINE_TIMEOUT "$limit" 7 21000
[ -z "$meant" ] || digits COALMINE_RELEASE "$meant" 15 7
case $token in *[!A-Za-z0-9._~+/=-]*) fail "COALMINE_TOKEN has characters that no token has" ;; esac
case ${COALMINE_IDEMPOTENCY_KEY:-} in
  *[!A-Za-z0-9._:/-]*) fail "COALMINE_IDEMPOTENCY_KEY has characters beside letters, digits and ._:/-" ;;
esac
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

# A token of GitHub is good for minutes only, and is asked for again. Where GitHub does not answer then, the one before may
# still be good.
renew_token() {
  [ -z "${COALMINE_TOKEN:-}" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] || return 0
  now=$(date +%s)
  [ $((now - token_from)) -ge 120 ] || return 0
  fresh=$(printf 'header = "Authorization: bearer %s"\n' "${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" |
    curl --silent --max-time 20 --config - --get --data-urlencode "audience=${COALMINE_AUDIENCE:-$server}" \
      "$ACTIONS_ID_TOKEN_REQUEST_URL" | sed -nE 's/.*"value" *: *"([^"]*)".*/\1/p')
  case $fresh in
    '' | *[!A-Za-z0-9._~+/=-]*)
      # A rollback is not given up for this.
      [ -n "$token" ] || [ "$verb" = withdraw ] ||
        fail "GitHub gives no token: the job needs the permission id-token: write"
      is_old=yes
      ;;
    *) token=$fresh token_from=$now is_old= ;;
  esac
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
is_for_later() {
  case $status in
    000 | 429 | 5??) ;;
    401) [ -n "$is_old" ] ;;
    *) return 1 ;;
  esac
}

# What the server says of itself: a word, a number, or a text of the latest answer. In JSON no text has a bare quote, so none
# can be taken for a field.
word() { sed -nE 's/.*"'"$1"'":"([A-Za-z]*)".*/\1/p' "$state/body"; }
number() { sed -nE 's/.*"'"$1"'":([0-9.]+).*/\1/p' "$state/body" | sed 's/\.0$//'; }
text() {
  sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' "$state/body" | sed 's/\\n/ /g; s/\\"/"/g; s/\\\\/\\/g' | tr -d '\000-\037\177'
}
json() { printf %s "$1" | tr '\n\r\t' '   ' | tr -d '\000-\037\177' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

# The server takes 1,000 characters, and a rollback puts a few before them. They are counted in bytes written in octal, so
# that no locale matters: one that begins with 2 goes on with the character before it.
shortened() {
  printf %b "$(printf %s "$1" | od -An -v -to1 | awk '{
    for (i = 1; i <= NF; i++) {
      if ($i !~ /^2/) characters++
      if (characters <= 900) text = text "\\0" $i
    }
  } END { print text (characters > 900 ? "..." : "") }')"
}
why=$(shortened "${COALMINE_MESSAGE:-}")

# request MESSAGE [RELEASE]: the body of a verb.
request() { printf '{"message":"%s"%s}' "$(json "$1")" "${2:+,\"release\":$2}"; }

# key_of VERB: its idempotency key, in $key.
key_of() { key=${COALMINE_IDEMPOTENCY_KEY:+$COALMINE_IDEMPOTENCY_KEY-$rollout-$1}; }

# The release that an answer is about. The number alone: the token goes to the address that was given, whatever it names.
located() { sed -nE 's|^[Ll]ocation:.*/releases/([0-9]+).*|\1|p' "$state/headers" | tr -d '\r'; }

refusal() {
  case $status in
    3??) printf %s "the server answers with a redirect, which is not followed: is $server its address?" ;;
    *) printf %s "the server refuses ($status): $(text detail)" ;;
  esac
}

# While one waits so, a signal is seen at once.
pause() {
  sleep "$1" &
  sleeper=$!
  wait $sleeper
}

# say VERB: says it until there is an answer, and keeps which release that is about. It returns 1 where the verb was not taken,
# and $trouble says why.
say() {
  key_of "$1"
  [ "$1" != start ] || meant=
  body=$(request "$why" "$meant") since=$(date +%s) is_unheard=
  echo "$1" >"$state/said"
  while ask POST "$base/$1" "$body" "$key"; is_for_later; do
    is_unheard=yes trouble="the server does not take $1 ($status)"
    # Without a key a second time may be a second release.
    [ -n "$key" ] && [ $(($(date +%s) - since)) -lt "$patience" ] || return 1
    tell "the server does not answer $1 yet ($status); it is asked again"
    pause "$poll"
  done
  case $1.$status in
    start.200) trouble="release $(located) of $rollout goes on already, and this job has not begun it: it is left as it is" ;;
    *.200 | *.202)
      release=${meant:-$(located)} trouble="the server names no release"
      [ -n "$release" ] || return 1
      echo "$release" >"$state/release"
      [ -z "${COALMINE_DOTENV:-}" ] || echo "COALMINE_RELEASE=$release" >"$COALMINE_DOTENV"
      return 0
      ;;
    *) trouble=$(refusal) ;;
  esac
  # A start that was refused has begun nothing that `withdraw` could roll back, unless the same one went unheard before.
  case $1.$status.$is_unheard in start.200.* | start.409.* | start.*.) rm -f "$state/said" ;; esac
  return 1
}

# Ends with what was reached, once something is.
look() {
  phase=$(word phase) outcome=$(word outcome) weight=$(number weight) message=$(text message)
  if [ "$phase $weight" != "${seen:-}" ]; then
    seen="$phase $weight"
    echo "$(($(date +%s) - begun)) $weight $phase" >>"$state/course"
    tell "release $release: $phase, $weight %: $message"
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
  ended='' silent_since='' until=${COALMINE_UNTIL:-}
  [ -n "$until" ] || case $1 in rollback) until=RolledBack ;; *) until=Promoted ;; esac
  case $until in
    WaitingForApproval | Promoting | Promoted | RolledBack) ;;
    *) fail "COALMINE_UNTIL is WaitingForApproval, Promoting, Promoted or RolledBack" ;;
  esac
  begun=$(date +%s)
  rm -f "$state/course" "$state/withdrawal"
  # A release that no later job could know of is not begun. Whoever collects the file may be another user.
  [ -z "${COALMINE_DOTENV:-}" ] || (umask 022 && rm -f "$COALMINE_DOTENV" && : >"$COALMINE_DOTENV") ||
    fail "COALMINE_DOTENV cannot be written"
  case $1 in
    start) rm -f "$state/release" ;;
    *) [ -z "$meant" ] || echo "$meant" >"$state/release" ;;
  esac
  trap 'cancelled' INT TERM HUP
  if ! say "$1"; then
    # A release that needs no approval any more is only waited for.
    case $1.$status.$meant in approve.409.?*) ;; *) fail "$trouble" ;; esac
    ask GET "$base/releases/$meant"
    [ "$(word phase)" = Promoting ] || fail "$trouble"
    release=$meant
  fi
  while :; do
    ask GET "$base/releases/$release"
    if [ "$status" = 200 ]; then
      silent_since=
      look
    elif is_for_later; then
      # Proxies go on without the server, and so does the release once it is back.
      silent_since=${silent_since:-$(date +%s)}
      [ $(($(date +%s) - silent_since)) -lt 300 ] ||
        fail "the server says nothing for five minutes; release $release goes on without this job"
    else
      fail "$(refusal)"
    fi
    [ -z "$ended" ] || break
    if [ $(($(date +%s) - begun)) -ge "$limit" ]; then
      tell "the time is over after $limit s: ${message:-nothing is known of it}"
      [ "${COALMINE_ON_TIMEOUT:-rollback}" = leave ] || withdraw "the time is over" 300
      ended=4
      break
    fi
    pause "$poll"
  done
  trap - INT TERM HUP
  [ $ended != 3 ] || tell "release $release ended as $outcome: $message" >&2
  told
  exit "$ended"
}

# withdraw REASON SECONDS: sends users back where the release of this job still goes on, and tries it for so long. The rollback
# comes with the release's number and with the key of the start: by either the server leaves any other release alone. It returns
# 1 where the release may go on.
withdraw() {
  [ -s "$state/said" ] || return 0
  said=$(cat "$state/said") patience=$2 poll=1
  if [ ! -s "$state/release" ]; then
    if [ -z "${COALMINE_IDEMPOTENCY_KEY:-}" ]; then
      tell "nothing is rolled back: $said had no answer and no key, so nobody knows which release it was about" >&2
      return 1
    fi
    # Nobody knows whether it was heard. The same key has the same answer, which names the release; where it was not heard, the
    # release begins now and is rolled back at once. A rollback alone could be about a release of somebody else.
    if ! say "$said"; then
      case $status in
        200 | 409) tell "nothing is rolled back: $trouble"; return 0 ;;
        *) tell "what $said has begun is NOT rolled back: $trouble" >&2; return 1 ;;
      esac
    fi
  fi
  release=$(cat "$state/release")
  case $said in start) key_of start ;; *) key_of withdraw ;; esac
  # One key belongs to one request, whichever process sends it again.
  [ -s "$state/withdrawal" ] || request "$1${why:+: $why}" "$release" >"$state/withdrawal"
  since=$(date +%s)
  while :; do
    ask POST "$base/rollback" "$(cat "$state/withdrawal")" "$key"
    trouble="($status): $(text detail)"
    case $status in
      2??)
        rm -f "$state/said"
        phase=RollingBack outcome=
        tell "release $release is rolled back: $1"
        return 0
        ;;
      409)
        # It has ended, or the server is only busy with it.
        ask GET "$base/releases/$release"
        if [ "$status" = 200 ] && [ -n "$(word outcome)" ]; then
          rm -f "$state/said"
          phase=$(word phase) outcome=$(word outcome)
          tell "release $release is over, as $outcome, and nothing is rolled back"
          return 0
        fi
        ;;
      *) is_for_later || break ;;
    esac
    [ $(($(date +%s) - since)) -lt "$patience" ] || break
    pause "$poll"
  done
  tell "release $release is NOT rolled back $trouble" >&2
  return 1
}

cancelled() {
  trap '' INT TERM HUP
  [ -z "${sleeper:-}" ] || kill "$sleeper" 2>/dev/null
  # The runner leaves it some seconds.
  withdraw "the job is cancelled" 5
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

verb=${1:-}
case $verb in
  start | approve | promote | rollback) follow "$verb" ;;
  withdraw) withdraw "the job is cancelled" 60 ;;
  *) fail "a verb is start, approve, promote, rollback or withdraw" ;;
esac
