"""The `pulumi` program and its Python language host: installed, else downloaded, else built.

The built language host is an old one (v3.79.0, the last that is served as a Go module): it ignores
the options `virtualenv` and `toolchain` of Pulumi.yaml, so the environment puts `.venv/bin` first
on PATH.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolchain import download, golang
from toolchain.places import BIN, ROOT
from toolchain.steps import SetupError, digest, is_made, made, not_in_use, say, step

VERSION = "3.259.0"
MINIMUM = (3, 259, 0)
GO_MODULES = ROOT / "toolchain" / "go"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
HOST_PACKAGE = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
HOST_MODULE = "github.com/pulumi/pulumi/sdk/v3"
OR_PULUMI = f"or install pulumi itself (version {VERSION} or newer)"


def ensure() -> None:
    """Make sure that `pulumi` and `pulumi-language-python` work, by the first way that does.

    Raises SetupError when none does.
    """
    if installed() or (is_made("pulumi", _source()) and (BIN / "pulumi").is_file()):
        return
    if (BIN / "pulumi").exists():
        not_in_use("Pulumi has to be set up anew")
    BIN.mkdir(parents=True, exist_ok=True)
    if not _download():
        _build()
    made("pulumi", _source())


def version_of(program: str | Path) -> tuple[int, ...] | None:
    """The version a `pulumi` program prints (`v3.259.0`), None when it prints none."""
    try:
        answer = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, match.groups())) if match else None


def installed() -> Path | None:
    """An installed `pulumi`, new enough and with its Python language host, outside TOOLCHAIN."""
    path = os.pathsep.join(entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry) != BIN)
    program = shutil.which("pulumi", path=path)
    if program is None:
        return None
    version = version_of(program)
    if version is None or version < MINIMUM:
        say(f"note: {program} is older than {VERSION}: not used")
        return None
    beside = f"{Path(program).resolve().parent}{os.pathsep}{path}"
    if not shutil.which("pulumi-language-python", path=beside):
        say(f"note: {program} has no pulumi-language-python beside it: not used")
        return None
    return Path(program)


def _source() -> str:
    return digest(VERSION, sys.platform, platform.machine(), GO_MODULES)


def _download() -> bool:
    """The official release into BIN; False when it is out of reach (no internet)."""
    published = download.checksums(VERSION)
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, "")
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "")
    name = f"pulumi-v{VERSION}-{system}-{machine}.tar.gz"
    if not published:
        say(f"note: {download.RELEASES} can't be reached: Pulumi is built from its Go modules")
        return False
    if name not in published:
        raise SetupError(
            f"there is no official Pulumi {VERSION} for this computer ({name})",
            "install pulumi yourself, so that it is on PATH",
        )
    with step(f"Pulumi {VERSION}, the official release"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, name)
        download.fetch(f"{download.RELEASES}/{name}", published[name], archive)
        download.unpack(archive, BIN)
    return True


def _build() -> None:
    host, cli = GO_MODULES / "pulumi-language-python", GO_MODULES / "pulumi"
    with step("the Python language host, from its Go module"):
        golang.build(host, HOST_PACKAGE, BIN / "pulumi-language-python", hint=OR_PULUMI)
        # Its other half is a Python program, in the folder beside it.
        program, environment = golang.go(host)
        answer = subprocess.run(
            [program, "list", "-m", "-json", HOST_MODULE],
            cwd=host,
            env=environment,
            capture_output=True,
            check=True,
        )
        package = Path(json.loads(answer.stdout)["Dir"], HOST_PACKAGE.removeprefix(f"{HOST_MODULE}/"))
        target = BIN / "pulumi-language-python-exec"
        shutil.copyfile(package.parent / target.name, target)
        target.chmod(0o755)
    with step(f"Pulumi {VERSION}, from its Go modules (about 3 minutes on 2 cores)"):
        golang.build(cli, CLI_PACKAGE, BIN / "pulumi", ldflags=f"-X {VERSION_VARIABLE}=v{VERSION}", hint=OR_PULUMI)
