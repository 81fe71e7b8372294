"""Pulumi's tools for programs in other languages, built from their Go modules: only tests need them.

Who works in one of these languages has its tools from Pulumi's release.
"""

from __future__ import annotations

from pathlib import Path

from toolchain import golang
from toolchain.places import ROOT, TOOLCHAIN
from toolchain.steps import digest, step

LANGUAGES = ROOT / "toolchain" / "languages"


def ensure_yaml() -> Path:
    """The folder of the language host for YAML, for PATH. Raises SetupError when it can't be built."""
    return _program("yaml", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", "pulumi-language-yaml").parent


def ensure_sdks() -> Path:
    """The program that makes SDKs from a package's schema. Raises SetupError when it can't be built."""
    return _program("sdks", ".", "sdks")


def _program(module: str, package: str, name: str) -> Path:
    source = LANGUAGES / module
    program = TOOLCHAIN / "languages" / f"{module}-{digest(source)[:12]}" / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with step(f"{name}, from its Go module"):
            golang.build(source, package, program)
    return program
