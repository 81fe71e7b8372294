#!/usr/bin/env bash
# Runs a machine's health checks, each again and again until it passes or its time is over. Runs as the login user.
# Put in front of this text, quoted, by components/commands/reprovision/health.py: the arrays KINDS (command, http, tcp, unit), SUBJECTS
# (a command, an address, a port or host:port, a unit), EXPECTED (http: the status) and SECONDS_EACH.
# Prints passed=INDEX, or failed=INDEX and why=TEXT lines on stdout; a failed command's last output lines on stderr.
set -u

check() { # INDEX; says on stdout what is wrong
  local subject=${SUBJECTS[$1]} state code=0
  case ${KINDS[$1]} in
  command)
    timeout "${SECONDS_EACH[$1]}" bash -c "$subject" 2>&1 || code=$?
    [ "$code" != 0 ] || return 0
    [ "$code" = 124 ] && echo "did not end within ${SECONDS_EACH[$1]} s" || echo "exit code $code"
    ;;
  http)
    state=$(curl --silent --show-error --output /dev/null --write-out '%{http_code}' --max-time 10 "$subject" 2>&1) ||
      code=$?
    [ "$state" != "${EXPECTED[$1]}" ] || return 0
    [ "$code" = 0 ] && echo "status $state, wanted ${EXPECTED[$1]}" || echo "${state%%$'\n'*}"
    ;;
  tcp)
    local host=${subject%:*}
    [ "$host" != "$subject" ] || host=127.0.0.1
    # shellcheck disable=SC2016
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$host" "${subject##*:}" 2>/dev/null && return 0
    echo "nothing answers at $host port ${subject##*:}"
    ;;
  unit)
    state=$(systemctl is-active "$subject" 2>/dev/null) && return 0
    echo "is ${state:-unknown}"
    ;;
  esac
  return 1
}

uptime() { # seconds; $SECONDS follows the clock, which may be set while a machine starts
  local up
  read -r up _ </proc/uptime
  echo "${up%.*}"
}

main() {
  local i end said
  for i in "${!KINDS[@]}"; do
    end=$(($(uptime) + SECONDS_EACH[i]))
    until said=$(check "$i"); do
      if [ "$(uptime)" -ge "$end" ]; then
        echo "failed=$i"
        echo "why=$(tail -n 1 <<<"$said")"
        [ "${KINDS[i]}" != command ] || sed '$d' <<<"$said" | tail -n 5 | sed 's/^/    /' >&2
        continue 2
      fi
      sleep 0.25
    done
    echo "passed=$i"
  done
}

main </dev/null
