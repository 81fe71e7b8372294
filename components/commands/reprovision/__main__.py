"""`python3 -m components.commands.reprovision`: see `run`."""

import signal
import sys
from typing import NoReturn

from components.commands.reprovision.run import main


def interrupted(*_: object) -> NoReturn:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, interrupted)  # by hand, or by who stops this computer: a cancelled Command gets SIGKILL
try:
    sys.exit(main())
except KeyboardInterrupt:
    print("interrupted; the next 'pulumi up' goes on from where the machine is", file=sys.stderr)
    sys.exit(130)
