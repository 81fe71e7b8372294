#!/usr/bin/env bash
# Gives a machine that live.sh has changed the stamp of the wanted config, once it has been shown to be what a reset would have
# made. Put in front of this text, quoted, by components/commands/reprovision/live.py, or by the machine's own pull-live.sh (and BY=pull):
# CONFIG_ID; then staging.sh. Runs as root.
# Exit: 0 done; 4 too late, the machine is rolling back.
set -euo pipefail

STAMP=/etc/flatcar/config-id

main() {
  if ! lock --wait 10 || [ -e "$ROLLING_BACK" ]; then
    say "the machine is already rolling back to its last good config"
    exit 4
  fi
  [ ! -e "$STAMP" ] || [ "$(cat "$STAMP")" = "$CONFIG_ID" ] || exit 4
  cat /proc/sys/kernel/random/boot_id >"$ROLLBACK/staged.live"
  echo "$CONFIG_ID" >"$STAMP.new"
  chmod 644 "$STAMP.new"
  flush
  mv "$STAMP.new" "$STAMP"
  note "${BY-push}" "$CONFIG_ID" live
  flush
  echo "stamped=$CONFIG_ID"
}

main </dev/null
