"""The stand-in command plugin as a program: `python -m toolchain.plugins.command ENGINE_ADDRESS`."""

from __future__ import annotations

import sys

from toolchain.plugins.base import Provider, serve
from toolchain.plugins.command.local import Command

VERSION = "1.2.1"

if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else None
    serve(Provider("command", VERSION, {"command:local:Command": Command()}, address))
