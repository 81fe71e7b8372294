"""Run a program of this folder from anywhere: `python3 -I …/components/commands/__main__.py PROGRAM [WORD …]`.

With `-I` nothing of the environment and of the working directory is on Python's path, a folder called `components` of
the user's least of all; this puts the one on it that this file is in. It runs for each Command, and imports little.
"""

import importlib
import os.path
import sys
from io import TextIOWrapper

PROGRAMS = {
    "live_plans": "live_plans",
    "qemu": "qemu.__main__",
    "qemu.supervisor": "qemu.supervisor",
    "reprovision": "reprovision.__main__",
    "sign": "sign",
    "write_object": "write_object",
}

if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
    sys.exit(f"usage: python -m components.commands {'|'.join(PROGRAMS)} …")
for stream in (sys.stdin, sys.stdout, sys.stderr):
    if isinstance(stream, TextIOWrapper):  # whatever the locale says: Pulumi gives UTF-8, and fails at anything else
        stream.reconfigure(encoding="utf-8", errors=stream.errors)
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
sys.exit(importlib.import_module(f"components.commands.{PROGRAMS[sys.argv.pop(1)]}").main())
