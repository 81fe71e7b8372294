#!/usr/bin/env bash
# Runs a machine's health checks, each again and again until it passes or its time is over. Runs as the login user.
# Put in front of this text, quoted, by components/commands/reprovision.py: the arrays COMMANDS and SECONDS_EACH.
# Prints passed=INDEX or failed=INDEX lines on stdout; a failed command's last output lines on stderr.
set -u

main() {
  local i end output
  for i in "${!COMMANDS[@]}"; do
    end=$((SECONDS + SECONDS_EACH[i]))
    while :; do
      if output=$(timeout "${SECONDS_EACH[i]}" bash -c "${COMMANDS[i]}" 2>&1); then
        echo "passed=$i"
        break
      fi
      if [ "$SECONDS" -ge "$end" ]; then
        echo "failed=$i"
        tail -n 5 <<<"$output" | sed 's/^/    /' >&2
        break
      fi
      sleep 0.25
    done
  done
}

main </dev/null
