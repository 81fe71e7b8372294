#!/usr/bin/env bash
# What Ignition ran when it last did, by its own messages. Functions, put in front of state.sh and read by pull.sh,
# after staging.sh. Runs as root.

provisioning_boot() { # as the journal writes boot ids: without dashes
  sed -n 's/.*"provisioningBootID": *"\([0-9a-f-]*\)".*/\1/p' /etc/.ignition-result.json 2>/dev/null | tr -d -
}

# Prints fetched=SHA512 of what it fetched last from SOURCE, and parsed=SHA512 of each config that came with the machine, such
# as the pointer or /oem/config.ign (its words: coreos/ignition, internal/exec/config_fetcher.go, internal/providers/util).
# Nothing where its messages are gone: a machine that restarts soon may lose them, one without a persistent journal always does.
ran() { # SOURCE ('' where the config itself is on the OEM partition)
  local boot messages
  boot=$(provisioning_boot)
  [ -n "$boot" ] || return 0
  # root's own: anybody may write to the journal under any name
  messages=$(journalctl --quiet --no-pager --output=cat "_BOOT_ID=$boot" SYSLOG_IDENTIFIER=ignition _UID=0 2>/dev/null |
    grep ' with SHA512: [0-9a-f]\{128\}$')
  [ -z "$1" ] || grep -F "fetched referenced config at $1 with SHA512: " <<<"$messages" | tail -n 1 | sed 's/.* /fetched=/'
  sed -n 's/.*parsing config with SHA512: /parsed=/p' <<<"$messages" | sort -u
}

staged_object() { # the SHA-512 of the object that was staged, and not confirmed yet, if that has this config id
  sed -n "s/^$1 \([0-9a-f]\{128\}\)$/\1/p" "$ROLLBACK/staged.object" 2>/dev/null
}
