#!/usr/bin/env bash
# Prints what a re-run would delete and keep on this machine, after staging.sh, keep.sh and preview.sh; changes nothing. Runs as root.
set -eu

tell_kept </dev/null
preview </dev/null
