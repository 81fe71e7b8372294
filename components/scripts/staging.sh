#!/usr/bin/env bash
# What stage.sh, confirm.sh and rollback.sh share: names and functions, put in front of each. Runs as root.
# shellcheck disable=SC2034 # the names are for the scripts that follow

FLAG=/boot/flatcar/first_boot
# On the OEM partition: every lifecycle leaves that alone, also one that formats ROOT. What lies there:
#   last-good      two lines: the config id that was last proven, and the folder beside it that has its
#                  config.ign, lifecycle and keep
#   staged.keep    the paths that the re-run under way keeps: going back keeps them as well
#   went-back      the config id that the machine went back from, until the deployer has seen it
WAY_BACK=/oem/.flatcar-reprovision
GOING_BACK=/run/flatcar-going-back
LOCK=/run/flatcar-reprovision.lock

say() { echo "$*" >&2; }

last_good() { sed -n "$1p" "$WAY_BACK/last-good" 2>/dev/null || true; } # 1: config id, 2: folder

# Every step says itself when it fails: callers may have switched `set -e` off.
stage_lifecycle() { # LIFECYCLE, then the expressions to keep
  local lifecycle=$1
  shift
  say "staging lifecycle $lifecycle"
  case $lifecycle in
  reset) flatcar-reset --keep-machine-id --keep-paths "$@" >&2 || return 1 ;;
  reformat)
    # The root file system goes: the host keys wait on the OEM partition for flatcar-restore-host-keys.service.
    { rm -rf /oem/.flatcar-host-keys.new &&
      install -d -m 700 /oem/.flatcar-host-keys.new &&
      cp /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /oem/.flatcar-host-keys.new/ &&
      chmod 600 /oem/.flatcar-host-keys.new/* &&
      rm -rf /oem/.flatcar-host-keys &&
      mv /oem/.flatcar-host-keys.new /oem/.flatcar-host-keys &&
      flatcar-reset --keep-machine-id >&2; } || return 1
    ;;
  flag)
    { flatcar-reset --stop >&2 && touch "$FLAG"; } || return 1 # an earlier staged reset must not run along
    ;;
  *)
    say "unknown lifecycle $lifecycle"
    return 1
    ;;
  esac
  [ -e "$FLAG" ]
}
