#!/usr/bin/env bash
# Stages a re-run of Ignition on this machine and has it reboot a second later, unless REBOOTS is no. Runs as root (sudo bash -s).
# Put in front of this text, quoted, by components/commands/reprovision/run.py, or by the machine's own pull.sh (and BY=pull):
#   CONFIG_ID LIFECYCLE SOURCE OBJECT_SHA512 OBJECT_BYTES WAY_BACK_WANTED (yes or no), OEM_CONFIG (see staging.sh; SOURCE is ''
#   where that is the config itself), the array KEEP (egrep expressions over whole paths), OS_UPDATE (refuse, or allow), OWNER
#   (whose machine it is to be, '' to ask and note nothing), TAKE_OVER (yes, or no), and what preview.sh may be given; then
#   staging.sh, keep.sh and preview.sh
#   From the deployer also the array PROVEN (SHA-512 of objects that it has proven) and MOST_CONTENT (bytes of one that it takes).
# Steps go to stderr; NAME=VALUE lines to stdout. Exit: 0 staged, or nothing to do; 3 refused, nothing staged; 5 not now, the
# machine is rebooting, or rolling back to its last good config.
# Killed at any point it can simply run again: each step sets a state, none adds to one.
set -euo pipefail

REBOOT=flatcar-reprovision # the unit that reboots the machine

# A config left on the OEM partition, or a URL on the kernel command line, beats user data forever (Ignition asks in that order).
check_shadows() {
  if [ -n "$OEM_CONFIG" ]; then
    say "this host's /oem/config.ign is the program's to write"
  elif [ -e /oem/config.ign ] && cmp -s /oem/config.ign "$ROLLBACK/$(last_good 2)/config.ign"; then
    say "removing /oem/config.ign, the last good config that this machine rolled back to by itself"
    rm -f /oem/config.ign
  fi
  [ -n "$OEM_CONFIG" ] || [ ! -e /oem/config.ign ] || refuse "/oem/config.ign shadows the pointer in the user data" \
    "delete /oem/config.ign on the machine, then run 'pulumi up' again"
  local url # by its present name and its older ones
  url=$(grep -Eohs '(ignition|flatcar|coreos)\.config\.url=' /proc/cmdline /oem/grub.cfg || true)
  [ -z "$url" ] || refuse "${url%%$'\n'*} on the kernel command line shadows the pointer in the user data" \
    "take it out of /oem/grub.cfg (or the PXE entry) and reboot, then run 'pulumi up' again"
}

# A reset keeps the machine id on the kernel command line, by way of /oem/grub.cfg; with Secure Boot GRUB does not read that.
check_secure_boot() {
  [ "$LIFECYCLE" != flag ] || return 0
  local variable=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
  [ -e "$variable" ] || return 0 # no UEFI
  local state
  state=$(od -An -tu1 -j4 "$variable") # behind four bytes of attributes
  [ "${state// /}" != 1 ] || refuse "Secure Boot is on: GRUB leaves /oem/grub.cfg alone, so the machine id would not be kept" \
    "switch Secure Boot off, or choose the lifecycle 'replace', or 'flag'"
}

note_owner() {
  if [ -z "${OWNER-}" ] || [ "$(cat "$OWNER_FILE" 2>/dev/null)" = "$OWNER" ]; then return 0; fi
  { echo "$OWNER" >"$OWNER_FILE.new" && sync "$OWNER_FILE.new" && mv -f "$OWNER_FILE.new" "$OWNER_FILE"; } ||
    refuse "$OWNER_FILE could not be written" "look at the OEM partition"
}

# An update that update_engine has put into the other USR partition is booted by the same reboot.
check_os_update() {
  local status new
  command -v update_engine_client >/dev/null || return 0
  status=$(timeout 20 update_engine_client -status 2>/dev/null) || return 0
  grep -qx 'CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT' <<<"$status" || return 0
  new=$(sed -n 's/^NEW_VERSION=//p' <<<"$status" | head -n 1)
  if [ -z "$new" ] || [ "$new" = 0.0.0 ]; then new="a version that it does not name"; fi # as after its own restart
  [ "${OS_UPDATE-}" != refuse ] || refuse "an update of the OS to $new waits for the reboot, and os_update is 'refuse'" \
    "reboot the machine, so that the update is done for itself, then run 'pulumi up' again; or set os_update: allow"
  say "an update of the OS waits: the reboot also brings $new, and rolling back does not take it away"
}

check_tools() {
  command -v flatcar-reset >/dev/null || refuse "there is no flatcar-reset on this machine" \
    "update it to Flatcar 3760.2.0 or later, or choose the lifecycle 'replace'"
  [ -d /boot/flatcar ] || refuse "/boot/flatcar is missing: GRUB would not see the first_boot flag" \
    "mount the EFI system partition at /boot"
  mountpoint --quiet /oem || refuse "/oem is not mounted: what has to outlast the wipe would go with it" \
    "mount the OEM partition at /oem; 'systemctl status oem.mount' there says why it is not (Flatcar before 3760.2.0 has it elsewhere: update)"
  local folder
  for folder in / /boot /oem; do
    can_write "${folder%/}/.flatcar-write-check" || refuse "$folder can't be written (read-only or full)" \
      "remount it read-write, or free some space on it"
  done
  local free good
  free=$(df --output=avail --block-size=1 /oem | tail -n 1)
  good=$(stat --format=%s "$ROLLBACK/$(last_good 2)/config.ign" 2>/dev/null || echo 0) # rolling back needs a copy of it
  [ "$free" -gt $((2 * OBJECT_BYTES + 2 * ${#OEM_CONFIG} + good + 65536)) ] || refuse "/oem has $free bytes free: too few for the last good config" \
    "free some space on the OEM partition, or set rollback: false"
}

# The wipe asks find with these expressions in the initramfs, where one that it can't use would keep nothing, or everything.
check_keep() {
  [ "$LIFECYCLE" = reset ] || return 0
  local entry
  if entry=$(refused_keep); then
    refuse "find on this machine can't use the entry $entry of keep" "write it in another way, then run 'pulumi up' again"
  fi
  tell_kept
}

# What Ignition will fetch at the next boot has to be what `pulumi up` just wrote: else the wipe would serve another config.
check_pointer() {
  case $SOURCE in
  '') return ;; # the config itself goes to /oem/config.ign
  http://* | https://* | tftp://*) ;;
  *)
    say "the pointer is not checked from here: no client for ${SOURCE%%:*}:// on the machine (Ignition brings its own)"
    return
    ;;
  esac
  local code=0 served
  # the address is no argument: every process can read those
  served=$(curl --fail --silent --show-error --location --globoff --connect-timeout 10 --max-time 60 --config - \
    <<<"url = \"$SOURCE\"" | head -c $((OBJECT_BYTES + 1)) | sha512sum) || code=$?
  case $code in
  0 | 23) ;; # 23: it is longer than the wanted one
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

# What this machine could roll back to, for the deployer: it may have to put that into the object.
tell_last_good() {
  local good folder sum known
  good=$(last_good 1) folder=$ROLLBACK/$(last_good 2)
  if [ -z "$good" ] || [ ! -s "$folder/config.ign" ]; then
    say "there is no last good config on this machine yet: it could not roll back"
  elif [ "$good" != "$CONFIG_ID" ]; then
    echo "last_good=$good"
    if [ "$(stat --format=%s "$folder/config.ign")" -gt "${MOST_CONTENT-0}" ]; then
      echo "last_good_is_long=yes"
      return
    fi
    sum=$(sha512sum <"$folder/config.ign")
    for known in "${PROVEN[@]-}"; do # else the deployer would not take it, and it may hold secrets
      [ "$known" != "${sum%% *}" ] || echo "last_good_content=$(base64 -w0 "$folder/config.ign")"
    done
  fi
}

stage() {
  if [ "$WAY_BACK_WANTED" = yes ]; then
    mkdir -p "$ROLLBACK"
    printf '%s\n' "${KEEP[@]}" >"$ROLLBACK/staged.keep"
    rm -f "$ROLLBACK/went-back"
    tell_last_good
  else
    rm -rf "$ROLLBACK" # an older config must not come back by itself
  fi
  mkdir -p "$ROLLBACK"
  echo "$CONFIG_ID $OBJECT_SHA512" >"$ROLLBACK/staged.object"
  note_owner
  note "${BY-push}" "$CONFIG_ID" staged
  install_own_config || refuse "/oem/config.ign could not be written" "look at the OEM partition"
  stage_lifecycle "$LIFECYCLE" "${KEEP[@]}" || {
    unstage || true
    refuse "staging did not get to its end" "mend what the lines above complain about"
  }
  flush
}

# An earlier run of this script may have staged, with its reboot still to come: that must not come in the middle of this one.
call_off_reboot() {
  systemctl stop "$REBOOT.timer" "$REBOOT.service" 2>/dev/null || true
  if [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then
    say "the machine is rebooting already"
    exit 5
  fi
}

# Whether the wanted config runs, as a reset has it. Ignition without the reset counts as none: old files are still there.
runs_wanted() {
  [ "$(cat /etc/flatcar/config-id 2>/dev/null)" = "$CONFIG_ID" ] || return 1
  [ ! -e "$UNWIPED" ] || [ -e "$FLAG" ] || [ -s "$RESET" ] # staged, and not run yet; an empty one is none
}

main() {
  echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
  lock --wait 60 || refuse "something else has been re-provisioning this machine for a minute" \
    "look for another 'pulumi up', and at flatcar-rollback.service on the machine, then run 'pulumi up' again"
  if [ -e "$ROLLING_BACK" ]; then
    say "the machine is rolling back to its last good config"
    exit 5
  fi
  check_owner
  if runs_wanted; then
    if [ -e "$FLAG" ] || [ -e "$RESET" ]; then
      call_off_reboot
      say "unstaging a re-run that an interrupted update had staged"
      unstage
    fi
    install_own_config || refuse "/oem/config.ign could not be written" "look at the OEM partition"
    note_owner
    [ "$WAY_BACK_WANTED" != yes ] || tell_last_good
    echo "staged=no"
    return
  fi
  check_shadows
  check_secure_boot
  check_tools
  check_keep
  check_os_update
  say "checking what the pointer serves"
  check_pointer
  preview
  call_off_reboot
  stage
  if [ "${REBOOTS-}" != no ]; then
    # Not inside this session: it has to end with an exit code first.
    systemd-run --quiet --unit="$REBOOT" --collect --on-active=1s --timer-property=AccuracySec=100ms systemctl reboot
    # One that waits for the lock, or whose time comes before the reboot, would stage the last good config over this one.
    systemctl stop flatcar-rollback.timer flatcar-rollback.service flatcar-live-deadline.timer 2>/dev/null || true
    say "rebooting"
  fi
  echo "staged=yes"
}

main </dev/null
