"""The examples of pipelines: their shell steps on a computer with an empty home."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.engine.checkouts import PASSPHRASE, Checkout, checkout
from tests.engine.test_backends import CONFIG, host, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.machine import LoopbackMachine

__all__ = ["host"]
PIPELINES = Path(__file__).parents[2] / "examples/pipelines"


@pytest.fixture
def clone(tmp_path: Path) -> Checkout:
    """A clone that set-up has been through, so that its first step has nothing to do."""
    made = checkout(tmp_path)
    venv = made.folder / ".venv"
    (made.folder / "requirements.txt").touch()
    (venv / "stamp-python").write_text(f"{sys.version} in {made.folder}\n")
    (venv / "stamp-run").write_text(made.run("cksum", "requirements.txt"))
    return made


def steps(name: str) -> list[dict[str, Any]]:
    """The steps of a pipeline's only job."""
    (job,) = yaml.safe_load((PIPELINES / f"{name}.yml").read_text())["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


@pytest.mark.parametrize(("name", "command"), [("preview", "preview"), ("up", "up")])
def test_pulumis_own_action_runs_the_stack(name: str, command: str) -> None:
    action = steps(name)[-1]
    assert action["uses"].startswith("pulumi/actions@")
    assert (action["with"]["command"], action["with"]["stack-name"]) == (command, "production")


def test_the_shell_steps_run_in_an_empty_home(tmp_path: Path, clone: Checkout) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    secret, env = (tmp_path / "key").read_text().strip(), str(tmp_path / "env")
    (tmp_path / "backend").mkdir()
    backend = (tmp_path / "backend").as_uri()
    *shell, audit = [step["run"] for step in steps("audit") if "run" in step]
    assert [step["run"] for step in steps("up") if "run" in step] == shell
    # As a step of GitHub's does; the agent ends with this test.
    script = f"trap 'ssh-agent -k >/dev/null' EXIT\n{shell[-1]}\nssh-add -L"
    assert clone.run("bash", "-e", "-c", shell[0]) == "", "set-up has nothing to do"
    listed = clone.run("bash", "-e", "-c", script, SSH_PRIVATE_KEY=secret, GITHUB_ENV=env)
    assert " ".join((tmp_path / "key.pub").read_text().split()[:2]) in listed
    assert Path(env).read_text().startswith("SSH_AUTH_SOCK=/")
    told = clone.run(*shlex.split(audit), code=2, PULUMI_BACKEND_URL=backend, CI="true")
    assert f"there is nothing of stack production: {backend} doesn't have it" in told


class Runner:
    """What runs a pipeline's job: its steps one after the other, with what they leave in `GITHUB_ENV`.

    What is GitHub's or Pulumi's own is done as they do: a clone is there, and the action runs `pulumi`.
    """

    def __init__(self, clone: Checkout, secrets: dict[str, str], **env: str) -> None:
        self.clone, self.secrets, self.env = clone, secrets, env
        self.agents: list[int] = []

    def job(self, name: str, code: int = 0) -> str:
        """The last step's output, which ends with `code`; all others end well."""
        (job,) = yaml.safe_load((PIPELINES / f"{name}.yml").read_text())["jobs"].values()
        note = self.clone.home / "github-env"
        note.write_text("")
        env = self._filled(job["env"]) | self.env | {"CI": "true", "GITHUB_ENV": str(note)}
        said = ""
        for number, step in enumerate(job["steps"], start=1):
            env |= dict(line.split("=", 1) for line in note.read_text().splitlines())
            its = env | self._filled(step.get("env", {}))
            argv = ["bash", "-e", "-c", step["run"]] if "run" in step else self._action(step)
            if argv:
                runs = replace(self.clone, env=its)
                said = runs.run(*argv, code=code if number == len(job["steps"]) else 0)
                self.agents += map(int, re.findall(r"^Agent pid (\d+)$", said, re.MULTILINE))
        return said

    def _filled(self, env: dict[str, str]) -> dict[str, str]:
        names = {key: re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", value) for key, value in env.items()}
        return {key: self.secrets.get(name[1], "") for key, name in names.items() if name is not None}

    @staticmethod
    def _action(step: dict[str, Any]) -> list[str]:
        if not step["uses"].startswith("pulumi/actions@"):
            return []
        given = step["with"]
        flags = ["--yes"] if given["command"] == "up" else []
        flags += ["--diff"] if given.get("diff") else []
        return ["pulumi", given["command"], "--stack", given["stack-name"], "--non-interactive", *flags]


@pytest.fixture
def runner(tmp_path: Path, clone: Checkout, host: LoopbackMachine) -> Iterator[Runner]:
    """A stack `production` with a host, made once from a computer of somebody's."""
    stack = settings(host)
    del stack["config"]["flatcar:ssh"]["private_key_file"]  # ssh-agent has it
    stack["config"]["flatcar:secrets"] = {"token": "hush"}
    file = clone.folder / "stacks/Pulumi.production.yaml"
    file.write_text(yaml.safe_dump(stack))
    (clone.folder / "cl/rack.yaml").write_text(CONFIG)
    (tmp_path / "backend").mkdir()
    plugins = {"PULUMI_HOME": str(clone.folder / ".toolchain/pulumi-home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    path = f"{clone.folder / '.venv/bin'}:{os.environ['PATH']}"
    runner = Runner(
        clone,
        {"SSH_PRIVATE_KEY": host.key_file.read_text().strip(), "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE},
        PATH=path,
        PULUMI_BACKEND_URL=(tmp_path / "backend").as_uri(),
        **plugins,
    )
    replace(clone, env=runner.env).run("pulumi", "stack", "init", "production", "--non-interactive")
    yield runner
    for agent in runner.agents:
        os.kill(agent, signal.SIGTERM)


def test_a_change_goes_through_preview_up_and_the_audit_by_night(runner: Runner, host: LoopbackMachine) -> None:
    assert "rack: new" in runner.job("preview") and host.boots == 1
    runner.job("up")
    assert host.text("/etc/page") == "first hush"
    assert "rack" in runner.job("audit")
    boots = host.boots

    config = runner.clone.folder / "cl/rack.yaml"
    config.write_text(CONFIG.replace("first", "second"))
    shown = runner.job("preview")
    assert "rack: /etc/page changes; reset: reboots" in shown and "hush" not in shown
    assert (host.text("/etc/page"), host.boots) == ("first hush", boots)
    runner.job("up")
    assert (host.text("/etc/page"), host.boots) == ("second hush", boots + 1)
    host.path("/etc/mine").touch()
    assert "/etc/mine" in runner.job("audit", code=2), "drift fails the job"
