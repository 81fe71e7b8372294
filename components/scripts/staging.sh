#!/usr/bin/env bash
# What the scripts that look at a machine or stage its re-run share: names and functions, put in front of each. Runs as root.
# shellcheck disable=SC2034,SC2153 # the names are for the scripts that follow, or given by who puts this in front of them

# What these scripts write is root's alone: contents may be secret, and who can read a file can lock it.
umask 077

FLAG=/boot/flatcar/first_boot
# The initramfs deletes what RESET does not keep in any boot, whether Ignition runs in it or not (flatcar/bootengine,
# initrd-setup-root). Without the flag that would leave a machine without a config: the flag comes first, and goes last.
RESET=/selective-os-reset
# On ROOT from when a reset is staged until it has deleted this too. There, without the flag: Ignition ran without the reset.
UNWIPED=/.flatcar-unwiped
# On the OEM partition: every lifecycle leaves that alone, also one that formats ROOT. What lies there:
#   last-good      two lines: the config id that was last proven, and the folder beside it that has its
#                  config.ign, lifecycle and keep
#   staged.keep    the paths that the re-run under way keeps: rolling back keeps them as well
#   staged.object  the config id of the re-run under way, and the SHA-512 of its object, until it is confirmed
#   staged.live    the boot in which the machine was changed to that without running Ignition
#   went-back      the config id that the machine rolled back from, until the deployer has seen it
ROLLBACK=/oem/.flatcar-reprovision
ROLLING_BACK=/run/flatcar-going-back
LOCK=/run/flatcar-reprovision.lock
# Where the SSH host keys wait while a reformat makes ROOT anew; flatcar-restore-host-keys.service brings them back.
HELD_KEYS=/oem/.flatcar-host-keys
# There from when a reset is staged until the links that it does not keep are deleted (delete_links): power lost before leaves it.
LINKS_LEFT=/oem/.flatcar-links-left
# A host without user data has its config, or the pointer, here. The old one stays beside it until the new one is proven.
OWN_CONFIG=/oem/config.ign

# ORGANIZATION/PROJECT/STACK/MACHINE in Pulumi's words: what this machine belongs to.
OWNER_FILE=/oem/.flatcar-owner

# One line for each step of a re-run: time, who started it (push: the deployer; pull: the machine's agent; itself), config id,
# result. It lies on the OEM partition as no lifecycle touches that; the last 200 lines are kept.
HISTORY=/oem/.flatcar-history

say() { echo "$*" >&2; }

note() { # push, pull or itself, CONFIG_ID, the result in one word
  [ "$(tail -n 1 "$HISTORY" 2>/dev/null | cut -d' ' -f2-)" != "$*" ] || return 0
  if ! { { tail -n 199 "$HISTORY" 2>/dev/null || true; date -u "+%Y-%m-%dT%H:%M:%SZ $*"; } >"$HISTORY.new" &&
    mv -f "$HISTORY.new" "$HISTORY"; }; then
    say "the history on the OEM partition could not be written"
  fi
}

# Takes the lock, by file descriptor 9. An older version left it readable, so that anyone may hold it: such a one is replaced.
lock() { # flock's options
  if [ -e "$LOCK" ] && [ "$(stat --format=%a "$LOCK")" != 600 ]; then rm -f "$LOCK"; fi
  exec 9>"$LOCK"
  flock "$@" 9
}

require_oem() { mountpoint --quiet /oem || { say "/oem is not mounted" && exit 1; }; }

can_write() { # a file to try it with; a block's worth: an empty one fits on a full disk
  local code=0
  head -c 4096 /dev/zero 2>/dev/null >"$1" || code=1
  rm -f "$1"
  return "$code"
}

quietly() { # a command; what it prints is shown only when it fails
  local printed
  printed=$("$@" 2>&1) || { say "$printed" && return 1; }
}

last_good() { sed -n "$1p" "$ROLLBACK/last-good" 2>/dev/null || true; } # 1: config id, 2: folder

refuse() {
  say "refused, nothing was staged: $1"
  say "way out: $2"
  exit 3
}

# Which stack this machine belongs to: the first one that found or staged its config here. Two would undo each other's work.
check_owner() {
  local owner
  owner=$(head -n 1 "$OWNER_FILE" 2>/dev/null | cut -c1-300) || true
  if [ -z "${OWNER-}" ] || [ -z "$owner" ] || [ "$owner" = "$OWNER" ]; then return 0; fi
  if [ "${TAKE_OVER-}" = yes ]; then
    say "taking this machine over: it belonged to $owner"
    return
  fi
  refuse "this machine belongs to $owner, not to $OWNER" \
    "set take_over: true at the machine for one 'pulumi up', if the other one was renamed, or has let go of it"
}

# Notes the running config, CONFIG_ID, as the last good one: CONTENT (the object, base64), LIFECYCLE and the array KEEP.
note_last_good() {
  local folder
  folder=$(printf '%s\n' "$CONTENT" "$LIFECYCLE" "${KEEP[@]}" | sha256sum | cut -c1-16)
  if [ "$(last_good 1)" = "$CONFIG_ID" ] && [ "$(last_good 2)" = "$folder" ]; then return 0; fi
  rm -rf "${ROLLBACK:?}/$folder"
  mkdir -p "$ROLLBACK/$folder"
  base64 -d <<<"$CONTENT" >"$ROLLBACK/$folder/config.ign"
  echo "$LIFECYCLE" >"$ROLLBACK/$folder/lifecycle"
  printf '%s\n' "${KEEP[@]}" >"$ROLLBACK/$folder/keep"
  printf '%s\n' "$CONFIG_ID" "$folder" >"$ROLLBACK/last-good.new"
  flush
  mv "$ROLLBACK/last-good.new" "$ROLLBACK/last-good"
  find "$ROLLBACK" -mindepth 1 -maxdepth 1 -type d ! -name "$folder" -exec rm -rf {} +
}

# Makes /oem/config.ign what OEM_CONFIG holds (base64; '' on machines with user data: nothing to do). A power cut leaves the
# old one or the new one, whole. Keeps the oldest that is not proven to be replaced.
install_own_config() {
  [ -n "$OEM_CONFIG" ] || return 0
  base64 -d <<<"$OEM_CONFIG" >"$OWN_CONFIG.new" || return 1
  if cmp -s "$OWN_CONFIG.new" "$OWN_CONFIG"; then
    rm -f "$OWN_CONFIG.new"
    chmod 600 "$OWN_CONFIG"
    return
  fi
  say "writing $OWN_CONFIG"
  sync "$OWN_CONFIG.new" || return 1
  if [ -e "$OWN_CONFIG" ] && [ ! -e "$OWN_CONFIG.previous" ]; then
    cp "$OWN_CONFIG" "$OWN_CONFIG.previous.new" && sync "$OWN_CONFIG.previous.new" &&
      mv -f "$OWN_CONFIG.previous.new" "$OWN_CONFIG.previous" || return 1
  fi
  mv -f "$OWN_CONFIG.new" "$OWN_CONFIG" && sync --file-system /oem
}

flush() { sync --file-system / /boot /oem; } # to the disks; no others, as a network file system may never answer

unstage() { # a power cut leaves the re-run staged, or not
  rm -f "$RESET" && flush && quietly flatcar-reset --stop && flush && rm -rf "$UNWIPED" "$HELD_KEYS" "$LINKS_LEFT" && flush
}

# Flatcar's initramfs takes a link that leads to a directory for one, fails to remove it, and leaves it in the new config's way
# (flatcar/bootengine, initrd-setup-root). So links that a staged reset does not keep go when the machine shuts down, after
# all services have ended. ROOT is seen alone here, without what is mounted in it: no kept link is met by another path, and
# /etc has no overlay. What the rest of the shutdown needs stays; the OS makes it again in any case.
# shellcheck disable=SC2016 # for the inner shell
delete_links() {
  if [ ! -s /selective-os-reset ] || [ "$(systemctl is-system-running)" != stopping ]; then return 0; fi
  echo "deleting the links that are not kept, before the reset"
  install -d -m 700 /run/flatcar-root
  unshare --mount --propagation private bash -euc '
    mount --bind / /run/flatcar-root
    mount --bind -o ro /usr /run/flatcar-root/usr
    exec chroot /run/flatcar-root find / -xdev -regextype egrep -path /usr -prune -o -type l ! -regex "$1" \
      ! -regex "/(s?bin|lib(32|64|x32)?|var/run|var/lock)" -exec rm -f {} +
  ' - "$(cat /selective-os-reset)" && rm -f /oem/.flatcar-links-left
}

# Once for each boot: it looks by itself what is staged when the machine shuts down, so that unstaging needs no more. What it
# runs lies in /run: nothing of it is left behind.
delete_links_at_shutdown() {
  local script=/run/flatcar-reset-links.sh
  touch "$LINKS_LEFT" || true # it only tells
  ! systemctl is-active flatcar-reset-links.service >/dev/null || return 0
  { declare -f delete_links && echo delete_links; } >"$script" || return 1
  # What starts between local-fs.target and sysinit.target ends between them: after all other services, with /oem mounted.
  quietly systemd-run --quiet --unit=flatcar-reset-links --property=Type=oneshot --property=RemainAfterExit=yes \
    --property=DefaultDependencies=no --property=Conflicts=shutdown.target --property=After=local-fs.target \
    --property="Before=sysinit.target shutdown.target" --property=TimeoutStopSec=300 \
    --property="ExecStop=/usr/bin/bash $script" true
}

# Every step says itself when it fails: callers may have switched `set -e` off.
stage_lifecycle() { # LIFECYCLE, then the expressions to keep
  local lifecycle=$1
  shift
  say "staging lifecycle $lifecycle"
  case $lifecycle in
  reset)
    { touch "$UNWIPED" && flush && touch "$FLAG" && flush; } || return 1
    delete_links_at_shutdown || say "links to directories may be left behind"
    { flush && quietly flatcar-reset --keep-machine-id --keep-paths "$@"; } || return 1
    ;;
  reformat)
    { rm -rf "$HELD_KEYS.new" "$LINKS_LEFT" &&
      install -d -m 700 "$HELD_KEYS.new" &&
      cp -p /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub "$HELD_KEYS.new/" &&
      rm -rf "$HELD_KEYS" &&
      mv "$HELD_KEYS.new" "$HELD_KEYS" &&
      flush && touch "$FLAG" && flush && quietly flatcar-reset --keep-machine-id; } || return 1
    ;;
  flag)
    { unstage && touch "$FLAG"; } || return 1 # an earlier staged reset must not run along
    ;;
  *)
    say "unknown lifecycle $lifecycle"
    return 1
    ;;
  esac
  [ -e "$FLAG" ]
}
