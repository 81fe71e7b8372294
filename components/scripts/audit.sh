#!/usr/bin/env bash
# Prints what this machine has of what was declared, and what it has beside; changes nothing. Runs as root (sudo bash -s).
# Put in front of this text, quoted, by components/audit: the arrays PATHS (declared files, directories and links), TAILS (for
# each of them '' or the number of bytes at its end that were declared) and UNITS; then staging.sh.
# No content and no password leaves the machine: SHA-512 sums do. NAME=VALUE lines on stdout, fields parted by '|', what may
# hold any character in base64.
set -u -o pipefail

KEY='(ssh|ecdsa|sk)-[^ ]+ +[A-Za-z0-9+/=]+'

encoded() { base64 -w0; }

show_paths() {
  local i path sum
  for i in "${!PATHS[@]}"; do
    path=${PATHS[i]}
    if [ ! -e "$path" ] && [ ! -L "$path" ]; then
      echo "path=$i|missing"
      continue
    fi
    sum=
    if [ -f "$path" ] && [ ! -L "$path" ]; then
      if [ -n "${TAILS[i]}" ]; then sum=$(tail -c "${TAILS[i]}" -- "$path" | sha512sum); else sum=$(sha512sum <"$path"); fi
    fi
    echo "path=$i|$(stat -c '%F|%a|%U|%u|%G|%g|%d:%i' -- "$path")|${sum%% *}|$(readlink -n -- "$path" | encoded)"
  done
}

# ROOT's own /etc: on Flatcar an overlay over the image's files lies on top of it (newer: systemd-confext). Taken off in
# a mount name space of its own, as flatcar-reset does for its preview.
# shellcheck disable=SC2016 # for the inner shell
show_etc() {
  local files
  files=$(unshare --mount --propagation private bash -c '
    while mountpoint -q /etc; do umount --lazy /etc || exit; done
    find /etc -xdev -mindepth 1 ! -type d -printf "%y\t%l\t/etc/%P\0"' | encoded) || exit
  echo "etc=$files"
}

show_units() {
  local i files
  export SYSTEMD_BUS_TIMEOUT=100s # a busy machine takes long for the second list
  for i in "${!UNITS[@]}"; do
    echo "unit=$i|$(systemctl show --property=LoadState,UnitFileState,ActiveState,Type,Result,ConditionResult,NeedDaemonReload,Restart,ExecMainCode,ExecMainStatus -- "${UNITS[i]}" 2>/dev/null | tr '\n' '|')"
  done
  files=$(systemctl list-unit-files --no-legend --plain --no-pager) || exit
  awk 'NF > 1 { print "unit_file=" $1 "|" $2 "|" $3 }' <<<"$files"
  systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null | sed -n 's/^\([^ ]\{1,\}\).*/failed_unit=\1/p'
}

show_users() {
  local name password home file
  echo "passwd=$(encoded </etc/passwd)"
  echo "group=$(encoded </etc/group)"
  while IFS=: read -r name password _; do
    case $password in
    '' | '*'* | '!'*) echo "password=$name|${password:0:1}" ;;
    *) echo "password=$name|sum|$(printf %s "$password" | sha512sum | cut -d' ' -f1)" ;;
    esac
  done </etc/shadow
  # What may be a key alone: such a file may be a link to any other one, or be called anything.
  while IFS=: read -r name _ _ _ _ home _; do
    for file in "$home"/.ssh/authorized_keys "$home"/.ssh/authorized_keys.d/*; do
      [ ! -f "$file" ] || echo "keys=$name|$(printf %s "${file##*/}" | encoded)|$(head -c 1048576 "$file" | grep -aE "$KEY" | encoded)"
    done
  done </etc/passwd
}

main() {
  local file url
  echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
  echo "up_seconds=$(cut -d. -f1 /proc/uptime)"
  echo "stamp=$(head -c 200 /etc/flatcar/config-id 2>/dev/null)"
  echo "os_version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')"
  echo "ignition_result=$(base64 -w0 /etc/.ignition-result.json 2>/dev/null)"
  if [ -e /oem/config.ign ]; then
    echo "oem_config_sha512=$(sha512sum </oem/config.ign | cut -d' ' -f1)"
    if cmp -s /oem/config.ign "$ROLLBACK/$(last_good 2)/config.ign"; then echo "oem_config=last-good"; else echo "oem_config=other"; fi
  fi
  for file in /proc/cmdline /oem/grub.cfg; do
    url=$(grep -Eohs '(ignition|flatcar|coreos)\.config\.url=' "$file" | head -n 1) # and its older names
    [ -z "$url" ] || echo "config_url=$file|$url"
  done
  for file in "$FLAG" "$RESET"; do
    [ ! -e "$file" ] || echo "staged=$file"
  done
  [ ! -e "$UNWIPED" ] || [ -e "$FLAG" ] || echo "unwiped=yes"
  echo "rolled_back_from=$(cat "$ROLLBACK/went-back" 2>/dev/null)"
  sed 's/^/history=/' "$HISTORY" 2>/dev/null
  if [ -e /etc/flatcar/pull/object ]; then
    echo "pull_source_sha512=$(head -n 1 /etc/flatcar/pull/object | tr -d '\n' | sha512sum | cut -d' ' -f1)"
    echo "pull_report=$(head -n 1 /run/flatcar-pull/status.json 2>/dev/null)"
  fi
  show_paths
  show_etc
  show_units
  show_users
  echo "complete=1"
}

main </dev/null
