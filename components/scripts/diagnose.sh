#!/usr/bin/env bash
# Prints what a person would look at first on a machine that failed its proof; changes nothing. Runs as root.
set -u

main() {
  echo "last messages of Ignition in this boot:"
  journalctl --boot --identifier=ignition --priority=notice --lines=8 --output=cat --no-pager 2>&1 | sed 's/^/    /'
  systemctl list-units --failed --plain --no-legend | sed -n 's/^\([^ ]\{1,\}\).*/\1/p' | while read -r unit; do
    echo "last messages of the failed unit $unit:"
    journalctl --boot --unit="$unit" --lines=8 --output=cat --no-pager 2>&1 | sed 's/^/    /'
  done
}

main </dev/null
