#!/bin/bash
# assemble.sh WORK ROOTFS IGNITION VERSION: make the stand-in's disk WORK/disk.qcow2 from the Debian tree
# ROOTFS (tar, with the kernel unpacked into it) and the ignition binary. Run as root or under fakeroot;
# mounts nothing. Prints a line per step.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1 rootfs=$2 ignition=$3 version=$4
tree=$work/tree initramfs=$work/initramfs
# Sizes in MiB. ROOT's is the stand-in's free choice; the disk image is sparse.
esp_size=96 bios_size=2 oem_size=32 root_size=3072

step() { printf 'step: %s\n' "$*"; }

unpack() {
  mkdir -p "$tree"
  tar -xf "$rootfs" -C "$tree" --exclude='./dev/*'
  kernel=$(basename "$tree"/boot/vmlinuz-*)
  kernel=${kernel#vmlinuz-}
  mv "$tree/boot/vmlinuz-$kernel" "$work/vmlinuz"
  # Only modules that a virtual machine can need
  local from=$tree/usr/lib/modules/$kernel/kernel to=$work/modules path
  mkdir "$to"
  for path in lib crypto arch/x86/crypto fs net/{core,ipv4,ipv6,netfilter,bridge,802,llc,sched} \
    drivers/{block,virtio,firmware,md,net/virtio_net.ko,net/net_failover.ko,char/hw_random,acpi/button.ko,input/evdev.ko}; do
    if [[ -e $from/$path ]]; then
      mkdir -p "$to/$(dirname "$path")"
      cp -a "$from/$path" "$to/$(dirname "$path")/"
    fi
  done
  rm -rf "$to"/fs/{ceph,cifs,smb,nfs,nfsd,ocfs2,gfs2,f2fs,jfs,reiserfs,ubifs,afs,ntfs3,ksmbd,nilfs2,coda,orangefs,dlm}
  rm -rf "$from"
  mv "$to" "$from"
  depmod -b "$tree/usr" -m /lib/modules "$kernel" 2> /dev/null || depmod -b "$tree" "$kernel"
  install -m 755 "$ignition" "$tree/usr/bin/ignition"
}

# What Debian brings and a machine that starts like Flatcar doesn't have, or pays for at each start
trim() {
  (
    cd "$tree"
    rm -rf usr/share/{doc,man,locale,i18n,info,lintian,bash-completion,perl,perl5,common-licenses} \
      usr/lib/{apt,locale} usr/lib/x86_64-linux-gnu/{gconv,perl*,perl-base} \
      var/lib/{dpkg,apt} var/cache/{apt,debconf} boot/*
    find usr/share/zoneinfo -mindepth 1 -maxdepth 1 ! -name UTC -exec rm -rf {} + 2> /dev/null || true
    rm -rf etc/systemd/system/*.wants etc/systemd/system/*.service etc/rc*.d etc/init.d etc/cron* etc/apt etc/dpkg
    rm -f etc/ssh/ssh_host_* etc/ssh/moduli etc/machine-id etc/hostname etc/resolv.conf etc/fstab etc/mtab \
      etc/.pwd.lock etc/*- var/lib/dbus/machine-id
    cd usr/lib/systemd
    rm -f system-generators/*{cryptsetup,gpt-auto,hibernate-resume,integritysetup,sysv,system-update,veritysetup,rc-local,bless-boot}* \
      system-preset/90-systemd.preset
    local unit
    for unit in apt-daily 'dpkg-db-backup' e2scrub fstrim systemd-firstboot systemd-update-utmp systemd-pcr \
      systemd-hwdb-update systemd-update-done systemd-sysusers systemd-pstore systemd-boot-system-token \
      systemd-network-generator systemd-binfmt systemd-journal-catalog-update ldconfig \
      proc-sys-fs-binfmt_misc sys-kernel-debug sys-kernel-tracing sys-kernel-config sys-fs-fuse-connections \
      dev-hugepages dev-mqueue kmod-static-nodes systemd-modules-load systemd-ask-password \
      modprobe@ systemd-repart systemd-growfs; do
      rm -f system/"$unit"* system/*.wants/"$unit"*
    done
    # One alias of a unit that is gone makes systemd apply no presets at all
    find system -xtype l ! -lname /dev/null -delete
  )
}

# The machine's own files, its user, its ROOT layout
configure() {
  cp -r --preserve=mode "$here/machine/." "$tree/"
  chmod 440 "$tree/etc/sudoers.d/core"
  cat > "$tree/usr/lib/os-release" <<END
NAME="Flatcar stand-in (Debian packages, not Flatcar)"
ID=flatcar-stand-in
ID_LIKE=flatcar
VERSION=$version
VERSION_ID=$version
PRETTY_NAME="Flatcar stand-in $version"
END
  rm -f "$tree/etc/os-release" "$tree/etc/issue" "$tree/etc/issue.net" "$tree/etc/motd"
  ln -s ../usr/lib/os-release "$tree/etc/os-release"
  ln -s ../run/issue "$tree/etc/issue"
  echo 'core:x:500:500:CoreOS Admin:/home/core:/bin/bash' >> "$tree/etc/passwd"
  echo 'core:*:19000:0:99999:7:::' >> "$tree/etc/shadow"
  echo 'core:x:500:' >> "$tree/etc/group"
  echo 'core:!*::' >> "$tree/etc/gshadow"
  printf 'docker:x:233:core\n' >> "$tree/etc/group"
  printf 'docker:!*::core\n' >> "$tree/etc/gshadow"

  local units=$tree/usr/lib/systemd/system
  mkdir -p "$units"/{multi-user,network-online,sockets,getty}.target.wants
  rm -f "$units/ssh.service" "$units/ssh.socket" "$units/default.target"
  ln -s ../sshd-keygen.service ../issuegen.service ../audit-rules.service ../systemd-networkd.service \
    ../update-ssh-keys-after-ignition.service "$units/multi-user.target.wants/"
  ln -s ../sshd.socket "$units/sockets.target.wants/"
  ln -s ../systemd-networkd-wait-online.service "$units/network-online.target.wants/"
  ln -s multi-user.target "$units/default.target"

  # ROOT starts empty: what Debian's packages put outside of /usr becomes tmpfiles rules
  local rules=$tree/usr/lib/tmpfiles.d link
  for link in bin sbin lib lib32 lib64 libx32; do
    if [[ -L $tree/$link ]]; then echo "L /$link - - - - usr/$link"; fi
  done > "$rules/baselayout-usr.conf"
  (
    cd "$tree"
    find var -mindepth 1 -type d -printf 'd /%p %#m %U %G -\n'
    find var -type l -printf 'L /%p - - - - %l\n'
  ) > "$rules/base_image_var.conf"
  mkdir -p "$tree/usr/share/flatcar"
  cp -a "$tree/etc" "$tree/usr/share/flatcar/etc"
  chmod 755 "$tree/usr/share/flatcar/etc"
}

make_initramfs() {
  mkdir -p "$initramfs"/{bb,modules,etc,usr,dev,proc,sys,run,sysroot,mnt,tmp,var,root}
  local link module
  for link in bin sbin lib lib64; do ln -s "usr/$link" "$initramfs/$link"; done
  cp -a "$here/initramfs/." "$initramfs/"
  cp "$tree/bin/busybox" "$initramfs/bb/"
  cp "$tree/etc/"{passwd,group,nsswitch.conf} "$initramfs/etc/"
  : > "$initramfs/etc/initrd-release"
  ln -s /proc/mounts "$initramfs/etc/mtab"
  ln -s initrd.target "$initramfs/etc/systemd/system/default.target"
  mkdir "$initramfs/etc/systemd/system-generators"
  for link in "$tree"/usr/lib/systemd/system-generators/*; do
    ln -s /dev/null "$initramfs/etc/systemd/system-generators/$(basename "$link")"
  done
  for module in virtio_pci virtio_blk virtio_net virtio-rng squashfs overlay vfat nls_ascii nls_cp437 qemu_fw_cfg \
    button evdev; do
    modprobe -d "$tree" -S "$kernel" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$work/modules"
  while read -r module; do
    cp "$module" "$initramfs/modules/"
    basename "$module"
  done < "$work/modules" > "$initramfs/modules/order"
  (cd "$initramfs" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0) > "$work/initrd"
}

make_disk() {
  mksquashfs "$tree/usr" "$work/usr.squashfs" -comp lz4 -noappend -quiet -no-progress -all-time 0 -mkfs-time 0
  local usr_size
  usr_size=$((($(stat -c %s "$work/usr.squashfs") + 1048575) / 1048576))

  truncate -s "${esp_size}M" "$work/esp"
  mkfs.vfat -F 32 -n EFI-SYSTEM "$work/esp" > /dev/null
  : > "$work/first_boot"
  mmd -i "$work/esp" ::/flatcar ::/flatcar/grub
  mcopy -i "$work/esp" "$work/vmlinuz" ::/flatcar/vmlinuz-a
  mcopy -i "$work/esp" "$work/initrd" ::/flatcar/initrd-a
  mcopy -i "$work/esp" "$work/first_boot" ::/flatcar/first_boot
  mcopy -i "$work/esp" "$here/boot/grub.cfg" ::/flatcar/grub/grub.cfg

  mkdir "$work/oem"
  printf 'ID=qemu\nVERSION_ID=%s\nNAME="Flatcar stand-in"\n' "$version" > "$work/oem/oem-release"
  : > "$work/oem/grub.cfg"
  # Flatcar's OEM files are such an extension. Nothing looks into it here.
  mkdir "$work/oem/sysext"
  : > "$work/oem/sysext/active-oem-qemu"
  : > "$work/oem/sysext/oem-qemu-$version.raw"
  mke2fs -q -t ext4 -L OEM -d "$work/oem" "$work/oem.ext4" "${oem_size}M"
  mke2fs -q -t ext4 -L ROOT -E lazy_itable_init=1,lazy_journal_init=1 "$work/root.ext4" "${root_size}M"
  grub-mkimage -O i386-pc -d /usr/lib/grub/i386-pc -p '(hd0,gpt1)/flatcar/grub' -c "$here/boot/grub-early.cfg" \
    -o "$work/core.img" biosdisk part_gpt fat ext2 normal linux test echo search search_label serial terminal configfile

  local disk=$work/disk.raw
  truncate -s "$((1 + esp_size + bios_size + usr_size + oem_size + root_size + 2))M" "$disk"
  sfdisk -q "$disk" <<END
label: gpt
start=1MiB, size=${esp_size}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=EFI-SYSTEM
size=${bios_size}MiB, type=21686148-6449-6E6F-744E-656564454649, name=BIOS-BOOT
size=${usr_size}MiB, type=5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6, name=USR-A
size=${oem_size}MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=OEM
size=${root_size}MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=ROOT
END
  local at=1
  put() { # FILE SIZE: lay a partition's content at the next place
    dd if="$1" of="$disk" bs=1M seek="$at" conv=notrunc,sparse status=none
    at=$((at + $2))
  }
  put "$work/esp" "$esp_size"
  local core_sector=$((at * 2048))
  put "$work/core.img" "$bios_size"
  put "$work/usr.squashfs" "$usr_size"
  put "$work/oem.ext4" "$oem_size"
  put "$work/root.ext4" "$root_size"
  install_grub "$disk" "$core_sector"
  qemu-img convert -f raw -O qcow2 "$disk" "$work/disk.qcow2"
}

# What grub-install would do, without a loop device: the boot sector points at core.img's first sector (byte
# 0x5c), which points at its second (byte 0x1f4). Code of the sector: bytes 0-439; 0x66: no jump for floppies.
install_grub() { # DISK SECTOR
  local disk=$1 sector=$2
  dd if=/usr/lib/grub/i386-pc/boot.img of="$disk" bs=1 count=440 conv=notrunc status=none
  little_endian_64 "$sector" | dd of="$disk" bs=1 seek=$((0x5c)) conv=notrunc status=none
  printf '\x90\x90' | dd of="$disk" bs=1 seek=$((0x66)) conv=notrunc status=none
  little_endian_64 "$((sector + 1))" | dd of="$disk" bs=1 seek=$((sector * 512 + 0x1f4)) conv=notrunc status=none
}

little_endian_64() {
  local i
  for ((i = 0; i < 8; i++)); do
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((($1 >> (8 * i)) & 255)))"
  done
}

step "unpacking the Debian tree"
unpack
step "making it a machine that starts like Flatcar"
trim
configure
step "initramfs"
make_initramfs
step "disk"
make_disk
