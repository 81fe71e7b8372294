#!/usr/bin/env bash
# Makes this machine, as it runs, what a reset of the wanted config would make of it. That reset is staged already, so whatever
# stops this script half way, or is in doubt here, ends in it. Runs as root, after staging.sh and keep.sh.
# Put in front of this text, quoted, by components/commands/reprovision/live.py, or by the machine's own pull-live.sh (and BY=pull):
#   OLD_ID CONFIG_ID     what runs, and what is wanted
#   GOOD_ID              the last good config: one of the two. Where it is the wanted one, the other was not proven
#   SECONDS_LEFT         when the machine rolls back, unless it is confirmed
#   MOST_SECONDS         how long units may take to stop, start and reload
#   LIFECYCLE KEEP       as for stage.sh
#   GROUP_COMMANDS   what makes groups, a word a line
#   USERS USER_COMMANDS USER_PASSWORDS USER_KEYS NEW_HOMES   users to make or change: the words of useradd or usermod, one a
#                        line, a password's hash, SSH keys; the home directory that is made; '' for nothing
#   PATHS KINDS MODES OWNERS TARGETS CONTENTS SUMS   what to write: file, directory or link; contents in base64
#   DELETES              paths of files and links that go
#   DIRECTORIES          those that the wanted config declares
#   LINKS LINK_TARGETS   links of the wanted config between units, which disabling a unit may have taken away
#   STOPS MASKS DISABLES   units that go away; that are masked; that are not enabled any more
#   PRESETS RESTARTS RELOADS   units that their presets are applied to; that start anew; that reload, or start anew if they can't
# Steps go to stderr. Exit: 0 done, and applied=CONFIG_ID on stdout; 3 not done: a reset is needed.
# Until all is proven the machine has no stamp: nobody takes it for one that runs either config, and rollback.sh would roll back.
set -euo pipefail

STAMP=/etc/flatcar/config-id
IGNITION_PRESETS=/etc/systemd/system-preset/20-ignition.preset
DEADLINE=flatcar-live-deadline # the unit that rolls back a machine that nobody confirms
RAN=/run/flatcar-live-ran # what ran before the last change

goes_back() { [ "$CONFIG_ID" = "$GOOD_ID" ]; }

needs_reset() {
  say "$1"
  exit 3
}

# Whether the image has something at this path: it would come into sight again, when ROOT's own is gone.
is_of_image() {
  local folder
  case $1 in
  /etc/*)
    while IFS= read -r folder; do
      if [ -e "$folder/${1#/etc/}" ] || [ -L "$folder/${1#/etc/}" ]; then return 0; fi
    done < <(
      echo /usr/share/flatcar/etc
      findmnt --noheadings --output OPTIONS --mountpoint /etc | sed -n 's/.*lowerdir+\{0,1\}=\([^,]*\).*/\1/p' | tr : '\n' 2>/dev/null # who reads it may have seen enough
    )
    ;;
  esac
  return 1
}

is_kept() { [ -n "$(find "$1" -maxdepth 0 -regextype egrep -regex "$ALL_KEPT" 2>/dev/null)" ]; }

# On ROOT, and not by way of a link.
check_parents() {
  local folder=${1%/*}
  folder=${folder:-/}
  [ "$(realpath -m -- "$folder")" = "$folder" ] || needs_reset "$1 lies behind a link"
  while [ ! -e "$folder" ]; do folder=${folder%/*} folder=${folder:-/}; done
  [ -d "$folder" ] || needs_reset "$folder is no directory"
  case $(stat --format=%m -- "$folder") in
  / | /etc) ;;
  *) needs_reset "$1 is not on ROOT" ;;
  esac
}

# Whether something runs on with the groups that this user has had.
runs_as() {
  local run_as
  [ ! -e "/var/lib/systemd/linger/$1" ] || return 0 # else user@.service is that of who is logged in, such as the deployer
  run_as=$(running_units | sed '/^user@/d' | xargs -r -d '\n' systemctl show --property=User --value --) || return 0
  grep -qxF -e "$1" -e "$(id -u "$1")" <<<"$run_as"
}

check_users() {
  local i name
  for i in "${!USERS[@]}"; do
    name=${USERS[i]}
    case ${USER_COMMANDS[i]} in
    useradd*) ! id "$name" >/dev/null 2>&1 || needs_reset "there is a user $name already" ;;
    *) id "$name" >/dev/null 2>&1 || needs_reset "there is no user $name" ;;
    esac
    case ${USER_COMMANDS[i]} in
    usermod*) ! runs_as "$name" || needs_reset "something runs as $name, whose groups change" ;;
    esac
    if [ -n "${NEW_HOMES[i]}" ]; then
      check_parents "${NEW_HOMES[i]}"
      if [ -e "${NEW_HOMES[i]}" ] || [ -L "${NEW_HOMES[i]}" ]; then needs_reset "${NEW_HOMES[i]} is there already"; fi
    fi
    [ -z "${USER_KEYS[i]}" ] || command -v update-ssh-keys >/dev/null || needs_reset "update-ssh-keys is not there"
  done
}

uptime() { cut -d. -f1 /proc/uptime; }

# systemctl, for what units do; without the lock, which one that hangs would keep.
units() {
  local left=$((GIVES_UP_AT - $(uptime))) code=0
  timeout $((left > 1 ? left : 1)) systemctl "$@" 9>&- || code=$?
  [ "$code" != 124 ] || needs_reset "units have not come to an end after $MOST_SECONDS s: systemctl $*"
  return "$code"
}

is_planned() { [[ " ${STOPS[*]-} ${MASKS[*]-} ${DISABLES[*]-} ${RESTARTS[*]-} " == *" $1 "* ]]; }

# What a timer, a socket or a path unit starts, and when.
check_triggers() {
  local name other
  for name in "${STOPS[@]}" "${MASKS[@]}"; do
    for other in $(units_in TriggeredBy "$name"); do
      [[ " ${STOPS[*]-} ${MASKS[*]-} " == *" $other "* ]] || ! is_running "$other" || needs_reset "$other starts $name"
    done
  done
  for name in "${STOPS[@]}" "${MASKS[@]}" "${DISABLES[@]}" "${RESTARTS[@]}"; do
    case $name in
    *.timer | *.socket | *.path)
      for other in $(units_in Triggers "$name"); do
        is_planned "$other" || ! is_running "$other" || is_one_of "$other" "$(units_of_a_boot)" ||
          needs_reset "$name has started $other"
      done
      ;;
    *.service)
      if is_running "$name"; then continue; fi
      for other in $(units_in TriggeredBy "$name" | grep '\.timer$' || true); do
        if is_running "$other" && ! is_planned "$other" &&
          systemctl show --property=TimersMonotonic --value -- "$other" | grep -E 'On(Boot|Startup|Active)USec' >/dev/null; then
          needs_reset "$other starts $name after each boot"
        fi
      done
      ;;
    esac
  done
}

# Whether stdin, the text of a unit, says what enabling it does: of a unit of the image nothing else would look at it.
enables() { grep '^[[:space:]]*\[Install\]' >/dev/null; }

check_drop_ins() {
  local i path
  for path in "${PATHS[@]}" "${DELETES[@]}"; do
    case $path in
    /etc/systemd/system/*.d/*) [ ! -f "$path" ] || ! enables <"$path" || needs_reset "$path says what is enabled" ;;
    esac
  done
  for i in "${!PATHS[@]}"; do
    case ${PATHS[i]} in
    /etc/systemd/system/*.d/*) ! base64 -d <<<"${CONTENTS[i]}" | enables || needs_reset "${PATHS[i]} says what is enabled" ;;
    esac
  done
}

# As extended regular expressions for grep: the paths of stdin, whole.
expressions() { sed 's/[][\.*^$+?(){}|]/\\&/g; s/$/([^A-Za-z0-9_.-]|$)/'; }

# What runs without being among the config's units, such as one of the image, may name what changes as well.
check_readers() {
  local name others=() named
  while IFS= read -r name; do
    is_planned "$name" || [[ " ${RELOADS[*]-} " == *" $name "* ]] || others+=("$name")
  done < <(running_units)
  named=$(systemctl cat -- "${others[@]}" 2>/dev/null | grep -v '^#' | grep -oE -f <(
    printf '%s\n' "${PATHS[@]}" "${DELETES[@]}" | grep -v -e '^$' -e '^/etc/systemd/' -e '^/etc/flatcar/' | expressions
  ) | head -n 1) || true
  [ -z "$named" ] || needs_reset "what names ${named%[^A-Za-z0-9_.-]} would not restart"
}

# That to the last good config is the one to the config that was not proven, but for the config (stage_last_good).
is_staged() {
  local folder
  if [ ! -e "$FLAG" ] || [ ! -s "$RESET" ]; then return 1; fi
  folder=$ROLLBACK/$(last_good 2)
  if goes_back; then
    [ -s "$folder/config.ign" ] && [ "$(cat "$folder/lifecycle")" = reset ] && cmp -s "$folder/keep" "$ROLLBACK/staged.keep"
  else
    grep -q "^$CONFIG_ID " "$ROLLBACK/staged.object"
  fi
}

# As rollback.sh has it.
stage_last_good() {
  note "${BY-push}" "$CONFIG_ID" going-back
  echo "$OLD_ID" >"$ROLLBACK/went-back"
  install -m 600 "$ROLLBACK/$(last_good 2)/config.ign" "$OWN_CONFIG.new"
  sync "$OWN_CONFIG.new"
  mv -f "$OWN_CONFIG.new" "$OWN_CONFIG"
  sync --file-system /oem
}

check() {
  local i path name
  [ "$(cat "$STAMP" 2>/dev/null)" = "$OLD_ID" ] || needs_reset "the machine runs another config by now"
  [ "$(last_good 1)" = "$GOOD_ID" ] || needs_reset "the machine could not roll back to what it runs"
  is_staged || needs_reset "the reset to the wanted config is not staged"
  systemctl cat flatcar-rollback.service >/dev/null 2>&1 || needs_reset "nothing on this machine would roll it back"
  case $(systemctl show --property=SubState --value -- flatcar-rollback.timer) in
  elapsed | dead) ;;
  *) needs_reset "it has booted a short while ago, and its own timer would roll it back on the way" ;;
  esac
  for i in "${!PATHS[@]}"; do
    path=${PATHS[i]}
    check_parents "$path"
    if [ "${KINDS[i]}" = directory ]; then
      if [ -e "$path" ] || [ -L "$path" ]; then needs_reset "$path is there already"; fi
    elif [ -d "$path" ] && [ ! -L "$path" ]; then
      needs_reset "$path is a directory"
    fi
  done
  for path in "${DELETES[@]}"; do
    check_parents "$path"
    ! is_of_image "$path" || needs_reset "the image has a $path of its own"
    ! is_kept "$path" || needs_reset "$path is kept, and no config declares it any more"
  done
  for name in "${STOPS[@]}"; do
    [ ! -e "/usr/lib/systemd/system/$name" ] || needs_reset "the image has a $name of its own"
  done
  for name in "${STOPS[@]}" "${MASKS[@]}" "${DISABLES[@]}"; do
    ! systemctl cat -- "$name" 2>/dev/null | grep '^Also=' >/dev/null || needs_reset "$name is enabled and disabled with others"
  done
  for name in "${STOPS[@]}" "${MASKS[@]}" "${DISABLES[@]}"; do
    [ "$(systemctl show --property=Type --value -- "$name")" != oneshot ] || needs_reset "what $name has done stays"
  done
  check_triggers
  check_drop_ins
  check_readers
  check_users
}

# Ignition notes that a unit is to be disabled where it would be enabled otherwise (internal/exec/util/unit.go, DisableUnit).
as_ignition_notes_presets() {
  local verb name lines=
  while read -r verb name; do
    if [ "$verb" = enable ] || systemctl --root=/ is-enabled -- "$name" >/dev/null 2>&1; then lines+="$verb $name"$'\n'; fi
  done <"$1"
  printf %s "$lines" >"$1"
}

# As Ignition does it; the keys as Flatcar does after it (update-ssh-keys-after-ignition.service).
change_users() {
  local i name words
  for i in "${!GROUP_COMMANDS[@]}"; do
    mapfile -t words <<<"${GROUP_COMMANDS[i]}"
    "${words[@]}"
  done
  for i in "${!USERS[@]}"; do
    name=${USERS[i]}
    mapfile -t words <<<"${USER_COMMANDS[i]}"
    [ -z "${words[0]}" ] || "${words[@]}"
    [ -z "${USER_PASSWORDS[i]}" ] || chpasswd --encrypted <<<"$name:${USER_PASSWORDS[i]}"
    if [ -n "${USER_KEYS[i]}" ]; then
      # shellcheck disable=SC2016 # for the user's shell
      sudo -n -u "$name" bash -c 'umask 077 && mkdir -p "$1"' - "$(getent passwd "$name" | cut -d: -f6)/.ssh"
      (umask 022 && quietly update-ssh-keys -u "$name" -A ignition <<<"${USER_KEYS[i]}")
    fi
  done
}

# Beside it others may write as well, who own the folder: what is new is made where root alone does, on the same file system.
write() { # the number of a path
  local path=${PATHS[$1]} new=$NEW/new
  [[ $path != /etc/* ]] || new=$NEW_ETC/new
  (umask 022 && mkdir -p "${path%/*}")
  case ${KINDS[$1]} in
  directory)
    mkdir "$path"
    chown "${OWNERS[$1]}" "$path"
    chmod "${MODES[$1]}" "$path"
    return
    ;;
  link)
    ln -sfT -- "${TARGETS[$1]}" "$new"
    chown -h "${OWNERS[$1]}" "$new"
    ;;
  file)
    base64 -d <<<"${CONTENTS[$1]}" >"$new"
    [ "$(sha512sum <"$new" | cut -d' ' -f1)" = "${SUMS[$1]}" ] || needs_reset "$path did not arrive whole"
    [ "$path" != "$IGNITION_PRESETS" ] || as_ignition_notes_presets "$new"
    chown "${OWNERS[$1]}" "$new"
    chmod "${MODES[$1]}" "$new"
    ;;
  esac
  mv -fT "$new" "$path"
}

is_declared() {
  local path
  for path in "${DIRECTORIES[@]}"; do
    [ "$path" != "$1" ] || return 0
  done
  return 1
}

# The file or link, and the folders that Ignition made for it.
delete() {
  local folder=${1%/*}
  rm -f -- "$1"
  while true; do
    case $folder in
    /var/*/*) ;;
    /var/*) return 0 ;;
    /*/*) ;;
    *) return 0 ;;
    esac
    if is_declared "$folder" || is_of_image "$folder" || is_kept "$folder" || ! rmdir -- "$folder" 2>/dev/null; then
      return 0
    fi
    systemd-tmpfiles --create --prefix="$folder" >/dev/null 2>&1 || true # it may be one of the system's
    folder=${folder%/*}
  done
}

# The units that properties of units name, a line each: systemd quotes one with \x2d in its name.
units_in() { # properties, then units
  systemctl show --no-pager --property="$1" --value -- "${@:2}" | tr ' ' '\n' | sed 's/^"\(.*\)"$/\1/; s/\\\\/\\/g'
}

is_running() {
  case $(systemctl show --property=ActiveState --value -- "$1") in
  active | activating | reloading) ;;
  *) return 1 ;;
  esac
}

is_absent() { # or masked
  [ "$(readlink "/etc/systemd/system/$1")" = /dev/null ] || ! systemctl cat -- "$1" >/dev/null 2>&1
}

# What a boot starts: what the default target pulls in, and what that does. Sorted.
units_of_a_boot() {
  local found=default.target next=default.target
  while [ -n "$next" ]; do
    # shellcheck disable=SC2086 # names
    next=$(units_in Wants,Requires,BindsTo,Upholds $next | sort -u)
    next=$(comm -13 <(echo "$found") <(echo "$next") | grep . || true)
    found=$(printf '%s\n' "$found" "$next" | sort -u)
  done
  echo "$found"
}

is_one_of() { grep -qxF -e "$1" <<<"$2"; } # NAME, a line for each of them

running_units() {
  systemctl list-units --plain --no-legend --no-pager --type=service,socket,timer,path,target \
    --state=active,activating,reloading | sed 's/ .*//' | sort
}

# Else neither needs systemd to read its units again, nor does another boot start others: both take seconds.
changes_units() {
  local path
  for path in "${PATHS[@]}" "${DELETES[@]}"; do
    case $path in /etc/systemd/*) return 0 ;; esac
  done
  return 1
}

apply() {
  local i name path before booted boots stopping=("${STOPS[@]}") running=() starting=() along=() reloading=()
  systemctl stop "$DEADLINE.timer" "$DEADLINE.service" flatcar-rollback.service 2>/dev/null || true
  systemd-run --quiet --unit="$DEADLINE" --collect --on-active="${SECONDS_LEFT}s" --timer-property=AccuracySec=1s \
    systemctl --no-block start flatcar-rollback.service
  GIVES_UP_AT=$(($(uptime) + MOST_SECONDS))
  rm -f "$STAMP"
  NEW=$(mktemp -d /.flatcar-live.XXXXXX) NEW_ETC=$(mktemp -d /etc/flatcar/.live.XXXXXX)
  flush
  booted=$(units_of_a_boot)
  before=$(running_units)
  if goes_back; then
    before=$(cat "$RAN" - 2>/dev/null <<<"$before" | sort -u)
  else
    echo "$before" >"$RAN"
  fi
  for name in "${RELOADS[@]}"; do
    if is_running "$name" && [ "$(systemctl show --property=CanReload --value -- "$name")" = yes ]; then
      reloading+=("$name")
    else
      RESTARTS+=("$name")
    fi
  done
  for name in "${RESTARTS[@]}"; do
    ! is_running "$name" || running+=("$name")
  done
  for name in "${MASKS[@]}" "${DISABLES[@]}"; do
    ! is_running "$name" || stopping+=("$name")
  done
  if [ -n "${stopping[*]-}${running[*]-}" ]; then units stop -- "${stopping[@]}" "${running[@]}"; fi
  if [ -n "${stopping[*]-}${running[*]-}" ] || goes_back; then
    # what needs one of them, or one that has failed, has stopped along with it
    mapfile -t along < <(comm -23 <(echo "$before") <(running_units) | grep -vxF -f <(printf '%s\n' "${stopping[@]}" "${running[@]}"))
  fi
  for name in "${STOPS[@]}" "${MASKS[@]}" "${PRESETS[@]}"; do
    is_absent "$name" || quietly systemctl disable -- "$name"
  done
  (umask 022 && change_users)
  for i in "${!PATHS[@]}"; do [ "${PATHS[i]}" = "$IGNITION_PRESETS" ] || write "$i"; done
  for path in "${DELETES[@]}"; do delete "$path"; done
  for i in "${!PATHS[@]}"; do [ "${PATHS[i]}" != "$IGNITION_PRESETS" ] || write "$i"; done # by what the units are now
  rmdir "$NEW" "$NEW_ETC"
  [ ! -e "$IGNITION_PRESETS" ] || [ -s "$IGNITION_PRESETS" ] || delete "$IGNITION_PRESETS"
  boots=$booted
  if changes_units; then
    systemctl daemon-reload
    for name in "${PRESETS[@]}"; do
      is_absent "$name" || quietly systemctl preset -- "$name"
    done
    for i in "${!LINKS[@]}"; do
      (umask 022 && mkdir -p "${LINKS[i]%/*}")
      ln -sfT -- "${LINK_TARGETS[i]}" "${LINKS[i]}"
    done
    systemctl daemon-reload
    boots=$(units_of_a_boot)
  fi
  # else one that has failed before could not start, or would still be told after it has gone
  systemctl reset-failed -- "${STOPS[@]}" "${MASKS[@]}" "${DISABLES[@]}" "${RESTARTS[@]}" 2>/dev/null || true
  for name in "${along[@]}" "${running[@]}"; do # one that something else had started than a boot is started again
    if is_one_of "$name" "$boots" || ! is_one_of "$name" "$booted"; then starting+=("$name"); fi
  done
  for name in "${RESTARTS[@]}" "${DISABLES[@]}"; do
    if is_one_of "$name" "$boots" && [[ " ${starting[*]-} " != *" $name "* ]]; then starting+=("$name"); fi
  done
  for name in $(comm -23 <(comm -12 <(echo "$before") <(echo "$booted")) <(echo "$boots")); do
    ! is_running "$name" || needs_reset "$name runs, and would not after a boot"
  done
  if [ "${#starting[@]}" != 0 ]; then
    say "starting ${starting[*]}"
    # one that has failed is the proof's to find; one that something else has started meanwhile runs with what was there
    if units restart -- "${starting[@]}"; then
      for name in "${starting[@]}"; do
        [ "$(systemctl show --property=ConditionResult --value -- "$name")" != no ] ||
          needs_reset "a condition of $name does not hold, and may after a reset"
      done
    else
      systemctl is-failed --quiet -- "${starting[@]}" || needs_reset "not all of them have started"
    fi
  fi
  for name in "${STOPS[@]}" "${MASKS[@]}"; do
    ! is_running "$name" || needs_reset "$name has started again"
  done
  for name in "${reloading[@]}"; do
    say "reloading $name"
    units reload -- "$name" || needs_reset "$name could not reload"
  done
  flush
}

main() {
  lock --wait 60 || needs_reset "something else has been re-provisioning this machine for a minute"
  [ ! -e "$ROLLING_BACK" ] || needs_reset "the machine is rolling back"
  ALL_KEPT=$(all_kept)
  check
  ! goes_back || stage_last_good
  apply
  echo "applied=$CONFIG_ID"
}

main </dev/null
