#!/usr/bin/env bash
# The agent of a machine that pulls: asks the machine's object whether it changed, and has the machine run it again.
# Lies in the machine as /etc/flatcar/pull/pull.sh, with the scripts that it runs beside it, `settings` and `object`
# (components/payload/agent.py writes all of them). Runs as root, started by systemd:
#   pull.sh look    now and then, by flatcar-pull.timer: fetch, examine, wait for window, jitter and lock, stage, reboot
#   pull.sh prove   after a boot: prove a config that is new here, make it the last good one, give the lock back, report
# It does what the deployer does over SSH, with the same scripts: it puts their variables in front and runs them.
# `settings` sets, quoted: MACHINE LIFECYCLE WAY_BACK_WANTED (yes or no) POINTER ('', or what a host without user data has
#   in /oem/config.ign, with @flatcar-object-address@ in it) ALLOW_DEGRADED (yes or no) TIMEOUT (seconds that a boot may take)
#   OS_UPDATE (allow or refuse) OWNER (see stage.sh: whoever writes the object is the owner) LIVE (yes: without a reboot, where
#   that can be; pull-live.sh)
#   LOGIN_USER JITTER (seconds) LOCK_URL LOCK_GROUP REPORT (URLs, or ''; s3:///KEY: in the object's bucket), and the arrays KEEP, WINDOWS (minutes of the week
#   since Monday 00:00 UTC, FIRST-END; none: always), KINDS SUBJECTS EXPECTED SECONDS_EACH (see health.sh).
# A config is taken as the settings in it say, not as those of the running one do: a lock or window can be taken away.
# shellcheck disable=SC2034,SC2153 # variables come from `settings`, and go to other scripts by `declare -p`
set -u -o pipefail
export LC_ALL=C

HERE=/etc/flatcar/pull
# On the OEM partition, which no lifecycle touches:
#   object, etag   what was fetched last; two lines: its ETag, and when it was written (Unix time), as far as the store says
#   proven         two lines: the config id that this machine last proved, and when its object was written
#   went-back      the config id that this machine rolled back from: it is not taken again
#   counter        of the newest signed object that was seen here; none older is taken
#   own            the SHA-512 of what this agent wrote to /oem/config.ign, until that is gone
#   locks          the reboot locks that this machine holds, or may hold (pull-lock.sh)
STATE=/oem/.flatcar-pull
RUN=/run/flatcar-pull
SKEW=300 # seconds that this machine's clock may be away from the store's where a window is to be kept
# shellcheck source=components/scripts/staging.sh
. "$HERE/staging.sh"
# shellcheck source=components/scripts/ran.sh
. "$HERE/ran.sh"
# shellcheck source=components/scripts/pull-object.sh
. "$HERE/pull-object.sh"
# shellcheck source=components/scripts/pull-lock.sh
. "$HERE/pull-lock.sh"
if [ -e "$HERE/pull-live.sh" ]; then
  # shellcheck source=components/scripts/pull-live.sh
  . "$HERE/pull-live.sh"
else
  note_seen() { :; } # a config that has no plans
fi
OS_UPDATE=allow OWNER='' TAKE_OVER=yes LIVE=no # in a config of an older version
# shellcheck source=/dev/null
. "$HERE/settings"
SOURCE=$(head -n 1 "$HERE/object")

running() { cat /etc/flatcar/config-id 2>/dev/null; }

# ---- telling

# The report: what /run/flatcar-pull/status.json holds, put to REPORT when it is another than the last one that arrived.
report() { # STATE, the config id that it is about, why
  local why status
  why=$(printf %s "$3" | tr -cd '[:print:]' | tr '\042\134' "''")
  printf '{"machine":"%s","state":"%s","config_id":"%s","running":"%s","why":"%s","boot_id":"%s","os_version":"%s"}\n' \
    "$MACHINE" "$1" "$2" "$(running)" "$why" "$(cat /proc/sys/kernel/random/boot_id)" \
    "$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')" >"$RUN/status.new"
  cmp -s "$RUN/status.new" "$RUN/status.json" || say "$1 ${2:0:12}${3:+: $3}"
  mv "$RUN/status.new" "$RUN/status.json"
  if [ -z "$REPORT" ] || cmp -s "$RUN/status.json" "$RUN/status.sent"; then return; fi
  status=$(report_options | curl --silent --show-error --globoff --output /dev/null --write-out '%{http_code}' --max-time 20 \
    --request PUT --header 'Content-Type: application/json' --data-binary "@$RUN/status.json" --config -)
  case $status in
  2??) cp "$RUN/status.json" "$RUN/status.sent" ;;
  *) say "the report did not arrive (status ${status:-000}); it is tried again with the next look" ;;
  esac
}

report_options() { # where REPORT leads, as curl's options; nowhere without the role's credentials
  local bucket=${SOURCE#s3://}
  case $REPORT in
  s3:///*) s3_options "s3://${bucket%%/*}/${REPORT#s3:///}" "$(sha256sum <"$RUN/status.json" | cut -d' ' -f1)" ;;
  *) option url "$REPORT" ;;
  esac
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

# ---- the scripts beside this one

# Runs scripts as one, as the deployer does: NAMES of variables, "--", scripts.
run() {
  local names=()
  while [ "$1" != -- ]; do names+=("$1") && shift; done
  shift
  { declare -p "${names[@]}" && (cd "$HERE" && cat "$@"); } | "${SHELL_FOR_RUN[@]}"
}
SHELL_FOR_RUN=(bash -s)

with_pointer() { OEM=${POINTER:+pointer} OEM_CONFIG=$(printf %s "${POINTER/@flatcar-object-address@/"$SOURCE"}" | base64 -w0); }

# Where configs are signed, the very bytes that were checked go to the OEM partition: Ignition fetches nothing again, so that
# nobody can put another object in their place meanwhile.
stage() { # a script in front of stage.sh, if any
  local told OBJECT_SHA512 OBJECT_BYTES BY=pull CONFIG_ID=$OBJECT_ID OEM OEM_CONFIG SOURCE=$SOURCE
  OBJECT_SHA512=$(sha512sum <"$STATE/object" | cut -d' ' -f1) OBJECT_BYTES=$(stat --format=%s "$STATE/object")
  with_pointer
  if [ -s "$HERE/signers" ] && [ "$OBJECT_ID" != "$(running)" ]; then
    if [ -z "$OEM" ] && [ -e "$OWN_CONFIG" ] && ! cmp -s "$OWN_CONFIG" "$ROLLBACK/$(last_good 2)/config.ign"; then
      echo "refused, nothing was staged: $OWN_CONFIG shadows the pointer in the user data" >"$RUN/said"
      return 1
    fi
    echo "$OBJECT_SHA512" | put own || { echo "refused, nothing was staged: /oem can't be written" >"$RUN/said" && return 1; }
    OEM_CONFIG=$(base64 -w0 "$STATE/object") SOURCE=''
  fi
  # stdout has what the machine could roll back to, secrets and all: for the deployer, not for the journal
  told=$(run BY CONFIG_ID LIFECYCLE SOURCE OBJECT_SHA512 OBJECT_BYTES WAY_BACK_WANTED OEM_CONFIG KEEP \
    OS_UPDATE OWNER TAKE_OVER -- staging.sh keep.sh preview.sh "$@" stage.sh 2>"$RUN/said")
  cat "$RUN/said" >&2
  grep -qx 'staged=yes' <<<"$told"
}

# Takes what `stage` wrote away from the OEM partition: the pointer leads to the object again.
unpin() {
  local OEM OEM_CONFIG
  [ -e "$STATE/own" ] || return 0
  if [ "$(sha512sum <"$OWN_CONFIG" 2>/dev/null | cut -d' ' -f1)" = "$(cat "$STATE/own")" ]; then
    with_pointer
    if [ -n "$OEM" ]; then install_own_config && rm -f "$OWN_CONFIG.previous"; else rm -f "$OWN_CONFIG"; fi || return 1
    sync --file-system /oem
  fi
  rm -f "$STATE/own"
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
  now=$((($(date -u +%u) - 1) * 1440 + 10#$(date -u +%H) * 60 + 10#$(date -u +%M)))
  for window in "${WINDOWS[@]}"; do
    [ "$now" -lt "${window%-*}" ] || [ "$now" -ge "${window#*-}" ] || return 0
  done
  return 1
}

# Whether the clock can be trusted with a window. 1: it can't, and WHY says why.
clock_is_right() {
  local ahead
  ahead=$(clock_ahead)
  [ "${ahead#-}" -gt "$SKEW" ] 2>/dev/null || return 0
  WHY="for the right time: this machine's clock is ${ahead#-} s $([ "$ahead" -gt 0 ] && echo ahead of || echo behind) the store's"
  return 1
}

# Whether the object is one to take now; else it says, and reports, why not.
is_wanted() {
  if ! fetch; then
    say "the object can't be had: $WHY"
    [ ! -e "$RUN/missed" ] || report no-object "" "$WHY" # not for a single time
    touch "$RUN/missed"
    return 1
  fi
  rm -f "$RUN/missed"
  if ! examine; then
    rm -f "$STATE/etag" # it may have been damaged on the way: the whole of it is sent again at the next look
    refuse "$WHY"
    return 1
  fi
  if [ "$OBJECT_ID" = "$(running)" ]; then
    [ "$(line proven 1)" != "$OBJECT_ID" ] || {
      note_proven
      report proven "$OBJECT_ID" ""
    }
    return 1
  fi
  if [ "$OBJECT_ID" = "$(cat "$STATE/went-back" 2>/dev/null)" ]; then
    refuse "this machine rolled back from it; another config, or a raised generation, is taken"
  elif [ -n "$(line etag 2)" ] && [ "$(line etag 2)" -lt "$(past "$(line proven 2)" | grep . || echo 0)" ]; then
    refuse "it was written before the one that this machine runs"
  else
    LIVE=no
    # shellcheck source=/dev/null
    . "$RUN/settings"
    case $LIFECYCLE in
    reset | reformat | flag)
      if [ "${#WINDOWS[@]}" = 0 ]; then return 0; fi
      if ! clock_is_right; then
        report waiting "$OBJECT_ID" "$WHY"
      elif in_window; then
        return 0
      else
        report waiting "$OBJECT_ID" "for the maintenance window"
      fi
      ;;
    *) report waiting "$OBJECT_ID" "its lifecycle is $LIFECYCLE" ;;
    esac
  fi
  return 1
}

# Takes back what this agent staged in this boot without getting to the reboot: it was killed, or that failed.
take_back() {
  [ -e "$RUN/staging" ] || return 0
  if [ -e "$FLAG" ] || [ -e "$RESET" ]; then
    OBJECT_ID=$(running) stage # stage.sh unstages when what is wanted runs already
  fi
  rm -f "$RUN/staging"
}

look() {
  local code=0
  prove || return # unless this boot has; a look may come first
  [ -e "$ROLLING_BACK" ] || take_back
  if [ -e "$ROLLING_BACK" ] || [ -e "$FLAG" ]; then
    say "a re-run is staged already"
    return
  fi
  unpin || say "$OWN_CONFIG could not be taken away"
  [ "$(line proven 1)" != "$(running)" ] || give_locks_back
  is_wanted || return 0
  if [ "$JITTER" -gt 0 ] && [ "$OBJECT_ID" != "$(cat "$RUN/waited" 2>/dev/null)" ]; then
    report waiting "$OBJECT_ID" "up to $JITTER s, at random"
    sleep "$(shuf -i "0-$JITTER" -n 1)"
    echo "$OBJECT_ID" >"$RUN/waited"
    is_wanted || return 0 # it may have changed meanwhile, or the window closed
  fi
  take_lock || { report waiting "$OBJECT_ID" "$WHY" && return 0; }
  report staging "$OBJECT_ID" ""
  touch "$RUN/staging"
  if [ "$LIVE" = yes ] && [ -e "$HERE/pull-live.sh" ]; then
    WHY=$(change_live) || code=$?
    case $code in
    0)
      rm -f "$RUN/staging" "$RUN/changing"
      prove
      return
      ;;
    2)
      rm -f "$RUN/staging"
      refuse "$WHY"
      give_locks_back
      return
      ;;
    esac
    say "not live: $WHY"
    if [ -e "$RUN/changing" ] && [ -z "$(running)" ]; then
      go_on_by_reset
      return
    fi
  fi
  if ! stage; then
    WHY=$(sed -n 's/^refused, nothing was staged: //p' "$RUN/said" | head -n 1)
    WHY=${WHY:-staging failed: $(tail -n 1 "$RUN/said")}
    take_back
    unpin
    refuse "$WHY"
    give_locks_back
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

uptime() { cut -d. -f1 /proc/uptime; } # $SECONDS follows the clock, which may be set while a machine starts

# Makes $STATE/object the running config's. 1: the store has another by now.
have_running() {
  local end=$(($(uptime) + TIMEOUT))
  until { [ -s "$STATE/object" ] && examine && [ "$OBJECT_ID" = "$(running)" ]; } ||
    { fetch && examine && [ "$OBJECT_ID" = "$(running)" ]; }; do
    if [ -n "$OBJECT_ID" ] || [ "$(uptime)" -gt "$end" ]; then
      WHY="the running config's object can't be had: ${WHY:-the store has another by now}"
      return 1
    fi
    sleep 5
  done
}

# Whether Ignition ran the object that was staged here, by its bytes. 1: another one, and WHY says which.
ran_staged() {
  local staged told fetched
  staged=$(staged_object "$(running)")
  # of a live change Ignition has not run what is staged, until the next boot
  [ -n "$staged" ] && [ "$(cat "$ROLLBACK/staged.live" 2>/dev/null)" != "$(cat /proc/sys/kernel/random/boot_id)" ] || return 0
  told=$(ran "$SOURCE")
  ! grep -qxF "parsed=$staged" <<<"$told" || return 0 # the object itself was on the OEM partition: see `stage`
  fetched=$(sed -n 's/^fetched=//p' <<<"$told")
  [ "$fetched" != "$staged" ] || return 0
  if [ -z "$fetched" ] && { [ -z "$told" ] || [ "$(provisioning_boot)" != "$(tr -d - </proc/sys/kernel/random/boot_id)" ]; }; then
    say "Ignition's messages are gone: what it fetched can't be compared with what was staged"
    return 0
  fi
  WHY="Ignition ran another object than the one that was staged: ${fetched:-nothing from its address}, not $staged"
  return 1
}

proved() {
  local content=''
  ran_staged && settled && healthy || return 1
  if [ "$WAY_BACK_WANTED" = yes ] && [ "$(last_good 1)" != "$(running)" ]; then
    have_running || return 1
    content=$(base64 -w0 "$STATE/object")
  fi
  confirm "$content" && unpin && return
  WHY="the machine could not note it as its last good config, or was rolling back already"
  return 1
}

note_proven() { # when its object was written is known only while that is the one in $STATE
  local written=''
  [ -n "$OBJECT_ID" ] || [ ! -s "$STATE/object" ] || examine
  [ "$OBJECT_ID" != "$(running)" ] || written=$(line etag 2)
  printf '%s\n' "$(running)" "$written" | put proven
}

# Once for each boot, unless it was cut short, or there is no rollback from a config that could not be proven.
# 1: the machine is rolling back, or has to run a reset that was begun without a reboot.
prove() {
  local stamp went
  if [ -e "$RUN/changing" ] && [ -z "$(running)" ]; then
    go_on_by_reset
    return 1
  fi
  [ ! -e "$RUN/tried" ] || return 0
  stamp=$(running) went=$(cat "$ROLLBACK/went-back" 2>/dev/null)
  if [ -n "$went" ] && [ "$went" != "$stamp" ]; then # else it has not gone back yet
    echo "$went" | put went-back # before confirm.sh removes the other one
    settled || say "$WHY"
    confirm ""
    note_seen
    printf '%s\n' "$stamp" "" | put proven
    give_locks_back
    report went-back "$went" "it was not proven"
  elif [ "$stamp" = "$(line proven 1)" ]; then
    give_locks_back
    report proven "$stamp" ""
  elif proved; then
    note_seen
    note_proven
    rm -f "$RUN/back" "$STATE/went-back"
    give_locks_back
    report proven "$stamp" ""
  elif [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then
    return 1 # what goes down fails its checks: the next boot proves it
  else
    note pull "$stamp" not-proven
    report not-proven "$stamp" "$WHY"
    case $WAY_BACK_WANTED-$(last_good 1) in
    no-* | yes- | "yes-$stamp") return 0 ;; # there is no rollback: the next look proves again
    esac
    if [ -e "$RUN/back" ]; then
      if WHY=$(go_back_live); then
        # shellcheck source=/dev/null
        . "$HERE/settings"
        prove
        return
      fi
      say "going back by a reset: $WHY"
    fi
    touch "$RUN/tried"
    systemctl --no-block start flatcar-rollback.service
    return 1
  fi
  touch "$RUN/tried"
}

main() {
  OBJECT_ID='' WHY=''
  mkdir -p "$STATE" "$RUN"
  exec 8>"$RUN/agent"
  case $1 in
  prove) flock 8 && prove ;;
  look) if flock --nonblock 8; then look; else say "another one is at work"; fi ;;
  esac
  return 0 # a unit that failed would speak against the next config
}

main "$1" </dev/null
