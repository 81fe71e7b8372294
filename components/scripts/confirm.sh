#!/usr/bin/env bash
# Notes that the running config has been proven: it is the last good one from now on, and the machine won't roll back.
# Put in front of this text, quoted, by the deployer, or by the machine's own pull.sh (and BY=pull): CONFIG_ID LIFECYCLE CONTENT
# (the object, base64; '' to leave the noted one as it is), OEM ('', or what a host without user data has in /oem/config.ign:
# pointer or config), OEM_CONFIG (that pointer, base64, else '') and the array KEEP. Runs as root. Exit: 0 noted; 4 too late,
# the machine is rolling back.
set -euo pipefail

main() {
  if ! lock --wait 10 || [ -e "$ROLLING_BACK" ] || [ "$(cat /etc/flatcar/config-id)" != "$CONFIG_ID" ]; then
    say "the machine is already rolling back to its last good config"
    exit 4
  fi
  if [ -e "$FLAG" ] || [ -e "$RESET" ]; then
    say "unstaging a re-run that did not happen"
    unstage
  fi
  require_oem
  if [ -e "$LINKS_LEFT" ]; then # power was lost; running services may use them by now, so they are left alone
    say "links to directories may be left from before the reset: raise the machine's generation to have them deleted"
    rm -f "$LINKS_LEFT"
  fi
  chmod --silent 600 "$HISTORY" /etc/flatcar/pull/object || true # an older version's were readable by others
  # it rolled back, or power was lost on the way; once another config is noted, nothing would know this one as ours
  if [ -z "$OEM" ] && [ -e "$OWN_CONFIG" ] && cmp -s "$OWN_CONFIG" "$ROLLBACK/$(last_good 2)/config.ign"; then
    say "removing $OWN_CONFIG, the last good config that the machine rolls back to by itself"
    rm -f "$OWN_CONFIG"
    sync --file-system /oem
  fi
  [ -z "$CONTENT" ] || note_last_good
  install_own_config # a host that rolled back by itself has the last good config there, in the pointer's place
  [ -z "$OEM" ] || rm -f "$OWN_CONFIG.previous"
  rm -rf "$ROLLBACK/went-back" "$ROLLBACK/staged.keep" "$ROLLBACK/staged.object" "$ROLLBACK/staged.live" "$HELD_KEYS" "$HELD_KEYS.new"
  note "${BY-push}" "$CONFIG_ID" proven
  flush
  echo "confirmed=$CONFIG_ID"
}

main </dev/null
