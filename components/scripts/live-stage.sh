#!/usr/bin/env bash
# In front of stage.sh, behind preview.sh: what that stages is not booted into yet, as live.sh tries to do without.
# shellcheck disable=SC2034 # for stage.sh

REBOOTS=no

preview() { :; } # nothing is deleted
