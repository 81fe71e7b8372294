"""What a machine is rolled back to, and what its object gets: what the machine names counts only as far as proven."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from components.commands.objects.folder import FolderWriter
from components.commands.reprovision.request import Progress
from components.commands.reprovision.rollback import (
    OEM_IS_READ_ONLY,
    TOO_LATE,
    LastGood,
    _roll_object_back,
    confirm,
    last_good,
    noted,
)
from components.commands.ssh_session import Finished, script_text
from tests.support.requests import made_request

GOOD = "b" * 128
CONTENT = '{"ignition":{}}'
PROVEN = [hashlib.sha512(CONTENT.encode()).hexdigest()]
ENCODED = base64.b64encode(CONTENT.encode()).decode()
STILL = "its object still holds the config that failed"


def found(*lines: str, proven: list[str] = PROVEN) -> LastGood | None:
    return last_good(Finished(code=0, lines=lines, stderr=""), proven)


@pytest.mark.parametrize("lines", [(), ("last_good=",), ("last_good=no config id",)])
def test_a_machine_without_a_last_good_config_has_none(lines: tuple[str, ...]) -> None:
    assert found(*lines) is None


def test_what_was_proven_from_here_is_rolled_back_to() -> None:
    lines = (f"last_good={GOOD}", f"last_good_content={ENCODED}")
    assert found(*lines) == LastGood(config_id=GOOD, content=CONTENT)


@pytest.mark.parametrize(
    ("lines", "proven", "unknown"),
    [
        ([f"last_good_content={ENCODED}"], [], "there is no record yet of what was proven from here"),
        ([f"last_good_content={ENCODED}"], ["c" * 128], "it was never proven from here"),
        ([f"last_good_content={ENCODED}é"], PROVEN, "it was never proven from here"),
        (["last_good_content=*" + ENCODED], PROVEN, "it was never proven from here"),  # which no base64 is
        (["last_good_content="], [hashlib.sha512(b"").hexdigest()], "it was never proven from here"),
        (["last_good_is_long=1"], PROVEN, "it is too long"),
    ],
)
def test_what_was_not_is_named_and_not_written(lines: list[str], proven: list[str], unknown: str) -> None:
    assert found(f"last_good={GOOD}", *lines, proven=proven) == LastGood(config_id=GOOD, content="", unknown=unknown)


@pytest.mark.parametrize(
    ("lifecycle", "told"),
    [("reset", "reset"), ("reformat", "reformat"), ("flag", "flag"), ("replace", "reset"), ("ignore", "reset")],
)
def test_a_machine_notes_how_it_is_brought_back(lifecycle: str, told: str) -> None:
    request = made_request(lifecycle=lifecycle, content=CONTENT, keep=("/a",), rollback_after=300)
    assert noted(request) == {"LIFECYCLE": told, "CONTENT": ENCODED, "KEEP": ("/a",)}
    assert noted(made_request(lifecycle=lifecycle, content=CONTENT))["CONTENT"] == ""


def test_a_machine_that_has_nothing_to_note_is_not_asked() -> None:
    confirm(made_request(rollback_after=0), Progress("web"))  # nobody listens there


def rolled(place: FolderWriter | None, good: LastGood, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What is reported, and what was said."""
    told = _roll_object_back(made_request(place=place), Progress("web"), good)
    return told, capsys.readouterr().err.partition("s  ")[2]


def test_an_object_gets_the_last_good_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "web.ign"
    path.write_text("the failed one")
    place = FolderWriter(path=str(path), written="2026-01-01T00:00:00.000000Z")
    told = rolled(place, LastGood(config_id=GOOD, content=CONTENT), capsys)
    assert told == ("its object holds the last good config", "the object holds the last good config again\n")
    assert path.read_text() == CONTENT


@pytest.mark.parametrize(
    ("place", "good", "said"),
    [
        (
            None,
            {"content": "", "unknown": "it is too long"},
            (
                "the object is not rolled back to what the machine names: it is too long; a machine that has booted "
                "rolls back by itself all the same\n"
            ),
        ),
        (
            None,
            {"content": CONTENT},
            "the object can't be rolled back from here; it still holds the config that failed\n",
        ),
        (
            FolderWriter(path="/dev/null/web.ign", written=""),
            {"content": CONTENT},
            "the object could not be rolled back: ",
        ),
    ],
)
def test_an_object_that_stays_is_told(
    place: FolderWriter | None, good: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told, line = rolled(place, LastGood(config_id=GOOD, **good), capsys)
    assert told == STILL and line.startswith(said)


def test_exit_codes_are_those_of_the_scripts() -> None:
    assert f"exit {TOO_LATE}\n" in script_text("confirm.sh")
    assert f"exit {OEM_IS_READ_ONLY}\n" in script_text("start-rollback.sh")
