"""The components as a plugin: Pulumi runs this folder."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from components.package.provider import main  # noqa: E402 — found by the line above

main()
