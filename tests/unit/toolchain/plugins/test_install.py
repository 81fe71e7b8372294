"""Which plugin is taken: a real one wherever the user has put it, else the stand-in, known by its program alone."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

from toolchain import download
from toolchain.plugins import install

PROGRAM = "pulumi-resource-command"
FOLDER = f"resource-command-v{metadata.version('pulumi-command')}"


@pytest.fixture(autouse=True)
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without plugins that is offline."""
    monkeypatch.setattr(install, "PLUGINS", tmp_path / "pulumi-home/plugins")
    monkeypatch.setattr(download, "checksums", lambda _: {})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def real(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / PROGRAM
    program.write_bytes(b"\x7fELF\xff\xfe")
    program.chmod(0o755)
    return program


def test_without_a_real_one_the_stand_in_is_taken_and_left_as_it_is() -> None:
    install.ensure("command")
    program = install.program_of("command")
    assert install.is_stand_in("command") and os.access(program, os.X_OK)
    made = program.stat().st_ino
    install.ensure("command")
    assert install.program_of("command").stat().st_ino == made


def test_a_stand_in_of_other_sources_or_of_a_python_that_is_gone_is_made_anew() -> None:
    install.ensure("command")
    program = install.program_of("command")
    wanted = program.read_text()
    for outdated in ("# Stand-in for the plugin pulumi-resource-command 1.2.1.", "python=/nowhere/python3"):
        lines = wanted.splitlines()
        lines[1 if outdated.startswith("#") else 2] = outdated
        program.write_text("\n".join(lines))
        assert install.is_stand_in("command")
        install.ensure("command")
        assert program.read_text() == wanted


@pytest.mark.parametrize("folder", ["bin", f"home/.pulumi/plugins/{FOLDER}", f"pulumi-home/plugins/{FOLDER}"])
@pytest.mark.parametrize("first", ["the real one", "the stand-in"])
def test_a_real_one_is_taken_wherever_it_is(tmp_path: Path, folder: str, first: str) -> None:
    """Also where the stand-in was before, in whose folder other files of it stay."""
    if first == "the stand-in":
        install.ensure("command")
    program = real(tmp_path / folder)
    install.ensure("command")
    assert not install.is_stand_in("command")
    assert install.program_of("command").resolve() == program


def test_a_stand_in_in_the_users_own_folder_is_no_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "PLUGINS", tmp_path / "home/.pulumi/plugins")
    install.ensure("command")
    monkeypatch.setattr(install, "PLUGINS", tmp_path / "pulumi-home/plugins")
    install.ensure("command")
    assert install.is_stand_in("command")
    assert not install.folder_of("command").is_symlink()
