#!/usr/bin/env bash
# Has the machine go back to its last good config now, not only after its deadline (see rollback.sh). Runs as root.
# Exit: 3 it can't, as /oem can't be written.
set -eu

probe=/oem/.flatcar-write-check
mountpoint --quiet /oem && : 2>/dev/null >"$probe" && rm "$probe" || exit 3
systemctl --no-block start flatcar-rollback.service </dev/null
