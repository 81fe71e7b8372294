"""`python3 -m components.commands.reprovision`: see `run`."""

import signal
import sys
from typing import NoReturn

from components.commands.reprovision import run


def interrupted(*_: object) -> NoReturn:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """`run.main`, and a word where it is interrupted."""
    signal.signal(signal.SIGTERM, interrupted)  # by hand, or by who stops this computer: a cancelled one gets SIGKILL
    try:
        return run.main()
    except KeyboardInterrupt:
        print("interrupted; the next 'pulumi up' goes on from where the machine is", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
