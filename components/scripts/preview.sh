#!/usr/bin/env bash
# What a re-run would delete and keep, in a few lines on stderr; changes nothing. Functions, put in front of stage.sh; with a
# call of `preview` behind them (components/audit/wipe.py) they are a script of their own. Runs as root.
# Needs LIFECYCLE, the array KEEP, staging.sh and keep.sh. May be given: the array DECLARED (what the wanted config declares, as
# `declared_by` has it), ALL=yes (each file that goes, not folded), PREVIEW_SECONDS.
# Sizes are what files take on the disk. What no config declares comes on stdout too, as lost=LINE for each line.
# Flatcar brings bash, coreutils, find, grep, sed and an awk.

# ROOT by itself, without what is mounted over it: /etc's image files, other file systems. As the initramfs finds it.
VIEW=/run/flatcar-preview

# What configs declare: "p PATH", "n NAME" (units, and their drop-ins). They are JSON that components/ignition_object.py
# wrote, so a pattern is enough; commands/reprovision/request.py has the same one.
declared_by() { grep -aohsE '"(path|name)": ?"[^"]+"' -- "$@" | sed -E 's/^"([pn])[a-z]*": ?"(.*)"$/\1 \2/'; }

# Each file and link on ROOT, but links into what the image brings: k (kept) or d (deleted), its blocks of 512 bytes, its path,
# where control characters are question marks. At the end find's exit code. /usr and the like are file systems of their own.
list_root() { # the expression
  local code=0
  mkdir -p "$VIEW"
  # shellcheck disable=SC2016 # for the inner shell
  { LC_ALL=C timeout --kill-after=5 "${PREVIEW_SECONDS-120}" unshare --mount --propagation private bash -c '
    mount --bind / "$1" || exit
    exec find "$1" -xdev -mindepth 1 -regextype egrep -regex "$1/(boot|dev|oem|proc|run|sys|tmp|usr)" -prune -o \
      \( -type f -o -type l ! -lname "*usr/*" ! -lname "*run/*" ! -lname "*proc/*" ! -lname "/dev/*" \) \
      \( -regex "$1$2" -printf "k %b /%P\0" -o -printf "d %b /%P\0" \)' - "$VIEW" "$1" 2>/dev/null || code=$?
    printf 'end %d /\0' "$code"; } | LC_ALL=C tr '\0\001-\037\177' '\n[?*]'
  rmdir "$VIEW" 2>/dev/null || true
}

# Adds up what list_root tells, for each file or folder that is worth a line: its class (1: deleted and of no config, 2: deleted
# besides, 3: kept), 1, bytes, files, path. For each class: itself, 0, bytes, files, number of lines. What the system, Ignition
# or the wanted config makes again is left out. Of the system's files in /etc, components/commands/reprovision/os_made.py has the same list.
# shellcheck disable=SC2016 # awk's own
ADD_UP='
function declares(who, path,   part, unit) {
  if ((who, "p", path) in declared) return 1
  if (index(path, "/etc/systemd/system/") != 1) return 0
  if (split(path, part, "/") == 5) return (who, "n", part[5]) in declared
  unit = part[5]
  return sub(/[.]d$/, "", unit) && (who, "n", unit) in declared && (who, "n", part[6]) in declared
}
function class_of(path) {
  if (declares("wanted", path) || path ~ SYSTEM) return 0
  return declares("running", path) || path ~ BESIDES ? 2 : 1
}
function folded(path,   part, n, depth, i, key) {
  n = split(path, part, "/") - 1
  depth = path ~ "^/etc/systemd/" ? 4 : path ~ "^/(var/lib|var/opt|home)/" ? 3 : path ~ "^/(etc|home|media|mnt|opt|root|srv|var)/" ? 2 : 1
  if (n <= depth) return path
  for (i = 2; i <= depth + 1; i++) key = key "/" part[i]
  return key "/"
}
BEGIN {
  SYSTEM = "^/(([.]etc-work|[.]systemd-etc-workdir|lost[+]found)/|[.]flatcar-unwiped$|selective-os-reset$" \
    "|(bin|lib|lib32|lib64|libx32|sbin)$" \
    "|etc/(machine-id|hostname|adjtime|mtab|localtime|resolv[.]conf|os-release|ld[.]so[.](cache|conf))$" \
    "|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$" \
    "|etc/([.]updated|[.]pwd[.]lock|[.]ignition-result[.]json|[.]no-dup-update|[.]clean)$" \
    "|etc/(ssh/ssh_host_|ssl/certs/|systemd/.*[.](wants|requires|upholds)/)" \
    "|etc/(iscsi/initiatorname[.]iscsi|nvme/host(nqn|id)|docker/key[.]json|udev/hwdb[.]bin|audit/audit[.]rules)$" \
    "|etc/(systemd/system-preset/20-ignition[.]preset|amazon/ssm/.*|eks/bootstrap[.]sh|extensions/(oem|flatcar)-[^/]*[.]raw)$" \
    "|(root|home/[^/]+)/[.](bash_logout|bash_profile|bashrc|profile|ssh/authorized_keys)$" \
    "|(root|home/[^/]+)/[.]ssh/authorized_keys[.]d/(ignition|afterburn|coreos-metadata|coreos-cloudinit)$" \
    "|var/([.]updated$|run$|lock$|mail$|spool/mail$|cache/ldconfig/|db/sudo/|lib/misc/" \
    "|lib/extensions[.]mutable/etc$|lib/(dbus|nfs|polkit-1|portage|selinux|sss|systemd|update_engine)/))"
  BESIDES = "^/(var/(cache|log|spool|tmp)/|(root|home/[^/]+)/[.](bash_history$|cache/))"
}
$1 == "wanted" || $1 == "running" { declared[$1, $2, substr($0, length($1) + 4)]; next }
$1 == "end" { code = $2; next }
{
  seen = 1
  path = substr($0, length($1) + length($2) + 3)
  class = $1 == "k" ? 3 : class_of(path)
  if (!class) next
  files[class]++
  bytes[class] += $2 * 512
  if (ALL == "yes" && class < 3) {
    count[class]++
    printf "%d 1 %.0f 1 %s\n", class, $2 * 512, path
    next
  }
  key = class " " folded(path)
  if (!(key in file_count) && lines > 10000) sub(/[^\/]+\/?$/, "", key)
  if (!(key in file_count)) {
    lines++
    count[class]++
    sole[key] = path
  }
  file_count[key]++
  sum[key] += $2 * 512
}
END {
  if (code == 124 || code == 137) print "0 0 0 0 late"
  else if (code && !seen) {
    print "0 0 0 0 failed"
    exit
  }
  for (key in file_count)
    printf "%d 1 %.0f %d %s\n", key, sum[key], file_count[key], file_count[key] == 1 ? sole[key] : substr(key, 3)
  for (class = 1; class <= 3; class++) printf "%d 0 %.0f %d %d\n", class, bytes[class], files[class], count[class]
}'

# Makes lines of it, the largest first; "lost|" in front of what no config declares, "|" in front of the rest.
# shellcheck disable=SC2016 # awk's own
SHOW='
function size(bytes,   unit, i) {
  if (bytes < 1024) return bytes " B"
  split("KiB MiB GiB TiB PiB", unit, " ")
  for (i = 0; bytes >= 1023.95 && i < 5; i++) bytes /= 1024
  return sprintf("%.1f ", bytes) unit[i]
}
function number(text) {
  while (text ~ /[0-9][0-9][0-9][0-9]/) sub(/[0-9][0-9][0-9]([^0-9]|$)/, ",&", text)
  return text
}
function files(count) { return number(count) (count == 1 ? " file" : " files") }
function end_class() { if (left > 0) print mark "    and " number(left) " more" }
BEGIN {
  title[1] = "will be deleted"
  title[2] = "will be deleted besides"
  title[3] = "will be kept"
  most[1] = ALL == "yes" ? -1 : 10
  most[2] = ALL == "yes" ? -1 : 5
  most[3] = 5
}
$1 == 0 && $5 == "late" { print "|(not complete: listing the files took more than " SECONDS " s)"; next }
$1 == 0 { print "|(not complete: the files could not be listed)"; next }
$2 == 0 {
  end_class()
  left = $5
  shown = 0
  mark = $1 == 1 && $4 > 0 ? "lost|" : "|"
  if ($1 == 1) what = $4 ? files($4) " that no config declares, " size($3) : "nothing that no config declares"
  else what = files($4) ", " size($3)
  if ($1 != 2 || $4) print mark title[$1] ": " what
  next
}
shown != most[$1] {
  shown++
  left--
  path = substr($0, length($1) + length($2) + length($3) + length($4) + 5)
  if (ALL != "yes" && length(path) > 200) path = substr(path, 1, 200) "…"
  print mark "    " path "  " size($3) ($4 > 1 ? ", " files($4) : "")
}
END { end_class() }'

show_wipe() {
  local line settings=(-v "ALL=${ALL-}" -v "SECONDS=${PREVIEW_SECONDS-120}")
  {
    if [ "${BY-}" = pull ]; then declared_by /oem/.flatcar-pull/object; fi | sed 's/^/wanted /'
    [ -z "${DECLARED[*]-}" ] || printf 'wanted %s\n' "${DECLARED[@]}"
    declared_by "$ROLLBACK/$(last_good 2)/config.ign" "$OWN_CONFIG" | sed 's/^/running /'
    list_root "$(all_kept)"
  } | LC_ALL=C awk "${settings[@]}" "$ADD_UP" | LC_ALL=C sort -k 1,1n -k 2,2n -k 3,3nr -k 5 |
    LC_ALL=C awk "${settings[@]}" "$SHOW" | while IFS= read -r line; do
    say "${line#*|}"
    [ "${line%%|*}" = '' ] || echo "lost=${line#*|}"
  done
}

preview() { # it only informs
  case $LIFECYCLE in
  reset) show_wipe || true ;;
  reformat)
    say "will be deleted: everything on ROOT; kept: SSH host keys, machine id, other filesystems"
    # shellcheck disable=SC2034 # for keep.sh
    local KEEP=('/etc/ssh/ssh_host_.*')
    show_wipe || true
    ;;
  flag) say "warning: lifecycle 'flag' deletes nothing: old files stay, and new units stay disabled" ;;
  esac
}
