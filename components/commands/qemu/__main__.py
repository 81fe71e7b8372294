"""`python -m components.commands.qemu VERB`: see `machine`."""

import sys

from components.commands.qemu import machine


def main() -> int:
    """Run the command line."""
    return machine.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
