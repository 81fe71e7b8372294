#!/usr/bin/env bash
# Rolls back to the last good config when the running one has not been confirmed by the deployer. Lies in every machine as
# /etc/flatcar/rollback.sh (components/payload/rollback.py); flatcar-rollback.timer starts it some time after each boot, the
# deployer starts it at once when a proof failed. Does nothing on a confirmed machine. Runs as root.
set -euo pipefail

main() {
  lock
  local stamp good folder lifecycle keep
  stamp=$(cat /etc/flatcar/config-id 2>/dev/null || true)
  good=$(last_good 1)
  folder=$ROLLBACK/$(last_good 2)
  if [ -z "$good" ]; then
    say "config id ${stamp:0:12} is not confirmed, but there is no last good config to roll back to"
    return
  fi
  [ "$stamp" != "$good" ] || return 0
  if [ ! -s "$folder/config.ign" ]; then
    say "config id ${stamp:0:12} is not confirmed, but the last good one, ${good:0:12}, is gone from $folder"
    return 1
  fi
  say "config id ${stamp:0:12} was not confirmed: rolling back to the last good one, ${good:0:12}"
  echo "flatcar-rollback: rolling back from config id ${stamp:0:12} to ${good:0:12}" >/dev/console || true
  lifecycle=$(cat "$folder/lifecycle")
  mapfile -t keep < <(sort -u "$folder/keep" "$ROLLBACK/staged.keep" 2>/dev/null)
  touch "$ROLLING_BACK"
  install -m 600 "$folder/config.ign" "$OWN_CONFIG.new"
  sync "$OWN_CONFIG.new"
  mv -f "$OWN_CONFIG.new" "$OWN_CONFIG"
  sync --file-system /oem
  stage_lifecycle "$lifecycle" "${keep[@]}"
  echo "$stamp" >"$ROLLBACK/went-back"
  note itself "$good" going-back
  flush
  systemctl --no-block reboot
}

main </dev/null
