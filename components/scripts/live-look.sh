#!/usr/bin/env bash
# Prints what this machine runs, from its last good config; changes nothing. Runs as root, after staging.sh. Put in front of this
# text, quoted, by components/commands/reprovision/live.py: the array PROVEN (SHA-512 of objects that the deployer has proven)
# and MOST_CONTENT (bytes of one that it takes).
set -euo pipefail

main() {
  local config known sum
  config=$ROLLBACK/$(last_good 2)/config.ign
  echo "last_good=$(last_good 1)"
  if [ ! -s "$config" ] || [ "$(stat --format=%s "$config")" -gt "$MOST_CONTENT" ]; then return 0; fi
  sum=$(sha512sum <"$config")
  for known in "${PROVEN[@]}"; do # else the deployer would not take it, and it may hold secrets
    [ "$known" != "${sum%% *}" ] || echo "last_good_content=$(base64 -w0 "$config")"
  done
}

main </dev/null
