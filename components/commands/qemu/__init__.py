"""Machines in QEMU on this computer."""
