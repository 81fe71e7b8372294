#!/usr/bin/env bash
# Prints what a person would look at first on a machine that failed its proof; changes nothing. Runs as root.
# Put in front of this text by components/commands/reprovision/run.py: HAS_BOOTED, yes where Ignition did its work.
set -u

main() {
  if [ "${HAS_BOOTED-no}" = no ]; then
    echo "last messages of Ignition in this boot:"
    journalctl --boot --identifier=ignition --priority=notice --lines=8 --output=cat --no-pager 2>&1 | sed 's/^/    /'
  fi
  systemctl list-units --failed --plain --no-legend | sed -n 's/^\([^ ]\{1,\}\).*/\1/p' | while read -r unit; do
    echo "last messages of the failed unit $unit:"
    journalctl --boot --unit="$unit" --lines=8 --output=cat --no-pager 2>&1 | sed 's/^/    /'
  done
}

main </dev/null
