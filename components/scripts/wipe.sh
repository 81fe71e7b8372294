#!/usr/bin/env bash
# Prints what a re-run would delete and keep on this machine, after staging.sh and preview.sh; changes nothing. Runs as root.
set -eu

preview </dev/null
