"""`python -m cl.transpiler`: see `cl.transpiler.cli`."""

from __future__ import annotations

import sys

from cl.transpiler.cli import main

sys.exit(main(sys.argv[1:]))
