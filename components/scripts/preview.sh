#!/usr/bin/env bash
# What a re-run would delete and keep, as counts and first paths on stderr; changes nothing. Functions, put in front of
# stage.sh; with a call of `preview` behind them (components/audit/wipe.py) they are a script of their own. Runs as root.
# Needs LIFECYCLE, the array KEEP, and staging.sh's `say`.

show() { # a title; the paths on stdin, of which folders don't count: those in use stay
  local path count=0 first=() # not all of them: there may be millions
  while IFS= read -r path; do
    if [ ! -d "$path" ] || [ -L "$path" ]; then
      count=$((count + 1))
      [ "$count" -gt 8 ] || first+=("$path")
    fi
  done
  say "$1: $count files${first[0]+, among them}"
  for path in "${first[@]}"; do say "    $path"; done
}

list() { # flatcar-reset's option; it only informs: a file that vanishes meanwhile makes it fail, and too many take too long
  timeout 120 flatcar-reset "$1" --keep-paths "${KEEP[@]}" || say "(the preview is not complete)"
}

preview() {
  case $LIFECYCLE in
  reset)
    show "will be deleted" < <(list --preview-delete)
    show "will be kept" < <(list --preview-keep)
    ;;
  reformat) say "will be deleted: everything on ROOT; kept: SSH host keys, machine id, other filesystems" ;;
  flag) say "warning: lifecycle 'flag' deletes nothing: old files stay, and new units stay disabled" ;;
  esac
}
