"""Several stacks by one command, without an engine: `tests/engine/test_stacks.py` has the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from toolchain import checkpoints, fleet
from toolchain.steps import SetupError

STACKS = {"eu": {"A": "1"}, "us": {"A": "2"}}
PROGRAM = """\
#!/bin/sh
case "$*" in
    version) echo v3.259.0; exit ;;
    *waits*) trap 'echo cancelling; exit 255' TERM; touch '{folder}/began'; while :; do sleep 0.05; done ;;
    *fails*) echo why >&2; exit 3 ;;
esac
echo "$PULUMI_AUTOMATION_API $GIVEN $*"
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for `pulumi`, first on PATH."""
    path = tmp_path / "pulumi"
    path.write_text(PROGRAM.format(folder=tmp_path))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return path


def test_pulumi_is_run_as_the_automation_api_has_it(program: Path) -> None:
    pulumi, said, errors = fleet.Pulumi(), list[str](), list[str]()
    done = pulumi.run(["up"], str(program.parent), {"GIVEN": "x"}, said.append, errors.append)
    assert (done.stdout, done.code, said) == ("true x --non-interactive up", 0, ["true x --non-interactive up"])
    with pytest.raises(automation.CommandError):
        pulumi.run(["fails"], str(program.parent), {}, said.append, errors.append)
    assert errors == ["why"] and not pulumi.interrupted


def test_an_interrupt_reaches_it_and_is_remembered(program: Path) -> None:
    pulumi, said = fleet.Pulumi(), list[str]()

    def interrupt() -> None:
        while not (program.parent / "began").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)  # SIGINT is ignored in a shell's background

    threading.Thread(target=interrupt).start()
    with pytest.raises(automation.CommandError):
        pulumi.run(["waits"], str(program.parent), {}, said.append)
    assert said == ["cancelling"] and pulumi.interrupted
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_is_for_one_stack_is_refused() -> None:
    with pytest.raises(SetupError, match=r"--target x can't be given to several stacks at once") as told:
        fleet.run("up", "fleet", STACKS, ["--diff", "--target", "x"], agreed=True)
    assert told.value.hint == "name one of them: make up STACK=eu"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, program: Path) -> dict[str, Any]:
    """Runs of stacks are noted, and come to what `codes` says of what is done to which."""
    known: dict[str, Any] = {"codes": {}, "runs": [], "plans": [], "answer": "yes"}

    def each(_: Any, do: str, stacks: Any, options: Any, plans: Any, *, to_the_end: bool = False) -> Any:
        skip = [one for one, env in stacks.items() if "PULUMI_SKIP_CHECKPOINTS" in env]
        known["plans"].append((dict(plans), skip))
        known["runs"].append((do, list(stacks), {name for name, value in options.items() if value}, to_the_end))
        return {one: fleet.Outcome(code=known["codes"].get((do, one), 0), seconds=7) for one in stacks}

    def answer(question: str) -> str:
        known["runs"].append(question)
        return str(known["answer"])

    monkeypatch.setattr(fleet, "each", each)
    monkeypatch.setattr(checkpoints, "plan_of", lambda stack: Path("/plan") / stack if stack != "small" else None)
    monkeypatch.setattr(checkpoints, "decided", lambda _, plan: plan.name == "us")
    monkeypatch.setattr("builtins.input", answer)
    return known


QUESTION = "up these 2 stacks, one after the other? (yes/no) "


def test_all_are_previewed_and_one_question_is_asked(asked: dict[str, Any]) -> None:
    assert fleet.run("up", "fleet", STACKS, ["--diff"], agreed=False) == 0
    both = ["eu", "us"]
    assert asked["runs"] == [("preview", both, {"diff"}, True), QUESTION, ("up", both, {"diff"}, False)]


def test_the_run_of_a_stack_is_kept_to_the_plan_by_which_it_skips_checkpoints(asked: dict[str, Any]) -> None:
    fleet.run("up", "fleet", {**STACKS, "small": {}}, [], agreed=True)
    plans = {"eu": Path("/plan/eu"), "us": Path("/plan/us")}
    assert asked["plans"] == [(plans, []), ({"us": plans["us"]}, ["us"])]
    fleet.run("preview", "fleet", STACKS, [], agreed=True)
    fleet.run("up", "fleet", STACKS, ["--skip-preview"], agreed=True)
    assert asked["plans"][2:] == [({}, [])] * 2


def test_no_is_no(asked: dict[str, Any]) -> None:
    asked["answer"] = "y"
    assert fleet.run("up", "fleet", STACKS, [], agreed=False) == 1
    assert asked["runs"][1:] == [QUESTION]


def test_a_preview_that_fails_changes_nothing(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    asked["codes"] = {("preview", "us"): 1}
    assert fleet.run("up", "fleet", STACKS, [], agreed=True) == 1
    assert len(asked["runs"]) == 1
    assert capsys.readouterr().out == "\neu  done in 7 s\nus  failed in 7 s\nnothing was changed\n"


def test_destroying_begins_with_the_last(asked: dict[str, Any]) -> None:
    assert fleet.run("destroy", "fleet", STACKS, ["--skip-preview"], agreed=True) == 0
    assert asked["runs"] == [("destroy", ["us", "eu"], set(), False)]


def test_the_summary_has_each_stack_and_how_to_go_on(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    asked["codes"] = {("up", "eu"): 1, ("up", "us"): None}
    assert fleet.run("up", "fleet", STACKS, [], agreed=True) == 1
    assert capsys.readouterr().out == "\neu  failed in 7 s\nus  not begun\n`make up STACK=fleet` goes on with eu\n"


def test_an_outcome_counts_what_was_done() -> None:
    outcome = fleet.Outcome(code=0, seconds=2.4, changes={"create": 3, "same": 10, "discard": 1})
    assert str(outcome) == "done in 2 s: 3 created, 10 unchanged, 1 discard"
