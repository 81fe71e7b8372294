#!/usr/bin/env bash
# What this machine's own find makes of the expressions in KEEP; changes nothing. Functions, put in front of stage.sh and
# wipe.sh. Runs as root. Needs LIFECYCLE, the array KEEP, and staging.sh's `say`.

# What flatcar-reset makes of an entry (flatcar/init, bin/flatcar-reset, generate_regex).
kept_expression() {
  local entry=${1%/}
  case $entry in
  *'$' | *')' | *'*' | *']' | *'?') ;;
  /*) printf '%s/.*|' "$entry" ;; # what is below as well
  esac
  printf %s "$entry"
}

# And of all of them.
all_kept() {
  local entry all=
  for entry in "${KEEP[@]}"; do all+="$(kept_expression "$entry")|"; done
  printf %s "($all/flatcar-backup|/flatcar-backup/.*|/selective-os-reset)"
}

# Prints the first entry that find can't use, and its words; fails when there is none.
refused_keep() {
  local entry said
  for entry in "${KEEP[@]}" "$(all_kept)"; do
    said=$(find / -maxdepth 0 -regextype egrep -regex "$entry" 2>&1 >/dev/null) && continue
    [ "${#entry}" -lt 1000 ] || entry=${entry:0:1000}…
    printf "'%s' (%s)" "$entry" "${said##*: }"
    return
  done
  return 1
}

# The text that all paths of an expression start with.
literal_start() {
  local special='[][\\.*+?(){}|^$]*' text
  # shellcheck disable=SC2295 # a pattern
  text=${1%%$special}
  case ${1:${#text}:1} in
  '*' | '+' | '?' | '{') text=${text%?} ;; # the last character may not be there
  esac
  printf %s "$text"
}

# A line for each entry that keeps less than it looks like. The whole expression, then the entries.
tell_kept_of() {
  local all=$1 entry expression start folder found below there
  shift
  for entry in "$@"; do
    expression=${entry%/} start=$(literal_start "${entry%/}")
    folder=${start%/*}
    folder=${folder:-/}
    if [ "$start" = "$expression" ] || [ ! -d "$folder" ]; then continue; fi # a plain path is there, or it is not
    found=$(find "$folder" -xdev -regextype egrep -regex "$expression" -print -quit 2>/dev/null)
    there=("$start"*)
    if [ -z "$found" ] && { [ -e "${there[0]}" ] || [ -L "${there[0]}" ]; }; then
      say "warning: keep '$entry' matches nothing, though there is ${there[0]}"
    fi
    [ "$(kept_expression "$entry")" = "$expression" ] || continue
    while IFS= read -r -d '' found; do
      below=$(find "$found" -xdev -mindepth 1 -regextype egrep ! -regex "$all" -print -quit 2>/dev/null)
      [ -n "$below" ] || continue
      say "warning: keep '$entry' keeps the folder $found, but not $below in it; '$expression/.*' keeps what is in it"
      break
    done < <(find "$folder" -xdev -regextype egrep -type d -regex "$expression" -print0 2>/dev/null | head -z -n 20)
  done
}

tell_kept() {
  [ "$LIFECYCLE" = reset ] || return 0
  # as flatcar-reset looks at it: /etc of the root file system, without the image's files laid under it
  # shellcheck disable=SC2016 # "$@" is for the inner shell
  timeout 60 unshare --mount bash -c "$(declare -f say literal_start kept_expression tell_kept_of)"'
    while mountpoint -q /etc; do umount --lazy /etc || exit; done
    tell_kept_of "$@"' bash "$(all_kept)" "${KEEP[@]}" || say "(what keep matches could not be looked at to its end)"
}
