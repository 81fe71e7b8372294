"""The programs of `components.commands` are found from any folder, past whatever lies there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components import launcher

PROGRAMS = Path(__file__).parents[3] / "components/commands/__main__.py"


def run(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(PROGRAMS), *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with packages and modules that have the names of the programs' own."""
    for name in ("components", "json", "cl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('not this one')\n")
    return tmp_path


def test_a_program_runs_elsewhere(elsewhere: Path) -> None:
    document = {"path": "object", "written": "2025-01-31T12:00:00.000000Z", "content": "of an earlier version"}
    done = run(elsewhere, "write_object", "write", stdin=json.dumps(document))
    assert (done.returncode, done.stderr) == (1, "error: the JSON on stdin needs path, file, sha512 and written\n")


@pytest.mark.parametrize("words", [(), ("health",), ("../audit",)])
def test_other_programs_are_none(elsewhere: Path, words: tuple[str, ...]) -> None:
    done = run(elsewhere, *words)
    assert done.returncode == 1
    programs = "live_plans|qemu|qemu.supervisor|reprovision|sign|write_object"
    assert done.stderr == f"usage: python -m components.commands {programs} …\n"


@pytest.mark.parametrize(
    ("words", "not_needed"),
    [
        (("write_object", "write"), {"dataclasses", "inspect", "runpy", "subprocess", "tempfile", "typing"}),
        (("reprovision",), {"email", "http.client", "runpy", "ssl"}),
    ],
)
def test_a_program_starts_without_what_it_does_not_need(words: tuple[str, ...], not_needed: set[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-IS", str(PROGRAMS), *words]
    told = subprocess.run(command, input="{}", capture_output=True, text=True, check=False).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert {"json", "components.commands.objects.content_file"} <= imported
    assert imported & not_needed == set()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a Command's text in a folder, as Pulumi does, on a computer where the stack's program has run, or hasn't."""
    home = tmp_path / "home"

    def run(text: str, folder: Path, *, has_run: bool, **environment: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("PULUMI_HOME", str(home if has_run else tmp_path / "elsewhere"))
        launcher._note.cache_clear()
        argv = [*launcher.interpreter(), text]
        environment = {**os.environ, "PULUMI_HOME": str(home), **environment}
        return subprocess.run(
            argv, cwd=folder, env=environment, input="{}", capture_output=True, text=True, check=False
        )

    return run


NOT_USABLE = "error: the machine's spec on stdin is not usable: 'directory'\n"
Shell = Callable[..., subprocess.CompletedProcess[str]]


def test_a_commands_text_finds_its_program_where_the_stacks_program_has_run(elsewhere: Path, shell: Shell) -> None:
    assert shell("qemu status", elsewhere, has_run=True).stderr == NOT_USABLE


def test_it_is_started_without_installed_packages(shell: Shell, tmp_path: Path) -> None:
    packages = tmp_path / "packages.py"
    packages.write_text("import sys; sys.exit(f'{sys.flags.no_site} {sys.flags.isolated}')\n")
    shell("qemu status", tmp_path, has_run=True)
    (noted,) = (tmp_path / "home/flatcar-reprovision").iterdir()
    noted.write_text(noted.read_text().replace(str(PROGRAMS), str(packages)))
    argv = [*launcher.interpreter(), "qemu status"]
    environment = {**os.environ, "PULUMI_HOME": str(tmp_path / "home")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "1 1\n"


def test_in_a_checkout_it_is_found_without_that(shell: Shell) -> None:
    assert shell("qemu status", PROGRAMS.parents[2], has_run=False).stderr == NOT_USABLE


def test_a_program_that_runs_it_may_be_named(elsewhere: Path, shell: Shell, tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text(f'#!/bin/sh\nexec {sys.executable} -I {PROGRAMS} "$@"\n')
    named.chmod(0o700)
    assert shell("qemu status", elsewhere, has_run=False, FLATCAR_COMMANDS=str(named)).stderr == NOT_USABLE


def test_where_there_is_none_it_says_what_to_do_and_runs_nothing_else(elsewhere: Path, shell: Shell) -> None:
    done = shell("qemu delete", elsewhere, has_run=False)
    assert done.returncode == 1
    assert done.stderr == (
        "the code behind this Command is not known on this computer, where the stack's program has not run yet: run "
        "'pulumi preview' once, then this again; or name a program that runs it in $FLATCAR_COMMANDS\n"
    )


def test_a_checkout_that_was_moved_since_is_found_where_it_is_now(
    elsewhere: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home/flatcar-reprovision").mkdir(parents=True)
    assert shell("qemu status", elsewhere, has_run=True).stderr == NOT_USABLE
    (noted,) = (tmp_path / "home/flatcar-reprovision").iterdir()
    noted.write_text("python=/gone/bin/python\ncode=/gone/components/commands/__main__.py\n")
    argv = [*launcher.interpreter(), "qemu status"]  # noted once in a run
    environment = {**os.environ, "PULUMI_HOME": str(tmp_path / "home")}
    for folder, found in ((PROGRAMS.parents[2], True), (elsewhere, False)):
        done = subprocess.run(
            argv, cwd=folder, env=environment, input="{}", capture_output=True, text=True, check=False
        )
        assert (done.stderr == NOT_USABLE) is found, done.stderr
