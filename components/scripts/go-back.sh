#!/usr/bin/env bash
# Has the machine go back to its last good config now, not only after its deadline (see rollback.sh). Runs as root.
set -eu

systemctl --no-block start flatcar-rollback.service </dev/null
