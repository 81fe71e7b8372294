#!/usr/bin/env bash
# The reboot lock of a machine that pulls: FleetLock (https://coreos.github.io/zincati/development/fleetlock/protocol/), as
# Zincati asks for it. Functions, read by pull.sh after pull-object.sh.
# shellcheck disable=SC2034,SC2153,SC2154 # shared with pull.sh

fleetlock() { # pre-reboot or steady-state, URL, group; on stdout the status, 000 when nobody answers
  local id
  id=$(systemd-id128 machine-id --app-specific=de35106b6ec24688b63afddaa156679b) || return 1 # Zincati's own
  : >"$RUN/fleetlock"
  # a length that is not told beforehand is limited by the shell, in KiB
  { option url "${2%/}/v1/$1" && option data "{\"client_params\":{\"id\":\"$id\",\"group\":\"$3\"}}"; } | (
    ulimit -f 64
    exec curl --silent --globoff --output "$RUN/fleetlock" --write-out '%{http_code}' --max-time 20 --max-filesize 65536 --config - \
      --header 'fleet-lock-protocol: true' --header 'Content-Type: application/json'
  )
}

# An address without a name and password in it, and without what follows a question mark.
shown() { sed 's|//[^/@]*@|//|; s|?.*||' <<<"$1"; }

# Each lock that may be held is a line "GROUP URL". The line comes first: so a lock is given back also by an agent that was
# killed meanwhile, and by one that has been told of another lock since.
take_lock() {
  local status said
  [ -n "$LOCK_URL" ] || return 0
  if ! grep -qsxFe "$LOCK_GROUP $LOCK_URL" "$STATE/locks"; then
    { cat "$STATE/locks" 2>/dev/null || true; echo "$LOCK_GROUP $LOCK_URL"; } | put locks ||
      { WHY="/oem can't be written" && return 1; }
  fi
  status=$(fleetlock pre-reboot "$LOCK_URL" "$LOCK_GROUP")
  [ "$status" != 200 ] || return 0
  said=$(head -c 4096 "$RUN/fleetlock" | tr -d '\0' | sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p' | head -n 1)
  case $status in
  '' | 000) WHY="the lock at $(shown "$LOCK_URL") does not answer" ;;
  *) WHY="the lock at $(shown "$LOCK_URL") is not to be had: ${said:-status $status}" ;;
  esac
  # airlock's word for all slots being taken; behind any other one there may be a lock
  if grep -qs '"failed_lock"' "$RUN/fleetlock"; then forget_lock "$LOCK_GROUP $LOCK_URL"; else give_locks_back; fi
  return 1
}

forget_lock() { { grep -vxFe "$1" "$STATE/locks" || true; } | put locks; }

give_locks_back() {
  local group url locks
  [ -s "$STATE/locks" ] || return 0
  mapfile -t locks <"$STATE/locks"
  for url in "${locks[@]}"; do
    group=${url%% *} url=${url#* }
    if [ "$(fleetlock steady-state "$url" "$group")" = 200 ]; then
      forget_lock "$group $url"
      say "gave the reboot lock at $(shown "$url") back"
    else
      say "the reboot lock at $(shown "$url") could not be given back; that is tried again with the next look"
    fi
  done
}
