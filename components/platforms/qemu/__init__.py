"""Virtual machines in QEMU on this computer."""
