"""`python -m components.commands.qemu VERB`: see `machine`."""

import sys

from components.commands.qemu.machine import main

sys.exit(main(sys.argv[1:]))
