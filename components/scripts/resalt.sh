#!/usr/bin/env bash
# Gives the config that runs on this machine its salted id: the same config, with the file that salts it. Runs as root.
# Put in front of this text, quoted, by the deployer: OLD_ID CONFIG_ID SALT, OWNER TAKE_OVER (see stage.sh), CONTENT LIFECYCLE and
# the array KEEP (see confirm.sh); then staging.sh. Exit: 0 done; 3 refused; 5 not now, the machine is rolling back to its
# last good config, or on another one.
set -euo pipefail

main() {
  local stamp good
  if ! lock --wait 60 || [ -e "$ROLLING_BACK" ] || ! stamp=$(cat /etc/flatcar/config-id) ||
    { [ "$stamp" != "$OLD_ID" ] && [ "$stamp" != "$CONFIG_ID" ]; }; then
    say "the machine does not run config id ${OLD_ID:0:12} any more"
    exit 5
  fi
  check_owner
  require_oem
  good=$(last_good 1)
  printf '%s\n' "$SALT" >/etc/flatcar/config-salt.new
  printf '%s\n' "$CONFIG_ID" >/etc/flatcar/config-id.new
  chmod 644 /etc/flatcar/config-id.new
  flush
  # Stamp and last good id lie on two file systems, and the rollback.sh that is here rolls back when they differ. So none is
  # noted while the stamp changes: a machine that loses its power then stays as it is, and the next proof notes it again.
  [ "$good" != "$OLD_ID" ] || rm "$ROLLBACK/last-good"
  mv /etc/flatcar/config-salt.new /etc/flatcar/config-salt
  flush
  mv /etc/flatcar/config-id.new /etc/flatcar/config-id
  flush
  echo "salted=$CONFIG_ID"
  note push "$CONFIG_ID" salted
  # with an object of the new id: rolling back to the old one's would end on an id that is not noted, and roll back again
  if [ "$good" = "$OLD_ID" ] && [ -n "$CONTENT" ]; then note_last_good; fi
  flush
}

main </dev/null
