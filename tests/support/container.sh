#!/usr/bin/env bash
# container.sh USR MACHINE GROUP: boots a machine in name spaces, as the stand-in's initramfs does, and becomes its systemd.
# USR is the image's /usr; MACHINE a folder with the machine's file systems root, oem and boot; config.ign: what Ignition gets
# when boot/flatcar/first_boot is there; run, if it is there: what is in /run before systemd starts. GROUP names its cgroup. Runs as root, as the first process of new name spaces
# (see containers.py). The image's own scripts and its own Ignition do the work; disks there are none.
set -euo pipefail

# A cgroup of the machine's own, wherever this computer has its tree mounted.
enter_group() {
  mkdir -p "$machine/new"
  mount -t cgroup2 cgroup2 "$machine/new"
  mkdir "$machine/new/$group"
  echo 0 >"$machine/new/$group/cgroup.procs"
  umount "$machine/new"
  exec unshare --cgroup "$0" "$usr" "$machine" "$group" entered
}

read_only() { # PATH
  mount --bind "$1" "$1"
  mount -o remount,bind,ro "$1"
}

mount_devices() {
  local name
  mount -t tmpfs -o mode=755 tmpfs dev
  for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
}

# What the kernel and /init of the initramfs would have made, with nothing of this computer's that can be written.
mount_initramfs() {
  local name
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$machine/new"
  cd "$machine/new"
  mkdir usr etc dev proc sys run tmp sysroot
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
  mkdir "$machine/new/empty"
  mount -t overlay usr -o "ro,lowerdir=$usr:$machine/new/empty" usr
  cp usr/share/flatcar/etc/{passwd,group,nsswitch.conf} etc/
  touch etc/initrd-release
  mount -t proc proc proc
  read_only proc/sys
  [ ! -e proc/sysrq-trigger ] || read_only proc/sysrq-trigger
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount_devices
  mount -t tmpfs -o mode=755 tmpfs run
  mkdir run/machine
  mount --bind "$machine" run/machine
  # file systems of their own, as what looks through ROOT alone sees the difference
  for name in oem boot; do
    mkdir -p "run/$name" "$machine/.$name-work"
    mount -t overlay "$name" -o "lowerdir=$machine/new/empty,upperdir=$machine/$name,workdir=$machine/.$name-work" "run/$name"
  done
  mount --bind "$machine/root" sysroot
  mkdir -p sysroot/usr sysroot/oem sysroot/boot
  mount --bind usr sysroot/usr
}

# The image's units of the initramfs, in their order (toolchain/image/initramfs), but for those of disks.
initramfs() {
  local stage
  /usr/sbin/initrd-setup-root
  mount --move /run/oem /sysroot/oem
  mount --move /run/boot /sysroot/boot
  rmdir /run/oem /run/boot
  if [ -e /sysroot/boot/flatcar/first_boot ]; then
    install -D /run/machine/config.ign /run/ignition-system/user.ign
    export IGNITION_SYSTEM_CONFIG_DIR=/run/ignition-system
    for stage in fetch-offline kargs files; do
      /usr/bin/ignition --root=/sysroot --platform=qemu --stage="$stage" --log-to-stdout
    done
    rm /sysroot/boot/flatcar/first_boot
  fi
  /usr/sbin/initrd-setup-root-after-ignition
  [ ! -d /run/machine/run ] || cp -r /run/machine/run/. /run/
  umount /run/machine
  rmdir /run/machine
}

main() {
  usr=$1 machine=$2 group=$3
  [ "${4-}" = entered ] || enter_group
  mount_initramfs
  chroot . /usr/bin/bash -euc "$(declare -f initramfs); initramfs"
  local name append
  for name in proc sys dev run; do mount --move "$name" "sysroot/$name"; done
  mount -t tmpfs tmpfs sysroot/tmp
  cd sysroot
  mkdir run/old
  pivot_root . run/old
  append=$(sed -n 's/^set linux_append="[$]linux_append \(.*\)"$/\1/p' oem/grub.cfg)
  # shellcheck disable=SC2086 # words of a command line
  exec chroot . /usr/bin/bash -c 'umount -l /run/old && rmdir /run/old && exec env -i container=stand-in \
    PATH=/usr/bin:/usr/sbin /usr/bin/setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio \
    /usr/lib/systemd/systemd "$@" </dev/null >/run/console 2>&1' - $append
}

main "$@"
