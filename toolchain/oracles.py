"""The original programs that tests hold the transpiler against, built from their Go modules.

`toolchain/go/oracles/NAME` is a Go module that pins one program; its packages become programs in
`.toolchain/oracles`. For tests only: nothing that a user runs needs them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from toolchain.places import ROOT, TOOLCHAIN
from toolchain.pulumi_cli import go
from toolchain.steps import digest, run, step

ORACLES = TOOLCHAIN / "oracles"


def ensure(module: str, package: str, name: str) -> Path:
    """The program that `package` of a module in `toolchain/go/oracles` makes, built when it isn't there.

    Raises SetupError when Go or the Go module proxy can't be had.
    """
    folder = ROOT / "toolchain" / "go" / "oracles" / module
    program = ORACLES / f"{name}-{digest(folder)[:12]}"
    if program.exists():
        return program
    compiler, environment = go()
    ORACLES.mkdir(parents=True, exist_ok=True)
    part = program.with_name(f".{program.name}.part")
    nice = ["nice"] if shutil.which("nice") else []
    with step(f"{name}, from its Go module, to compare with"):
        run(
            [*nice, compiler, "build", "-trimpath", "-o", part, package],
            log=f"build-{name}",
            failure=f"{package} can't be built",
            hint="is the Go module proxy (go env GOPROXY) within reach?",
            cwd=folder,
            env=environment,
        )
    part.replace(program)
    return program
