"""Programs built from Go modules that pin every byte of their source (`toolchain/go`, `toolchain/image/ignition`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from toolchain.steps import SetupError, run

FIRST_WITH_TOOLCHAINS = (1, 21)
QUICK_GO = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
"""Environment for Go's compiler: it collects no garbage below 1 GiB, which takes a fifth off a build's time."""
BUILD = ("build", "-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false")
"""`go`'s arguments in each build, the same in all: Go's cache then serves them what they share.

Programs are linked with -s, without what debuggers need: not to make it at all takes a seventh off a build's time.
"""


def go(hint: str = "") -> tuple[str, dict[str, str]]:
    """A `go` that can build what a module asks for, and the environment to run it in.

    A Go older than a module's `go` line fetches the right one by itself (GOTOOLCHAIN=auto), which Go can since 1.21.
    Raises SetupError when there is none, or an older one alone; its hint ends with `hint`.
    """
    install_it = f"install Go 1.21 or newer (Debian 13: apt-get install golang-go) {hint}".rstrip()
    program = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if program is None:
        raise SetupError("what can't be downloaded is built by Go, which is not installed", install_it)
    # Asked without switching toolchains: a module's folder may ask for one that can't be had.
    answer = subprocess.run(
        [program, "version"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout
    match = re.search(r"go(\d+)\.(\d+)", answer)
    if match is None or tuple(map(int, match.groups())) < FIRST_WITH_TOOLCHAINS:
        raise SetupError(f"{program} is too old: {answer.strip()}", install_it)
    environment = {**QUICK_GO, **os.environ, "GOTOOLCHAIN": "auto", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    environment.setdefault("HOME", str(Path.home()))
    return program, environment


def arguments(package: str, program: Path, ldflags: str = "") -> list[str]:
    """`go`'s arguments for the build of `package` as `program`."""
    return [*BUILD, "-o", str(program), "-ldflags", f"-s -w {ldflags}".rstrip(), package]


def build(
    module: Path,
    package: str,
    program: Path,
    *,
    ldflags: str = "",
    log: str = "",
    hint: str = "",
    env: Mapping[str, str] | None = None,
) -> None:
    """Build `package` of the Go module in the folder `module` as `program`, which is there whole or not at all.

    `env` is added to the environment. Raises SetupError; its hint ends with `hint`.
    """
    compiler, environment = go(hint)
    part = program.with_name(f".{program.name}.part")
    nice = ["nice"] if shutil.which("nice") else []
    run(
        [*nice, compiler, *arguments(package, part, ldflags)],
        log=log or f"build-{program.name}",
        failure=f"{package} can't be built",
        hint=f"is the Go module proxy (go env GOPROXY) within reach? {hint}".rstrip(),
        cwd=module,
        env={**environment, **(env or {})},
    )
    part.replace(program)
