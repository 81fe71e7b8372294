"""What `make up` asks itself, where Pulumi can't: before a run that is kept to a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from toolchain import stack
from toolchain.steps import SetupError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions; the answer to each is `no`. A stand-in for `pulumi` notes its words, and fails with the word `bad`."""
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/ran\ncase "$*" in *bad*) exit 7 ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    questions = list[str]()

    def answer(question: str) -> str:
        questions.append(question)
        return "no"

    monkeypatch.setattr("builtins.input", answer)
    return questions


def preview_and_ask(tmp_path: Path, *arguments: str) -> str:
    """What `pulumi` was asked for."""
    stack._preview_and_ask("dev", arguments, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    ran = tmp_path / "ran"
    return ran.read_text() if ran.exists() else ""


def test_the_preview_is_shown_and_no_is_no(tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(SetupError, match="nothing was changed: the answer was not yes"):
        preview_and_ask(tmp_path, "--diff", "--continue-on-error")
    assert asked == ["Do you want to perform this update? (yes/no) "]
    assert (tmp_path / "ran").read_text() == "preview --stack dev --diff\n"


def test_who_has_agreed_is_not_asked(tmp_path: Path, asked: list[str]) -> None:
    assert preview_and_ask(tmp_path, "--yes", "--diff") == "preview --stack dev --diff\n"
    assert asked == []


def test_without_a_preview_nothing_is_shown_or_asked(tmp_path: Path, asked: list[str]) -> None:
    assert preview_and_ask(tmp_path, "--skip-preview") == ""
    assert asked == []


def test_a_preview_that_fails_ends_it_with_its_code(tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        preview_and_ask(tmp_path, "--yes", "bad")
    assert ended.value.code == 7 and asked == []
