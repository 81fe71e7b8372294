#!/usr/bin/env bash
# Prints what proves a machine's state, as NAME=VALUE lines on stdout; changes nothing. Runs as root (sudo bash -s).
# Put in front of this text, quoted, by components/commands/reprovision/run.py:
#   OLD_BOOT   the boot id to get away from ('' for none): while the machine still runs it, nothing more is asked
#   CONFIG_ID  the wanted stamp; only a machine that has it is given time to finish booting
#   SETTLE     that time, in seconds
#   SOURCE     where Ignition fetches the object ('' where the config itself is on the OEM partition); then staging.sh and ran.sh
set -u

main() {
  boot=$(cat /proc/sys/kernel/random/boot_id)
  echo "boot_id=$boot"
  stamp=$(head -c 200 /etc/flatcar/config-id 2>/dev/null)
  echo "stamp=$stamp"
  if [ "$boot" = "$OLD_BOOT" ]; then
    echo "complete=1"
    return
  fi
  [ ! -e "$UNWIPED" ] || [ -e "$FLAG" ] || echo "unwiped=yes"
  echo "last_good=$(last_good 1)"
  echo "rolled_back_from=$(cat "$ROLLBACK/went-back" 2>/dev/null)"
  echo "ignition_result=$(base64 -w0 /etc/.ignition-result.json 2>/dev/null)"
  echo "os_version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')"
  echo "host_key=$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null)"
  [ ! -e /etc/flatcar/pull/pull.sh ] || echo "pulls=yes"
  echo "pull_report=$(head -n 1 /run/flatcar-pull/status.json 2>/dev/null)"
  if [ "$stamp" = "$CONFIG_ID" ]; then
    # returns the moment the last start-up job is done, so that nobody has to ask again and again
    timeout "$SETTLE" systemctl is-system-running --wait >/dev/null 2>&1
    # of a live change Ignition has not run what is staged, until the next boot
    [ "$(cat "$ROLLBACK/staged.live" 2>/dev/null)" = "$boot" ] || echo "staged_object=$(staged_object "$stamp")"
    ran "$SOURCE"
  fi
  echo "system=$(systemctl is-system-running 2>/dev/null)"
  systemctl list-units --failed --plain --no-legend 2>/dev/null | sed -n 's/^\([^ ]\{1,\}\).*/failed_unit=\1/p'
  systemctl list-jobs --plain --no-legend 2>/dev/null | awk '$NF == "running" { print "running_job=" $2 }'
  echo "complete=1"
}

main </dev/null
