"""The original programs that tests hold the transpiler against, built from their Go modules.

`toolchain/go/oracles/NAME` is a Go module that pins one program; its packages become programs in
`.toolchain/oracles`. For tests only: nothing that a user runs needs them.
"""

from __future__ import annotations

from pathlib import Path

from toolchain import golang
from toolchain.places import ROOT, TOOLCHAIN
from toolchain.steps import digest, step

ORACLES = TOOLCHAIN / "oracles"


def ensure(module: str, package: str, name: str) -> Path:
    """The program that `package` of a module in `toolchain/go/oracles` makes, built when it isn't there.

    Raises SetupError when Go or the Go module proxy can't be had.
    """
    folder = ROOT / "toolchain" / "go" / "oracles" / module
    program = ORACLES / f"{name}-{digest(folder)[:12]}"
    if program.exists():
        return program
    ORACLES.mkdir(parents=True, exist_ok=True)
    with step(f"{name}, from its Go module, to compare with"):
        golang.build(folder, package, program)
    return program
