#!/usr/bin/env bash
# What a re-run would delete and keep, as counts and first paths on stderr; changes nothing. Functions, put in front of
# stage.sh; with a call of `preview` behind them (components/audit/wipe.py) they are a script of their own. Runs as root.
# Needs LIFECYCLE, the array KEEP, and staging.sh's `say`.

show() { # a title; the paths on stdin, of which folders don't count: those in use stay
  local path paths=()
  while IFS= read -r path; do
    [ -d "$path" ] && [ ! -L "$path" ] || paths+=("$path")
  done
  say "$1: ${#paths[@]} files${paths[0]+, among them}"
  for path in "${paths[@]:0:8}"; do say "    $path"; done
}

preview() {
  case $LIFECYCLE in
  reset)
    # a file that vanishes meanwhile makes find, and so the preview, fail: it only informs
    show "will be deleted" < <(flatcar-reset --preview-delete --keep-paths "${KEEP[@]}" || say "(the preview is not complete)")
    show "will be kept" < <(flatcar-reset --preview-keep --keep-paths "${KEEP[@]}" || say "(the preview is not complete)")
    ;;
  reformat) say "will be deleted: everything on ROOT; kept: SSH host keys, machine id, other filesystems" ;;
  flag) say "warning: lifecycle 'flag' deletes nothing: old files stay, and new units stay disabled" ;;
  esac
}
