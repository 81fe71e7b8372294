"""Run a program of this folder from anywhere: `python3 -I …/components/commands/__main__.py PROGRAM [WORD …]`.

With `-I` nothing of the environment and of the working directory is on Python's path, a folder called `components` of
the user's least of all; this puts the one on it that this file is in.
"""

import runpy
import sys
from io import TextIOWrapper
from pathlib import Path

PROGRAMS = ("qemu", "qemu.supervisor", "reprovision", "sign", "write_object")

if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
    sys.exit(f"usage: python -m components.commands {'|'.join(PROGRAMS)} …")
for stream in (sys.stdin, sys.stdout, sys.stderr):
    if isinstance(stream, TextIOWrapper):  # whatever the locale says: Pulumi gives UTF-8, and fails at anything else
        stream.reconfigure(encoding="utf-8", errors=stream.errors)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
runpy.run_module(f"components.commands.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
