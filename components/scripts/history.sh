#!/usr/bin/env bash
# Prints what happened on the machine: the steps of its re-runs. Changes nothing; runs as root, after staging.sh.
set -eu

[ ! -e "$HISTORY" ] || sed 's/^/history=/' "$HISTORY"
