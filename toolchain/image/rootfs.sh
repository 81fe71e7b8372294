#!/bin/bash
# rootfs.sh OUTPUT SUITE MIRROR PACKAGES KERNEL: make the tar OUTPUT of a Debian tree with PACKAGES (comma
# separated) and the kernel package KERNEL, unpacked without its maintainer scripts. Needs no root where user
# namespaces work (mmdebstrap's unshare mode). MIRROR may be empty: mmdebstrap's own for the suite.
set -euo pipefail
output=$1 suite=$2 mirror=$3 packages=$4 kernel=$5
# Runs outside of the tree with its apt configuration. The named package only depends on the versioned one.
# shellcheck disable=SC2016 # for the hook's shell
fetch_kernel='set -eu; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
package=$(apt-cache depends --no-recommends --no-suggests "$KERNEL" | sed -n "s/^ *Depends: \(linux-image-.*\)/\1/p" | head -n 1)
mkdir "$1/kernel"; cd "$1/kernel"; apt-get download "$package"
dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$1" --keep-directory-symlink; rm -r "$1/kernel"'
export KERNEL=$kernel
mmdebstrap --variant=minbase --format=tar --architectures=amd64 --include="$packages" \
  --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/i18n/*' \
  --customize-hook="$fetch_kernel" "$suite" "$output" ${mirror:+"$mirror"}
