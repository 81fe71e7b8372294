#!/usr/bin/env bash
# The agent of a machine that pulls: asks the machine's object whether it changed, and has the machine run it again.
# Lies in the machine as /etc/flatcar/pull/pull.sh, with the scripts that it runs beside it, `settings` and `object`
# (components/pull.py writes all of them). Runs as root, started by systemd:
#   pull.sh look    now and then, by flatcar-pull.timer: fetch, examine, wait for window, jitter and lock, stage, reboot
#   pull.sh prove   after a boot: prove a config that is new here, make it the last good one, give the lock back, report
# It does what the deployer does over SSH, with the same scripts: it puts their variables in front and runs them.
# `settings` sets, quoted: MACHINE LIFECYCLE WAY_BACK_WANTED (yes or no) POINTER ('', or what a host without user data has
#   in /oem/config.ign, with @flatcar-object-address@ in it) ALLOW_DEGRADED (yes or no) TIMEOUT (seconds that a boot may take)
#   LOGIN_USER JITTER (seconds) LOCK_URL LOCK_GROUP REPORT (URLs, or ''), and the arrays KEEP, WINDOWS (minutes of the week
#   since Monday 00:00 UTC, FIRST-END; none: always), KINDS SUBJECTS EXPECTED SECONDS_EACH (see health.sh).
# A config is taken as the settings in it say, not as those of the running one do: a lock or window can be taken away.
# shellcheck disable=SC2034,SC2153 # variables come from `settings`, and go to other scripts by `declare -p`
set -u -o pipefail
export LC_ALL=C

HERE=/etc/flatcar/pull
# On the OEM partition, which no lifecycle touches:
#   object, etag   what was fetched last; two lines: its ETag, and when it was written (Unix time), as far as the store says
#   proven         two lines: the config id that this machine last proved, and when its object was written
#   went-back      the config id that this machine went back from: it is not taken again
#   lock           URL and group of a reboot lock that this machine holds, or may hold
STATE=/oem/.flatcar-pull
RUN=/run/flatcar-pull
IMDS=http://169.254.169.254/latest
LONGEST=67108864
EMPTY_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
# shellcheck source=components/scripts/staging.sh
. "$HERE/staging.sh"
# shellcheck source=/dev/null
. "$HERE/settings"
SOURCE=$(head -n 1 "$HERE/object")

running() { cat /etc/flatcar/config-id 2>/dev/null; }
line() { sed -n "$2p" "$STATE/$1" 2>/dev/null; } # FILE, NUMBER
seconds() { [ -z "$1" ] || date --date="$1" +%s 2>/dev/null; }

# ---- fetching

# One line for `curl --config -`: addresses and credentials never are arguments, which every process can read.
option() {
  local value=${2//\\/\\\\}
  printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

imds() { # PATH, TOKEN
  { option url "$IMDS/$1" && option header "X-aws-ec2-metadata-token: $2"; } | curl --fail --silent --max-time 10 --config -
}

# The role's credentials, and the address of s3://BUCKET/KEY, as curl's options.
s3_options() { # s3://BUCKET/KEY
  local token region role credentials place=${1#s3://} domain=amazonaws.com
  token=$(curl --fail --silent --max-time 10 --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$IMDS/api/token") &&
    region=$(imds meta-data/placement/region "$token") &&
    role=$(imds meta-data/iam/security-credentials/ "$token") &&
    credentials=$(imds "meta-data/iam/security-credentials/${role%%$'\n'*}" "$token") || return 1
  field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$credentials" | head -n 1; }
  case $region in cn-*) domain=amazonaws.com.cn ;; esac
  option url "https://${place%%/*}.s3.dualstack.$region.$domain/${place#*/}"
  option aws-sigv4 "aws:amz:$region:s3"
  option user "$(field AccessKeyId):$(field SecretAccessKey)"
  option header "x-amz-security-token: $(field Token)"
  option header "x-amz-content-sha256: $EMPTY_SHA256"
}

fetch_options() {
  case $SOURCE in
  s3://*) s3_options "$SOURCE" || return 1 ;;
  *) option url "$SOURCE" && echo location ;;
  esac
  [ ! -s "$STATE/object" ] || [ -z "$(line etag 1)" ] || option header "If-None-Match: $(line etag 1)"
}

# Makes $STATE/object what the store has now. Asks by ETag, so that an object that did not change is not sent again.
# 1: it can't be had, and WHY says why.
fetch() {
  local options status code=0 free
  WHY=''
  options=$(fetch_options) || { WHY="the role's credentials can't be had from the metadata service" && return 1; }
  : >"$STATE/object.new" # curl may write no file for an empty answer
  free=$(df --output=avail --block-size=1 /oem | tail -n 1)
  status=$(curl --silent --show-error --globoff --connect-timeout 10 --max-time 300 --max-filesize "$LONGEST" --dump-header "$RUN/headers" \
    --output "$STATE/object.new" --write-out '%{http_code}' --config - <<<"$options" 2>"$RUN/curl") || code=$?
  header() { sed -n "s/^$1: *//Ip" "$RUN/headers" 2>/dev/null | tr -d '\r' | tail -n 1; }
  case $code-$status in
  0-304) ;;
  0-200 | 0-000) # tftp has no status
    rm -f "$STATE/etag"
    if sync "$STATE/object.new" && mv -f "$STATE/object.new" "$STATE/object"; then
      printf '%s\n' "$(header etag)" "$(seconds "$(header last-modified)")" >"$STATE/etag"
    else
      WHY="/oem can't be written"
    fi
    ;;
  0-*) WHY="the store answers with status $status" ;;
  1-*) WHY="curl on this machine does not speak ${SOURCE%%:*}" ;;
  23-*) WHY="/oem has $free bytes free: too few for the object" ;;
  *) WHY="$(head -n 1 "$RUN/curl" | tr -d '\r')" ;;
  esac
  rm -f "$STATE/object.new"
  [ -z "$WHY" ]
}

# ---- examining. The object is compact JSON that components/ignition_object.py wrote, checked by a sum over all of it:
# so a few patterns are enough to read it.

source_of() { grep -ao "\"path\":\"$1\",[^}]*\"source\":\"[^\"]*\"" "$STATE/object" | head -n 1 | sed 's/.*"source":"//; s/"$//'; }

# Whether $STATE/object is whole and made for an agent; OBJECT_ID becomes its config id. 1: it is not, and WHY says why.
examine() {
  local sums sum
  OBJECT_ID='' WHY=''
  sums=$(grep -ao 'flatcar-object-sha256-[0-9a-f]\{64\}' "$STATE/object")
  sum=${sums#flatcar-object-sha256-}
  case $sums in
  '') WHY="the object is not a config for a machine that pulls" ;;
  *$'\n'*) WHY="the object has two checksums" ;;
  *)
    if [ "$(sed "s/$sums/flatcar-object-sha256-$(printf %064d 0)/" "$STATE/object" | sha256sum | cut -d' ' -f1)" != "$sum" ]; then
      WHY="the object is damaged: its checksum does not fit"
    fi
    ;;
  esac
  [ -z "$WHY" ] || return 1
  grep -aq '"version":"3\.[0-9]*\.[0-9]*"' "$STATE/object" || WHY="the object is no Ignition config of spec 3"
  OBJECT_ID=$(source_of /etc/flatcar/config-id | sed -n 's/^data:,\([0-9a-f]\{128\}\)%0A$/\1/p')
  [ -n "$OBJECT_ID" ] || WHY="the object has no config id"
  source_of "$HERE/settings" | sed -n 's/^data:;base64,//p' | base64 -d >"$RUN/settings" 2>/dev/null && [ -s "$RUN/settings" ] ||
    WHY="the object does not say how to take it"
  [ -z "$WHY" ]
}

# ---- telling

# The report: what /run/flatcar-pull/status.json holds, put to REPORT when it is another than the last one that arrived.
report() { # STATE, the config id that it is about, why
  local why
  why=$(printf %s "$3" | tr -cd '[:print:]' | tr '\042\134' "''")
  printf '{"machine":"%s","state":"%s","config_id":"%s","running":"%s","why":"%s","boot_id":"%s","os_version":"%s"}\n' \
    "$MACHINE" "$1" "$2" "$(running)" "$why" "$(cat /proc/sys/kernel/random/boot_id)" \
    "$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')" >"$RUN/status.new"
  cmp -s "$RUN/status.new" "$RUN/status.json" || say "$1 ${2:0:12}${3:+: $3}"
  mv "$RUN/status.new" "$RUN/status.json"
  if [ -z "$REPORT" ] || cmp -s "$RUN/status.json" "$RUN/status.sent"; then return; fi
  if option url "$REPORT" | curl --fail --silent --show-error --globoff --output /dev/null --max-time 20 --request PUT \
    --header 'Content-Type: application/json' --data-binary "@$RUN/status.json" --config - >&2; then
    cp "$RUN/status.json" "$RUN/status.sent"
  else
    say "the report did not arrive; it is tried again with the next look"
  fi
}

refuse() { # why; once in the history for each object
  local sum
  sum=$(sha256sum <"$STATE/object")
  if [ "$sum" != "$(cat "$STATE/refused" 2>/dev/null)" ]; then
    note pull "${OBJECT_ID:--}" refused
    echo "$sum" >"$STATE/refused"
  fi
  report refused "$OBJECT_ID" "$1"
}

# ---- the lock: FleetLock (https://coreos.github.io/zincati/development/fleetlock/protocol/), as Zincati asks for it

fleetlock() { # pre-reboot or steady-state, URL, group; on stdout the status, 000 when nobody answers
  local id
  id=$(systemd-id128 machine-id --app-specific=de35106b6ec24688b63afddaa156679b) || return 1 # Zincati's own
  { option url "${2%/}/v1/$1" && option data "{\"client_params\":{\"id\":\"$id\",\"group\":\"$3\"}}"; } |
    curl --silent --globoff --output "$RUN/fleetlock" --write-out '%{http_code}' --max-time 20 --config - \
      --header 'fleet-lock-protocol: true' --header 'Content-Type: application/json'
}

# The marker comes first: a lock that may be held is given back, also by an agent that was killed meanwhile.
take_lock() {
  local status
  [ -n "$LOCK_URL" ] || return 0
  printf '%s\n' "$LOCK_URL" "$LOCK_GROUP" >"$STATE/lock"
  sync "$STATE/lock"
  status=$(fleetlock pre-reboot "$LOCK_URL" "$LOCK_GROUP")
  [ "$status" != 200 ] || return 0
  # airlock says 500 and "failed_lock" when all slots are taken; anything else may have been a lock
  if [ -n "$status" ] && [ "$status" != 000 ] && grep -q '"failed_lock"' "$RUN/fleetlock"; then
    rm -f "$STATE/lock"
    WHY="the lock at $LOCK_URL is not to be had: $(sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p' "$RUN/fleetlock")"
  else
    WHY="the lock at $LOCK_URL does not answer as one (status ${status:-none})"
    give_lock_back
  fi
  return 1
}

give_lock_back() {
  [ -s "$STATE/lock" ] || return 0
  if [ "$(fleetlock steady-state "$(line lock 1)" "$(line lock 2)")" = 200 ]; then
    rm -f "$STATE/lock"
    say "gave the reboot lock back"
  else
    say "the reboot lock could not be given back; that is tried again with the next look"
  fi
}

# ---- the scripts beside this one

# Runs scripts as one, as the deployer does: NAMES of variables, "--", scripts.
run() {
  local names=()
  while [ "$1" != -- ]; do names+=("$1") && shift; done
  shift
  { declare -p "${names[@]}" && (cd "$HERE" && cat "$@"); } | "${SHELL_FOR_RUN[@]}"
}
SHELL_FOR_RUN=(bash -s)

with_pointer() { OEM=${POINTER:+pointer} OEM_CONFIG=$(printf %s "${POINTER/@flatcar-object-address@/$SOURCE}" | base64 -w0); }

stage() {
  local told OBJECT_SHA512 OBJECT_BYTES BY=pull CONFIG_ID=$OBJECT_ID OEM OEM_CONFIG
  OBJECT_SHA512=$(sha512sum <"$STATE/object" | cut -d' ' -f1) OBJECT_BYTES=$(stat --format=%s "$STATE/object")
  with_pointer
  # stdout has what the machine could go back to, secrets and all: for the deployer, not for the journal
  told=$(run BY CONFIG_ID LIFECYCLE SOURCE OBJECT_SHA512 OBJECT_BYTES WAY_BACK_WANTED OEM_CONFIG KEEP -- \
    staging.sh preview.sh stage.sh 2>"$RUN/said")
  cat "$RUN/said" >&2
  grep -qx 'staged=yes' <<<"$told"
}

# The running config is the last good one from now on.
confirm() { # its object in base64, or '' to leave the noted one
  local BY=pull CONFIG_ID CONTENT=$1 OEM OEM_CONFIG
  CONFIG_ID=$(running)
  with_pointer
  run BY CONFIG_ID LIFECYCLE CONTENT OEM OEM_CONFIG KEEP -- staging.sh confirm.sh >/dev/null
}

# ---- look

in_window() {
  local window now
  [ "${#WINDOWS[@]}" -gt 0 ] || return 0
  now=$((($(date -u +%u) - 1) * 1440 + 10#$(date -u +%H) * 60 + 10#$(date -u +%M)))
  for window in "${WINDOWS[@]}"; do
    [ "$now" -lt "${window%-*}" ] || [ "$now" -ge "${window#*-}" ] || return 0
  done
  return 1
}

# Whether the object is one to take now; else it says, and reports, why not.
is_wanted() {
  fetch || { say "the object can't be had: $WHY" && return 1; }
  examine || { refuse "$WHY" && return 1; }
  if [ "$OBJECT_ID" = "$(running)" ]; then
    [ "$(line proven 1)" != "$OBJECT_ID" ] || {
      note_proven
      report proven "$OBJECT_ID" ""
    }
    return 1
  fi
  if [ "$OBJECT_ID" = "$(cat "$STATE/went-back" 2>/dev/null)" ]; then
    refuse "this machine went back from it; another config, or a raised generation, is taken"
  elif [ -n "$(line etag 2)" ] && [ "$(line etag 2)" -lt "$(line proven 2 | grep . || echo 0)" ]; then
    refuse "it was written before the one that this machine runs"
  else
    # shellcheck source=/dev/null
    . "$RUN/settings"
    case $LIFECYCLE in
    reset | reformat | flag)
      if in_window; then return 0; fi
      report waiting "$OBJECT_ID" "for the maintenance window"
      ;;
    *) report waiting "$OBJECT_ID" "its lifecycle is $LIFECYCLE" ;;
    esac
  fi
  return 1
}

look() {
  prove # unless this boot has; a look may come first
  if [ -e "$GOING_BACK" ] || [ -e "$FLAG" ]; then
    say "a re-run is staged already"
    return
  fi
  [ "$(line proven 1)" != "$(running)" ] || give_lock_back
  is_wanted || return 0
  if [ "$JITTER" -gt 0 ] && [ "$OBJECT_ID" != "$(cat "$RUN/waited" 2>/dev/null)" ]; then
    report waiting "$OBJECT_ID" "up to $JITTER s, at random"
    sleep "$(shuf -i "0-$JITTER" -n 1)"
    echo "$OBJECT_ID" >"$RUN/waited"
    is_wanted || return 0 # it may have changed meanwhile, or the window closed
  fi
  take_lock || { report waiting "$OBJECT_ID" "$WHY" && return 0; }
  report staging "$OBJECT_ID" ""
  if ! stage; then
    WHY=$(sed -n 's/^refused, nothing was staged: //p' "$RUN/said" | head -n 1)
    refuse "${WHY:-staging failed: $(tail -n 1 "$RUN/said")}"
    give_lock_back
  fi
}

# ---- prove

settled() { # 1: the boot did not come to its end, or units failed; WHY says which
  local system
  timeout "$TIMEOUT" systemctl is-system-running --wait >/dev/null 2>&1
  system=$(systemctl is-system-running 2>/dev/null)
  case $system-$ALLOW_DEGRADED in
  running-* | degraded-yes) return 0 ;;
  degraded-*) WHY="units failed: $(systemctl list-units --failed --plain --no-legend | sed -n 's/^\([^ ]\{1,\}\).*/\1/p' | paste -sd ' ')" ;;
  *) WHY="the system is ${system:-not up} after $TIMEOUT s" ;;
  esac
  return 1
}

healthy() { # as the login user, as the deployer runs them
  local told SHELL_FOR_RUN=(sudo -n -u "$LOGIN_USER" -- bash -s) index
  [ "${#KINDS[@]}" -gt 0 ] || return 0
  told=$(run KINDS SUBJECTS EXPECTED SECONDS_EACH -- health.sh)
  [ "$(grep -c '^passed=' <<<"$told")" != "${#KINDS[@]}" ] || return 0
  index=$(sed -n 's/^failed=//p' <<<"$told" | head -n 1)
  WHY="health checks failed: ${SUBJECTS[${index:-0}]} ($(sed -n 's/^why=//p' <<<"$told" | head -n 1))"
  return 1
}

# Makes $STATE/object the running config's. 1: the store has another by now.
have_running() {
  local end=$((SECONDS + TIMEOUT))
  until { [ -s "$STATE/object" ] && examine && [ "$OBJECT_ID" = "$(running)" ]; } ||
    { fetch && examine && [ "$OBJECT_ID" = "$(running)" ]; }; do
    if [ -n "$OBJECT_ID" ] || [ "$SECONDS" -gt "$end" ]; then
      WHY="the running config's object can't be had: ${WHY:-the store has another by now}"
      return 1
    fi
    sleep 5
  done
}

proved() {
  settled && healthy && have_running || return 1
  confirm "$([ "$WAY_BACK_WANTED" != yes ] || base64 -w0 "$STATE/object")" && return
  WHY="the machine could not note it as its last good config, or was going back already"
  return 1
}

note_proven() { printf '%s\n' "$OBJECT_ID" "$(line etag 2)" >"$STATE/proven"; } # $STATE/object is the running config's

prove() {
  local stamp went
  [ ! -e "$RUN/tried" ] || return 0
  touch "$RUN/tried"
  stamp=$(running) went=$(cat "$WAY_BACK/went-back" 2>/dev/null)
  if [ -n "$went" ]; then
    echo "$went" >"$STATE/went-back" # before confirm.sh removes the other one
    settled || say "$WHY"
    confirm ""
    printf '%s\n' "$stamp" "" >"$STATE/proven"
    give_lock_back
    report went-back "$went" "it was not proven"
  elif [ "$stamp" = "$(line proven 1)" ]; then
    give_lock_back
    report proven "$stamp" ""
  elif proved; then
    note_proven
    rm -f "$STATE/went-back"
    give_lock_back
    report proven "$stamp" ""
  else
    note pull "$stamp" not-proven
    report not-proven "$stamp" "$WHY"
    case $WAY_BACK_WANTED-$(last_good 1) in
    no-* | yes- | "yes-$stamp") rm -f "$RUN/tried" ;; # there is no way back: the next look proves again
    *) systemctl --no-block start flatcar-rollback.service ;;
    esac
  fi
}

main() {
  umask 077
  mkdir -p "$STATE" "$RUN"
  exec 8>"$RUN/agent"
  case $1 in
  prove) flock 8 && prove ;;
  look) flock --nonblock 8 || { say "another one is at work" && return; } && look ;;
  esac
}

main "$1" </dev/null
