"""How an initramfs says that it has given up. Standard library only."""

import re

EMERGENCY = re.compile(r"Press Enter for emergency shell|Entering emergency mode")
"""Flatcar's words (flatcar/bootengine, dracut/99emergency-timeout/timeout.sh), and the stand-in's on loopback."""
