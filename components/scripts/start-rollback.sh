#!/usr/bin/env bash
# Has the machine roll back to its last good config now, not only after its deadline (see rollback.sh). Runs as root, after
# staging.sh. Exit: 3 it can't, as /oem can't be written.
set -eu

mountpoint --quiet /oem && can_write /oem/.flatcar-write-check || exit 3
systemctl --no-block start flatcar-rollback.service </dev/null
