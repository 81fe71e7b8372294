#!/usr/bin/env bash
# A change without a reboot, as the agent of a machine that pulls makes it. Functions, read by pull.sh. What components/commands/
# reprovision/live.py does from the deployer: the same scripts change the machine, from clean to clean. What a machine should be
# is not known here in words, so it is held against what it was when it was proven: no more than the plan says may be another.
# The plan is $HERE/live in the object (components/payload/plans.py), quoted:
#   LIVE_SHAPE           by which other plans know the config that it lies in
#   LIVE_DRIFT           reset or refuse: what becomes of a machine that has drifted
#   LIVE_PATHS LIVE_TAILS LIVE_UNITS LIVE_STATES   what the config declares, as audit.sh is asked for it, and of each unit
#                        whether it is to be enabled, disabled, masked, or ''
#   LIVE_OS_MADE         expressions over what the system itself puts into /etc
#   SECONDS_LEFT MOST_SECONDS   as for live.sh
#   live_from SHAPE      sets what live.sh is given to come from that config; 1: that can't be live, and WHY says why
#   live_back SHAPE      the same to go back to that, without contents
# In $STATE lies seen: what this machine was when it last proved a config, compressed; its config id in the first line.
# In $RUN: changing, while the machine is changed; back, until it is proven: what live.sh is given to go back.
# shellcheck disable=SC2034,SC2153,SC2154 # variables come from the plan and from pull.sh, and go to other scripts by `declare -p`
# shellcheck disable=SC2030,SC2031 # `seen` has its own in a subshell

IGNITION_PRESETS=/etc/systemd/system-preset/20-ignition.preset
LIVE_VARIABLES=(
  GROUP_COMMANDS USERS USER_COMMANDS USER_PASSWORDS USER_KEYS NEW_HOMES PATHS KINDS MODES OWNERS TARGETS CONTENTS SUMS DELETES
  DIRECTORIES LINKS LINK_TARGETS STOPS MASKS DISABLES PRESETS RESTARTS RELOADS
)

as_template() { # NAME@INSTANCE.service: NAME@.service
  case $1 in
  *@*.*) echo "${1%%@*}@.${1##*.}" ;;
  *) echo "$1" ;;
  esac
}

# What speaks against a unit, by what audit.sh printed of it: components/commands/reprovision/drift.py, in shell.
unit_problem() { # its name, what it is to be, its state
  case $2-$3 in
  masked-masked*) return ;;
  masked-*) echo "$1 is not masked" && return ;;
  *-masked*) echo "$1 is masked by hand" && return ;;
  enabled-enabled* | enabled-static | enabled-indirect | enabled-alias | enabled-linked* | enabled-generated) ;;
  enabled-*) echo "$1 is ${3:-not there}" && return ;;
  disabled-enabled) echo "$1 is enabled" && return ;;
  esac
  [ "${SHOWN[NeedDaemonReload]-}" != yes ] || echo "$1 was changed on disk since systemd read it"
  [ "$2" = enabled ] || return 0
  case ${SHOWN[ActiveState]-}-${SHOWN[ConditionResult]-} in inactive-no | [!i]*) return ;; esac
  case $1-${SHOWN[Type]-} in
  *.socket-* | *.timer-* | *.path-* | *.mount-*) ;;
  *.service-simple | *.service-exec | *.service-forking | *.service-notify* | *.service-dbus | *.service-idle)
    case ${SHOWN[ExecMainCode]-}-${SHOWN[ExecMainStatus]-}-${SHOWN[Restart]-} in 1-0-no) return ;; esac
    ;;
  *) return ;;
  esac
  echo "$1 is stopped"
}

# Prints what this machine has of what the config of a plan declares, and beside it: SUBJECT, a tab, and what it is, a line each;
# first what speaks for itself, after the subject 'problem'. Not the stamp: there is none while the machine is changed. 1: it can't
# be told.
seen() { # the file of the plan
  (
    # shellcheck source=/dev/null
    . "$1"
    local PATHS=("${LIVE_PATHS[@]}") TAILS=("${LIVE_TAILS[@]}") UNITS=("${LIVE_UNITS[@]}")
    local told line value index kind mode user group sum target name preset part i kept units=()
    local -A STATES=() SHOWN=() KNOWN=()
    told=$(run PATHS TAILS UNITS -- staging.sh audit.sh 2>"$RUN/said") && grep -qx complete=1 <<<"$told" || exit 1
    # shellcheck source=components/scripts/keep.sh
    kept=$(. "$HERE/keep.sh" && all_kept)
    for name in "${UNITS[@]}"; do KNOWN[$name]=1 KNOWN[$(as_template "$name")]=1; done
    while IFS= read -r line; do
      value=${line#*=}
      case $line in
      unit=*) units+=("$value") ;;
      unit_file=*)
        IFS='|' read -r name kind preset <<<"$value"
        STATES[$name]=$kind
        [ "$kind-$preset-${KNOWN[$name]-}" != disabled-enabled- ] || printf 'problem\t%s\n' "$name is disabled"
        ;;
      failed_unit=*) printf 'problem\t%s\n' "$value has failed" ;;
      esac
    done <<<"$told"
    for i in "${!units[@]}"; do
      SHOWN=()
      while IFS= read -r -d '|' part; do SHOWN[${part%%=*}]=${part#*=}; done <<<"${units[i]#*|}"
      name=$(as_template "${UNITS[i]}")
      unit_problem "${UNITS[i]}" "${LIVE_STATES[i]}" "${STATES[$name]-${SHOWN[UnitFileState]-}}" | sed 's/^/problem\t/'
    done
    while IFS= read -r line; do
      value=${line#*=}
      case $line in
      path=*)
        IFS='|' read -r index kind mode user _ group _ _ sum target <<<"$value"
        printf '%s\t%s\n' "${PATHS[index]}" "$kind $mode $user:$group $sum $target"
        ;;
      etc=*)
        base64 -d <<<"$value" | tr '\n\0' '?\n' | sed 's/^\(.\)\t\([^\t]*\)\t\(.*\)$/\3\tis \1 \2/' |
          grep -vE "^($kept|$LIVE_OS_MADE|/etc/flatcar/config-id)"$'\t'
        ;;
      passwd=* | group=*) base64 -d <<<"$value" | sed "s/^\([^:]*\)\(.*\)/${line%%=*} \1\t\2/" ;;
      password=* | keys=*) printf '%s\t%s\n' "${line%%=*} ${value%%|*}" "${value#*|}" ;;
      esac
    done <<<"$told"
    true
  )
}

# The machine has been proven: what it is now is what it is held against from now on.
note_seen() {
  local now
  if [ ! -s "$HERE/live" ] || [ -e "$UNWIPED" ] || ! now=$(seen "$HERE/live"); then
    rm -f "$STATE/seen"
  else
    { running && grep -v $'^problem\t' <<<"$now"; } | gzip -n | put seen
  fi
}

differing() { LC_ALL=C comm -3 <(sort "$1") <(sort "$2") | sed 's/^\t//'; } # two files of what was seen

listed() { sort -u | head -n 3 | paste -sd ';' | sed 's/;/; /g' | cut -c1-400; }

# Whether the machine is what it was when it was proven; $RUN/was is what it is. 1: it is not, and WHY says why; 2: that can't be told.
is_clean() { # the config id; what ends a problem that is none
  if [ ! -s "$HERE/live" ] || [ "$(gzip -dc "$STATE/seen" 2>/dev/null | head -n 1)" != "$1" ]; then
    WHY="how this machine was when it was proven is not known"
    return 2
  fi
  seen "$HERE/live" >"$RUN/was" || { WHY="this machine could not be looked at" && return 2; }
  gzip -dc "$STATE/seen" | tail -n +2 >"$RUN/proven"
  WHY=$({ sed -n "${2:+/$2\$/d;}s/^problem\t//p" "$RUN/was" && sed -i '/^problem\t/d' "$RUN/was" && differing "$RUN/proven" "$RUN/was" | sed 's/\t.*/ is not as it was/'; } | listed)
  [ -n "$WHY" ] || return 0
  WHY="it has drifted: $WHY"
  return 1
}

has() { # a word, then words
  local word
  for word in "${@:2}"; do [ "$word" != "$1" ] || return 0; done
  return 1
}

# Whether the plan says that this becomes another.
is_planned() { # a subject, and what is seen of it
  local name=${1#* } base=${1##*/} units=("${PRESETS[@]}" "${STOPS[@]}" "${MASKS[@]}" "${DISABLES[@]}")
  case $1 in
  "$HERE"/settings | "$HERE"/object | "$HERE"/live) return ;;
  /etc/systemd/system/*)
    has "$1" "${PATHS[@]}" "${DELETES[@]}" "${LINKS[@]}" && return
    [[ $2 == *"l "* ]] && { has "$base" "${units[@]}" || has "${2##*/}" "${units[@]}" || has "$(as_template "$base")" "${units[@]}"; }
    ;;
  /*) has "$1" "${PATHS[@]}" "${DELETES[@]}" ;;
  'passwd '* | 'password '* | 'keys '*) has "$name" "${USERS[@]}" ;;
  'group '*) [ -n "${GROUP_COMMANDS[*]-}${USER_COMMANDS[*]-}" ] ;;
  *) return 1 ;;
  esac
}

belongs_to() { # a path; user:group, by names or numbers
  [[ " $(stat --format='%U %u' -- "$1") " == *" ${2%%:*} "* && " $(stat --format='%G %g' -- "$1") " == *" ${2##*:} "* ]]
}

# What of the plan does not hold, a line each.
not_made() {
  local i path name key
  for i in "${!PATHS[@]}"; do
    path=${PATHS[i]}
    case ${KINDS[i]} in
    file) [ -f "$path" ] && [ ! -L "$path" ] && { [ "$path" = "$IGNITION_PRESETS" ] || [ "$(sha512sum <"$path" | cut -d' ' -f1)" = "${SUMS[i]}" ]; } ;;
    directory) [ -d "$path" ] && [ ! -L "$path" ] ;;
    link) [ "$(readlink -- "$path")" = "${TARGETS[i]}" ] ;;
    esac || { [ "$path" = "$IGNITION_PRESETS" ] && [ ! -e "$path" ]; } || echo "$path is not what it has to be"
    if [ "${KINDS[i]}" != link ] && [ -e "$path" ]; then
      [ "$((8#$(stat --format=%a -- "$path")))" = "$((8#${MODES[i]}))" ] || echo "$path has another mode"
      belongs_to "$path" "${OWNERS[i]}" || echo "$path belongs to another"
    fi
  done
  for path in "${DELETES[@]}"; do
    if [ -e "$path" ] || [ -L "$path" ]; then echo "$path is still there"; fi
  done
  for i in "${!USERS[@]}"; do
    name=${USERS[i]}
    id "$name" >/dev/null 2>&1 || echo "user $name is missing"
    [ -z "${USER_PASSWORDS[i]}" ] || [ "$(sed -n "s/^$name:\([^:]*\):.*/\1/p" /etc/shadow)" = "${USER_PASSWORDS[i]}" ] ||
      echo "user $name has another password"
    [ -z "${USER_KEYS[i]}" ] || while IFS= read -r key; do
      grep -qF -e "$key" "$(getent passwd "$name" | cut -d: -f6)/.ssh/authorized_keys" || echo "user $name lacks a key"
    done <<<"${USER_KEYS[i]}"
  done
}

# Whether the machine has become what the plan says, and no more. 1: it has not, and WHY says why.
is_as_planned() {
  local subject what
  seen "$RUN/live" >"$RUN/is" || { WHY="this machine could not be looked at" && return 1; }
  WHY=$({
    # units that have failed are the proof's to find, as after a boot
    sed -n 's/^problem\t//p' "$RUN/is" | grep -v ' has failed$'
    sed -i '/^problem\t/d' "$RUN/is"
    differing "$RUN/was" "$RUN/is" | while IFS=$'\t' read -r subject what; do
      is_planned "$subject" "$what" || echo "$subject is another"
    done
    not_made
  } | listed)
  [ -n "$WHY" ] || return 0
  WHY="after the change: $WHY"
  return 1
}

keeps_the_same() { # what the running config's settings say of what is kept, and the new one's
  # shellcheck source=/dev/null
  [ "$(. "$HERE/settings" && declare -p KEEP)" = "$(declare -p KEEP)" ]
}

# Makes the machine run the object, as it runs. 1: that takes a reset; 2: nothing is to be done: prints why. Run in a subshell, as
# a plan has names that settings have, too.
change_live() {
  local code=0
  try_live || code=$?
  [ "$code" = 0 ] || echo "$WHY"
  return "$code"
}

try_live() {
  local BY=pull CONFIG_ID=$OBJECT_ID OLD_ID GOOD_ID name code=0
  OLD_ID=$(running) GOOD_ID=$OLD_ID
  keeps_the_same || { WHY="what is kept is another" && return 1; }
  agent_file live >"$RUN/live" || { WHY="the object has no plan" && return 1; }
  # shellcheck source=/dev/null
  name=$(. "$HERE/live" 2>/dev/null && echo "$LIVE_SHAPE")
  # shellcheck source=/dev/null
  . "$RUN/live"
  WHY="there is no plan from what this machine runs"
  live_from "${name:-none}" || return 1
  is_clean "$OLD_ID" || code=$?
  [ "$code" != 1 ] || [ "$LIVE_DRIFT" != refuse ] || { WHY="$WHY, and live.drift is 'refuse'" && return 2; }
  [ "$code" = 0 ] || return 1
  note_back "${name:-none}"
  for name in settings object live; do
    add_agent_file "$name"
    CONTENTS+=("$(agent_file "$name" | base64 -w0)") SUMS+=("$(agent_file "$name" | sha512sum | cut -d' ' -f1)")
  done
  stage live-stage.sh || { WHY="staging failed" && return 1; }
  touch "$RUN/changing"
  rm -f "$RUN/tried"
  apply && is_as_planned && stamp
}

add_agent_file() { PATHS+=("$HERE/$1") KINDS+=(file) MODES+=(0600) OWNERS+=(0:0) TARGETS+=(''); }

apply() {
  if run BY OLD_ID CONFIG_ID GOOD_ID SECONDS_LEFT MOST_SECONDS LIFECYCLE KEEP "${LIVE_VARIABLES[@]}" -- staging.sh keep.sh live.sh \
    2>"$RUN/said" | grep -qx "applied=$CONFIG_ID"; then
    cat "$RUN/said" >&2
    return
  fi
  WHY=$(tail -n 1 "$RUN/said")
  return 1
}

stamp() {
  if run BY CONFIG_ID -- staging.sh live-done.sh 2>"$RUN/said" | grep -qx "stamped=$CONFIG_ID"; then return; fi
  WHY="it was too late: the machine is rolling back"
  return 1
}

# What live.sh is given to go back: contents are those that lie here now. In a subshell: the names are those of the way there.
note_back() ( # the shape that runs
  rm -f "$RUN/back"
  live_back "$1" || return 0
  for name in settings object live; do add_agent_file "$name"; done
  for i in "${!PATHS[@]}"; do
    CONTENTS[i]='' SUMS[i]=''
    [ "${KINDS[i]}" = file ] || continue
    [ ! -f "${PATHS[i]}" ] || CONTENTS[i]=$(base64 -w0 <"${PATHS[i]}")
    SUMS[i]=$(base64 -d <<<"${CONTENTS[i]}" | sha512sum | cut -d' ' -f1)
  done
  declare -p "${LIVE_VARIABLES[@]}" >"$RUN/back"
)

# Makes the machine, whose config was not proven, what it was before; the reset to that is staged. 1: that takes this reset:
# prints why. Run in a subshell, as `change_live` is.
go_back_live() {
  local BY=pull CONFIG_ID OLD_ID GOOD_ID
  OLD_ID=$(running) CONFIG_ID=$(last_good 1)
  GOOD_ID=$CONFIG_ID
  # shellcheck source=/dev/null
  . "$RUN/live"
  # shellcheck source=/dev/null
  . "$RUN/back"
  rm -f "$RUN/back" # it is not tried twice
  touch "$RUN/changing"
  if apply && is_clean "$CONFIG_ID" ' has failed' && stamp; then
    rm -f "$RUN/changing"
    return
  fi
  echo "$WHY"
  return 1
}

# A machine that was changed half way has no stamp: the reset that is staged goes ahead, else it rolls back.
go_on_by_reset() {
  say "the change was not made to its end: the reset goes ahead"
  systemctl stop flatcar-live-deadline.timer flatcar-rollback.timer flatcar-rollback.service 2>/dev/null
  if [ -e "$FLAG" ] && [ -s "$RESET" ]; then
    systemctl --no-block reboot
  else
    systemctl --no-block start flatcar-rollback.service
  fi
}
