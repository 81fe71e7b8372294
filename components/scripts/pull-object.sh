#!/usr/bin/env bash
# The object of a machine that pulls: fetching and examining it. Functions, read by pull.sh, which sets SOURCE, STATE, RUN, HERE.
# shellcheck disable=SC2034,SC2154 # shared with pull.sh

IMDS=http://169.254.169.254/latest
LONGEST=67108864
SPARE=65536 # bytes of /oem that no object may take
EMPTY_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# One line for `curl --config -`: addresses and credentials never are arguments, which every process can read.
option() {
  local value=${2//[[:cntrl:]]/} # what is on a line of its own would be an option of its own
  value=${value//\\/\\\\}
  printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

line() { sed -n "$2p" "$STATE/$1" 2>/dev/null; } # FILE, NUMBER

# Makes stdin the content of $STATE/FILE: a power cut leaves the old content or the new one, whole.
put() { cat >"$STATE/$1.new" && sync "$STATE/$1.new" && mv -f "$STATE/$1.new" "$STATE/$1"; }

seconds() { [ -z "$1" ] || date --date="$1" +%s 2>/dev/null; }

# ---- fetching

imds() { # curl's further arguments; the options on stdin. Never by way of a proxy: it would see the role's credentials
  curl --fail --silent --noproxy '*' --max-time 10 --config - "$@" | head -c 65536
}

# The role's credentials, and the address of s3://BUCKET/KEY, as curl's options.
s3_options() { # s3://BUCKET/KEY, the SHA-256 of what is sent
  local token region role credentials place=${1#s3://} domain=amazonaws.com
  token=$(option url "$IMDS/api/token" | imds --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 300') || return 1
  metadata() { { option url "$IMDS/meta-data/$1" && option header "X-aws-ec2-metadata-token: $token"; } | imds; }
  region=$(metadata placement/region) && role=$(metadata iam/security-credentials/) &&
    credentials=$(metadata "iam/security-credentials/${role%%$'\n'*}") || return 1
  field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$credentials" | head -n 1; }
  case $region in cn-*) domain=amazonaws.com.cn ;; esac
  option url "https://${place%%/*}.s3.dualstack.$region.$domain/${place#*/}"
  option aws-sigv4 "aws:amz:$region:s3"
  option user "$(field AccessKeyId):$(field SecretAccessKey)"
  option header "x-amz-security-token: $(field Token)"
  option header "x-amz-content-sha256: ${2:-$EMPTY_SHA256}"
}

fetch_options() {
  case $SOURCE in
  s3://*) s3_options "$SOURCE" || return 1 ;;
  https://*) option url "$SOURCE" && echo location && option proto-redir '=https' ;;
  *) option url "$SOURCE" && echo location && option proto-redir '=http,https' ;;
  esac
  [ ! -s "$STATE/object" ] || [ -z "$(line etag 1)" ] || option header "If-None-Match: $(line etag 1)"
}

# A header of the answer that counts: the last one, behind those of redirects and proxies.
header() { # its name in small letters
  local text found=''
  [ -e "$RUN/headers" ] || return 0
  while IFS= read -r text; do
    case ${text,,} in
    http/*) found='' ;;
    "$1":*) found=${text#*:} ;;
    esac
  done < <(tail -c 65536 "$RUN/headers")
  read -r found <<<"${found%$'\r'}" # without the blanks around it
  echo "${found:0:1024}"
}

# The store's time in the last answer, this machine's where it does not tell it; Unix time.
now() { seconds "$(header date)" | grep . || date +%s; }

# A Unix time, unless it is still to come: such a date says nothing about what was written before what.
past() { [ -z "$1" ] || [ "$1" -gt "$(now)" ] || echo "$1"; }

# Makes $STATE/object what the store has now. Asks by ETag, so that an object that did not change is not sent again.
# 1: it can't be had, and WHY says why.
fetch() {
  local options status code=0 free most
  WHY=''
  options=$(fetch_options) || { WHY="the role's credentials can't be had from the metadata service" && return 1; }
  free=$(df --output=avail --block-size=1 /oem | tail -n 1 | tr -d ' ')
  most=$((free - SPARE < LONGEST ? free - SPARE : LONGEST))
  [ "$most" -gt 0 ] || { WHY="/oem has $free bytes free: too few for the object" && return 1; }
  rm -f "$RUN/headers"
  : >"$STATE/object.new" # curl may write no file for an empty answer
  # curl knows the length beforehand only if the server tells it: the shell's limit, in KiB, ends it otherwise
  status=$(ulimit -f $((most / 1024 + 1)) && curl --silent --show-error --globoff --connect-timeout 10 --max-time 300 \
    --max-filesize "$most" --dump-header "$RUN/headers" --output "$STATE/object.new" --write-out '%{http_code}' \
    --config - <<<"$options" 2>"$RUN/curl") || code=$?
  case $code-$status in
  0-304) ;;
  0-200 | 0-000) # tftp has no status
    rm -f "$STATE/etag"
    sync "$STATE/object.new" && mv -f "$STATE/object.new" "$STATE/object" &&
      printf '%s\n' "$(header etag)" "$(past "$(seconds "$(header last-modified)")")" | put etag || WHY="/oem can't be written"
    ;;
  0-*)
    # S3 says in the body what is wrong, such as RequestTimeTooSkewed
    WHY=$(head -c 4096 "$STATE/object.new" | tr -d '\0' | sed -n 's/.*<Code>\([A-Za-z]*\)<.*/ (\1)/p' | head -n 1)
    WHY="the store answers with status $status$WHY"
    ;;
  23-*) WHY="/oem can't be written" ;;
  63-* | 153-*) WHY="the object is longer than $most bytes: more than fits on /oem, or than an agent takes" ;;
  *) WHY="$(head -n 1 "$RUN/curl" | tr -d '\r')" ;;
  esac
  rm -f "$STATE/object.new"
  [ -z "$WHY" ]
}

# How far this machine's clock is ahead of the store's, in seconds; "" where the store does not tell its time. What a cache
# on the way has kept is as old as it says.
clock_ahead() {
  local told age
  told=$(seconds "$(header date)") age=$(header age)
  case $age in '' | *[!0-9]*) age=0 ;; esac
  [ -z "$told" ] || echo $(($(date +%s) - told - 10#$age))
}

# ---- examining. The object is compact JSON that components/ignition_object.py wrote, checked by a sum over all of it:
# so a few patterns are enough to read it.

source_of() { grep -ao "\"path\":\"$1\",[^}]*\"source\":\"[^\"]*\"" "$STATE/object" | head -n 1 | sed 's/.*"source":"//; s/"$//'; }

# What the object has in a file of the agent's own.
agent_file() { # settings, object or live
  local text
  text=$(source_of "$HERE/$1")
  case $1 in
  settings) sed -n 's/^data:;base64,//p' <<<"$text" | base64 -d ;;
  object) printf '%b' "$(sed 's/^data:,//; s/%/\\x/g' <<<"$text")" ;; # percent-encoded
  live) sed -n 's/^data:;base64,//p' <<<"$text" | base64 -d | gzip -d ;;
  esac
}

# Whether $STATE/object is whole and made for an agent; OBJECT_ID becomes its config id. 1: it is not, and WHY says why.
examine() {
  local sums sum
  OBJECT_ID='' WHY=''
  sums=$(grep -ao 'flatcar-object-sha256-[0-9a-f]\{64\}' "$STATE/object")
  sum=${sums#flatcar-object-sha256-}
  case $sums in
  '') WHY="the object is not a config for a machine that pulls" ;;
  *$'\n'*) WHY="the object has two checksums" ;;
  *)
    if [ "$(sed "s/$sums/flatcar-object-sha256-$(printf %064d 0)/" "$STATE/object" | sha256sum | cut -d' ' -f1)" != "$sum" ]; then
      WHY="the object is damaged: its checksum does not fit"
    fi
    ;;
  esac
  [ -z "$WHY" ] || return 1
  grep -aq '"version":"3\.[0-9]*\.[0-9]*"' "$STATE/object" || WHY="the object is no Ignition config of spec 3"
  OBJECT_ID=$(source_of /etc/flatcar/config-id | sed -n 's/^data:,\([0-9a-f]\{128\}\)%0A$/\1/p')
  [ -n "$OBJECT_ID" ] || WHY="the object has no config id"
  # in front of the checksum
  [ "$(agent_file object | sed -n 1p)" = "$SOURCE" ] ||
    WHY="the object was made for another address: it is another machine's"
  agent_file settings >"$RUN/settings" 2>/dev/null && [ -s "$RUN/settings" ] ||
    WHY="the object does not say how to take it"
  [ -z "$WHY" ] && is_signed
}

SIGNATURE='flatcar-object-signature-[0-9]\{1,15\}-[A-Za-z0-9+/=]*'

# Whether $STATE/object was signed for this machine by a signer whom the running config names, and no earlier than what this
# machine has seen so far; true where the running config names none. The document is that of components/commands/sign.py.
# 1: it was not, and WHY says why.
is_signed() {
  local signature counter seen own sum
  [ -s "$HERE/signers" ] || return 0
  signature=$(grep -ao "$SIGNATURE" "$STATE/object")
  case $signature in
  '' | flatcar-object-signature-0-) WHY="the object is not signed, and this machine takes signed ones alone" ;;
  *$'\n'*) WHY="the object has two signatures" ;;
  esac
  [ -z "$WHY" ] || return 1
  counter=${signature#flatcar-object-signature-} counter=${counter%%-*}
  sum=$(sed "s|$SIGNATURE|flatcar-object-signature-0-|; s/flatcar-object-sha256-[0-9a-f]\{64\}/flatcar-object-sha256-$(printf %064d 0)/" \
    "$STATE/object" | sha512sum | cut -d' ' -f1)
  { echo '-----BEGIN SSH SIGNATURE-----' && fold -w 70 <<<"${signature##*-}" && echo '-----END SSH SIGNATURE-----'; } >"$RUN/signature"
  if ! printf '%s\n' flatcar-object-v1 "$MACHINE" "$SOURCE" "$OBJECT_ID" "$sum" "$counter" |
    ssh-keygen -Y verify -f "$HERE/signers" -I operator -n flatcar-config -s "$RUN/signature" >/dev/null 2>"$RUN/keygen"; then
    WHY="the object's signature does not fit: it was changed, or is another machine's, or none of this machine's signers made it"
    return 1
  fi
  own=$(sed -n 's/^flatcar-object-signature-\([0-9]*\)-.*/\1/p' "$HERE/object") seen=$(cat "$STATE/counter" 2>/dev/null)
  [ "${seen:-0}" -gt "${own:-0}" ] || seen=${own:-0}
  if [ "$counter" -lt "$seen" ]; then
    WHY="the object was signed before another one that this machine has seen: it is an older one"
  elif [ "$counter" != "$seen" ]; then
    echo "$counter" | put counter || WHY="/oem can't be written"
  fi
  [ -z "$WHY" ]
}
