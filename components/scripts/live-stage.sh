#!/usr/bin/env bash
# In front of stage.sh: what that stages is not booted into yet, as live.sh tries to do without. Functions that take the place
# of others; the texts of stage.sh and staging.sh lie in machines' objects, so they stay what they are.

preview() { :; } # nothing is deleted

systemd-run() {
  [ "${*: -2}" != "systemctl reboot" ] || return 0
  command systemd-run "$@"
}

systemctl() { # its rollback is there until it boots
  [ "${*:1:2}" != "stop flatcar-rollback.timer" ] || return 0
  command systemctl "$@"
}
