#!/usr/bin/env bash
# Stages a re-run of Ignition on this machine and has it reboot a second later. Runs as root (sudo bash -s).
# Put in front of this text, quoted, by components/commands/reprovision.py:
#   CONFIG_ID LIFECYCLE SOURCE OBJECT_SHA512 and the array KEEP (egrep expressions over whole paths)
# Steps go to stderr; NAME=VALUE lines to stdout. Exit: 0 staged, or nothing to do; 3 refused, nothing staged.
# Killed at any point it can simply run again: each step sets a state, none adds to one.
set -euo pipefail

FLAG=/boot/flatcar/first_boot
say() { echo "$*" >&2; }
refuse() {
  say "refused, nothing was staged: $1"
  say "way out: $2"
  exit 3
}

# A config left on the OEM partition, or a URL on the kernel command line, beats user data forever (Ignition asks in that order).
check_shadows() {
  [ ! -e /oem/config.ign ] || refuse "/oem/config.ign shadows the pointer in the user data" \
    "delete /oem/config.ign on the machine, then run 'pulumi up' again"
  if grep -qs 'ignition\.config\.url=' /proc/cmdline /oem/grub.cfg; then
    refuse "ignition.config.url= on the kernel command line shadows the pointer in the user data" \
      "take it out of /oem/grub.cfg (or the PXE entry) and reboot, then run 'pulumi up' again"
  fi
}

check_tools() {
  command -v flatcar-reset >/dev/null || refuse "there is no flatcar-reset on this machine" \
    "update it to Flatcar 3602.2.0 or later, or choose the lifecycle 'replace'"
  [ -d /boot/flatcar ] || refuse "/boot/flatcar is missing: GRUB would not see the first_boot flag" \
    "mount the EFI system partition at /boot"
  for place in /boot /oem; do
    touch "$place/.flatcar-write-check" 2>/dev/null || refuse "$place can't be written (read-only or full)" \
      "remount it read-write, or free some space on it"
    rm -f "$place/.flatcar-write-check"
  done
}

# What Ignition will fetch at the next boot has to be what `pulumi up` just wrote: else the wipe would serve another config.
check_pointer() {
  case $SOURCE in
  http://* | https://* | tftp://*) ;;
  *)
    say "the pointer is not checked from here: no client for ${SOURCE%%:*}:// on the machine (Ignition brings its own)"
    return
    ;;
  esac
  local code=0 served
  served=$(curl --fail --silent --show-error --location --connect-timeout 10 --max-time 60 "$SOURCE" | sha512sum) || code=$?
  case $code in
  0) ;;
  1 | 127)
    say "the pointer is not checked from here: this machine's curl can't fetch ${SOURCE%%:*}:// (Ignition brings its own client)"
    return
    ;;
  *)
    refuse "the pointer's object can't be fetched from this machine (curl exit code $code)" \
      "make $SOURCE reachable from the machine, then run 'pulumi up' again"
    ;;
  esac
  [ "${served%% *}" = "$OBJECT_SHA512" ] || refuse "the pointer $SOURCE serves another config than the wanted one" \
    "look for a stale cache or a second writer of that object, then run 'pulumi up' again"
}

show() { # a title; the paths on stdin
  local paths
  mapfile -t paths
  say "$1: ${#paths[@]} paths${paths[0]+, among them}"
  for path in "${paths[@]:0:8}"; do say "    $path"; done
}

preview() {
  case $LIFECYCLE in
  reset)
    local doomed kept
    doomed=$(flatcar-reset --preview-delete --keep-paths "${KEEP[@]}") ||
      refuse "flatcar-reset does not accept the paths to keep: ${KEEP[*]}" "correct 'keep' in the stack config"
    kept=$(flatcar-reset --preview-keep --keep-paths "${KEEP[@]}")
    show "will be deleted" < <(grep . <<<"$doomed")
    show "will be kept" < <(grep . <<<"$kept")
    ;;
  reformat) say "will be deleted: everything on ROOT; kept: SSH host keys, machine id, other filesystems" ;;
  flag) say "warning: lifecycle 'flag' deletes nothing: old files stay, and new units stay disabled" ;;
  esac
}

stage() {
  say "staging lifecycle $LIFECYCLE"
  case $LIFECYCLE in
  reset) flatcar-reset --keep-machine-id --keep-paths "${KEEP[@]}" >&2 ;;
  reformat)
    # The root file system goes: the host keys wait on the OEM partition for flatcar-restore-host-keys.service.
    rm -rf /oem/.flatcar-host-keys.new
    install -d -m 700 /oem/.flatcar-host-keys.new
    cp /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /oem/.flatcar-host-keys.new/
    chmod 600 /oem/.flatcar-host-keys.new/*
    rm -rf /oem/.flatcar-host-keys
    mv /oem/.flatcar-host-keys.new /oem/.flatcar-host-keys
    flatcar-reset --keep-machine-id >&2
    ;;
  flag)
    flatcar-reset --stop >&2 # an earlier staged reset must not run along
    touch "$FLAG"
    ;;
  *) refuse "unknown lifecycle $LIFECYCLE" "use reset, reformat or flag" ;;
  esac
  [ -e "$FLAG" ] || refuse "the first_boot flag is not there after staging" "look at /boot on the machine"
  sync
}

main() {
  echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
  if [ "$(cat /etc/flatcar/config-id 2>/dev/null)" = "$CONFIG_ID" ]; then
    if [ -e "$FLAG" ] || [ -e /selective-os-reset ]; then
      say "unstaging a re-run that an interrupted update had staged"
      flatcar-reset --stop >&2
    fi
    echo "staged=no"
    return
  fi
  check_shadows
  check_tools
  say "checking what the pointer serves"
  check_pointer
  preview
  stage
  # Not inside this session: it has to end with an exit code first.
  systemd-run --quiet --on-active=1s --timer-property=AccuracySec=100ms systemctl reboot
  echo "staged=yes"
  say "rebooting"
}

main </dev/null
