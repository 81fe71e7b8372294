#!/usr/bin/env bash
# Prints which paths a reset of this machine would not keep; changes nothing. Runs as root, after staging.sh and keep.sh. Put in
# front of this text, quoted, by components/commands/reprovision/live.py: the arrays UNDECLARED and KEEP.
set -euo pipefail

main() {
  local all path
  all=$(all_kept)
  for path in "${UNDECLARED[@]}"; do
    [ -n "$(find "$path" -maxdepth 0 -regextype egrep -regex "$all" 2>/dev/null)" ] || echo "not_kept=$path"
  done
}

main </dev/null
