"""What was said in a run is found in a file: whole, for this user alone, and with an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.commands.reprovision import log as module
from components.commands.reprovision.log import LEFT_OUT, Log
from components.commands.reprovision.request import LONGEST_TOLD, Progress

OWNER = "organization/project/dev/web"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    return tmp_path / "pulumi/flatcar-reprovision/logs/organization.project.dev.web.log"


def lines(path: Path) -> list[str]:
    """Without the first one, the time."""
    return path.read_text().splitlines()[1:]


def test_it_is_made_with_the_first_line_and_for_this_user_alone(path: Path) -> None:
    log = Log(OWNER)
    assert not path.exists()
    log.add("one")
    log.add("two é")
    assert lines(path) == ["one", "two é"]
    assert log.left_out == f"{LEFT_OUT}: see {path}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_run_before_is_kept_and_no_other(path: Path) -> None:
    for run in ("first", "second", "third"):
        Log(OWNER).add(run)
    assert lines(path) == ["third"]
    assert [lines(other) for other in path.parent.iterdir() if other != path] == [["second"]]


def test_it_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    log = Log(OWNER)
    for _ in range(10):
        log.add("x" * 30)
    assert lines(path) == ["x" * 30] * 2 + [LEFT_OUT]


def test_where_none_can_be_written_the_run_goes_on_and_says_so(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pulumi").touch()  # root may write into folders without that right
    Progress("web", Log(OWNER)).pass_on(["x" * (LONGEST_TOLD + 1)], 2000)
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"{LEFT_OUT}, and could not be written down: [Errno 20] Not a directory: '{path.parent}'"
    )


def test_what_belongs_to_nobody_has_none(path: Path) -> None:
    Log().add("x")
    assert not path.parent.exists()


def test_all_is_there_of_what_was_cut_and_left_out(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("web", Log(OWNER))
    progress.say("a step")
    progress.pass_on(["y" * 5_000, *(f"line {n}\033[31m" for n in range(1_000))], 2_000)
    progress.fail("it failed", "do something")
    told = capsys.readouterr().err.splitlines()
    assert told[1:3] == ["y" * (LONGEST_TOLD - 2) + " …", "line 0[31m"]
    assert told[-8] == f"{LEFT_OUT}: see {path}"
    assert told[-7:] == [*(f"line {n}[31m" for n in range(995, 1_000)), "web: it failed", "web: do something"]
    assert lines(path)[1:] == ["y" * 5_000, *(f"line {n}[31m" for n in range(1_000)), *told[-2:]]


def test_a_few_lines_too_many_are_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [f"{n}" * 100 for n in range(6)]
    Progress("web").pass_on(shown, 101)
    assert capsys.readouterr().err.splitlines() == shown
