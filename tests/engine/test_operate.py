"""The operator's verbs on loopback machines with a real sshd. Pulumi's state is handed to them as it would print it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loopback.lab import PROJECT, Lab
from loopback.machine import LoopbackMachine, ObjectServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine


@dataclass
class Operator:
    """A computer whose `pulumi` shows the state of machines."""

    folder: Path
    records: dict[str, tuple[Lab, str]] = field(default_factory=dict)

    def write_state(self, **changes: dict[str, Any]) -> None:
        """Let `pulumi stack export` print the machines' records, with `changes` of a machine's request."""
        resources = [
            {
                "urn": f"urn:pulumi:dev::flatcar::command:local:Command::{name}-reprovision",
                "type": "command:local:Command",
                "inputs": {"stdin": json.dumps({**lab.request(lab.good, **changes.get(name, {})), "machine": name})},
                "outputs": {"stdout": proven},
            }
            for name, (lab, proven) in self.records.items()
        ]
        machines = [
            {"urn": f"urn:pulumi:dev::flatcar::flatcar:index:Machine::{name}", "type": "flatcar:index:Machine"}
            for name in [*self.records, "unmade"]
        ]
        (self.folder / "state.json").write_text(json.dumps({"deployment": {"resources": resources + machines}}))
        pulumi = self.folder / "pulumi"
        pulumi.write_text(f'#!/bin/sh\ncat "{self.folder}/state.json"\n')
        pulumi.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "MACHINES_DIR": str(self.folder)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "components.operate", arguments[0], "--stack", "dev", *arguments[1:]]
        return subprocess.run(
            argv, cwd=PROJECT, env=self.environment, input="not for it\n", capture_output=True, text=True, timeout=120
        )


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("operator")
    operator = Operator(folder)
    (folder / "objects").mkdir()
    server = ObjectServer(folder / "objects")
    with (
        server.running() as address,
        LoopbackMachine(_made(folder / "web"), f"{address}/web.ign") as web,
        LoopbackMachine(_made(folder / "worker"), f"{address}/web.ign") as worker,
    ):
        for name, machine in (("web", web), ("worker", worker)):
            lab = Lab(machine, server)
            lab.good = lab.publish("good")
            code, _, progress = lab.run(lab.good)
            assert code == 0, progress
            operator.records[name] = (lab, lab.record)
        operator.write_state()
        yield operator


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_command_runs_side_by_side_with_each_name_in_front(operator: Operator) -> None:
    done = operator.run("exec", "web", "worker", "--", "echo out; echo err >&2; cat; printf '\\033[2Jend'")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (
        0,
        ["web: [2Jend", "web: out", "worker: [2Jend", "worker: out"],
    )
    assert sorted(line for line in done.stderr.splitlines() if line.endswith("err")) == ["web: err", "worker: err"]
    web, worker = (operator.records[name][0].machine.path("/run/meeting") for name in ("web", "worker"))
    web.touch()
    worker.hardlink_to(web)  # a file of both: the command ends when it runs on both at once
    meets = "echo here >>/run/meeting; timeout 60 sh -c 'until [ $(wc -l </run/meeting) = 2 ]; do sleep 0.1; done'"
    done = operator.run("exec", "web", "worker", "--", meets)
    assert done.returncode == 0, "one after the other"


def test_a_command_that_fails_on_one_machine_is_told(operator: Operator) -> None:
    operator.records["web"][0].machine.path("/etc/only-on-web").write_text("x")
    done = operator.run("exec", "web", "worker", "--", "test", "-e", "/etc/only-on-web")
    assert done.returncode == 1
    assert "worker: failed with exit code 1" in done.stderr
    assert "web: failed" not in done.stderr


def test_a_machine_that_does_not_answer_fails_alone(operator: Operator) -> None:
    target = {**operator.records["web"][0].request("x")["target"], "port": 1}
    operator.write_state(web={"target": target})
    done = operator.run("exec", "web", "worker", "--", "echo here")
    operator.write_state()
    assert (done.returncode, done.stdout) == (1, "worker: here\n")
    assert "Connection refused" in done.stderr
    assert "web: failed: no session, or an end of it" in done.stderr


def test_a_machine_that_talks_without_end_is_ended(operator: Operator) -> None:
    done = operator.run("exec", "web", "--", "head -c 20000 /dev/zero | tr '\\0' x; echo; echo next; yes | tr -d '\\n'")
    assert done.returncode == 1
    long, after = done.stdout.splitlines()[:2]
    assert len(long) == len("web: ") + 4096 and long.endswith(" …")
    assert after == "web: next"
    assert "web: failed: it sent more than 16 MiB, and was ended" in done.stderr


def test_another_host_key_is_refused(operator: Operator) -> None:
    other = json.loads(operator.records["worker"][1].splitlines()[-1])["host_key"]
    operator.write_state(web={"host_key": other})
    done = operator.run("exec", "web", "--", "echo in")
    by_hand = operator.run("ssh", "web")
    logs = operator.run("logs", "web")
    operator.write_state()
    assert (done.returncode, by_hand.returncode, logs.returncode, done.stdout) == (1, 2, 1, "")
    for said in (done.stderr, by_hand.stderr, logs.stderr):
        assert "host_key of web in the stack's config is not the SSH host key that is pinned here" in said


def test_a_session_by_hand_has_the_terminal_and_its_signals(operator: Operator) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - becomes another program
        os.chdir(PROJECT)
        argv = [sys.executable, "-m", "components.operate", "ssh", "web"]
        os.execve(sys.executable, argv, operator.environment)
    said = b""

    def shows(text: bytes) -> bool:
        nonlocal said
        said += os.read(terminal, 4096)
        return text in said

    os.write(terminal, b"echo $((6 * 7)) on $(tty)\n")
    wait_until(lambda: shows(b"42 on /dev/pts/"))
    os.write(terminal, b"echo before; sleep 300; echo after\n")
    wait_until(lambda: shows(b"\nbefore"))
    time.sleep(0.5)
    os.write(terminal, b"\x03")
    time.sleep(0.5)
    os.write(terminal, b"exit 3\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 3, said


def test_more_arguments_of_ssh_and_of_journalctl(operator: Operator) -> None:
    known = operator.run("ssh", "web", "--", "-G")
    assert known.returncode == 0
    for line in ("batchmode no", "stricthostkeychecking true", "hostkeyalias web-1", "updatehostkeys false"):
        assert line in known.stdout.splitlines()
    forwarded = operator.run("ssh", "web", "--", "-L", "18080:localhost:80", "-G")
    assert "localforward 18080 [localhost]:80" in forwarded.stdout.splitlines()
    journalctl = operator.records["web"][0].machine.path("/run/bin/journalctl")
    kept = journalctl.read_text()
    journalctl.write_text("#!/bin/bash\nprintf '%s|' \"$@\"; printf '\\033[31mred\\n'; echo no >&2; exit 4\n")
    done = operator.run("logs", "web", "--", "-u", "web.service", "--since", "1 hour ago")
    journalctl.write_text(kept)
    assert (done.returncode, done.stdout) == (4, "--no-pager|-u|web.service|--since|1 hour ago|[31mred\n")
    assert "no" in done.stderr.splitlines()


@pytest.mark.parametrize("words", [("exec", "web", "worker"), ("logs", "web")])
def test_an_interrupt_ends_what_goes_on(operator: Operator, words: tuple[str, ...]) -> None:
    journalctl = operator.records["web"][0].machine.path("/run/bin/journalctl")
    kept = journalctl.read_text()
    journalctl.write_text("#!/bin/bash\necho here; sleep 20\n")
    process = subprocess.Popen(
        # in a shell's background programs have this signal ignored
        [
            "env",
            "--default-signal=INT",
            sys.executable,
            "-m",
            "components.operate",
            *words,
            "--",
            "echo here; sleep 20",
        ],
        cwd=PROJECT,
        env=operator.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith("here\n")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=10)
    journalctl.write_text(kept)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_what_happened_on_a_machine(operator: Operator) -> None:
    history = operator.records["web"][0].machine.path("/oem/.flatcar-history")
    history.write_text(
        "2026-11-20T08:01:12Z push 5090b7a08758aaaaaaaaaaaaa staged\n\x1b[2J evil line of a machine more\n"
    )
    done = operator.run("history", "web", "worker")
    history.unlink()
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "web: 2026-11-20T08:01:12Z  push  5090b7a08758  staged",
            "web: [2J  evil  line  of",
            "worker: nothing is noted",
        ],
    )


def test_a_machine_that_was_never_proven(operator: Operator) -> None:
    for verb in ("ssh", "console", "logs", "history"):
        done = operator.run(verb, "unmade")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{verb}: no `pulumi up` has proven unmade yet" in done.stderr
    folder = operator.folder / "dev"
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh/unmade").write_text("Host unmade\n  HostName 192.0.2.1\n")
    (folder / "unmade").mkdir()
    (folder / "unmade/console.log").write_text("Ignition failed\n")
    assert "hostname 192.0.2.1" in operator.run("ssh", "unmade", "--", "-G").stdout.splitlines()
    assert operator.run("console", "unmade").stdout == "Ignition failed\n"


def test_a_console_elsewhere_is_named(operator: Operator) -> None:
    operator.write_state(web={"console_log": "", "console_hint": "aws ec2 get-console-output"})
    done = operator.run("console", "web")
    operator.write_state()
    assert (done.returncode, done.stdout) == (0, "web: its console: aws ec2 get-console-output\n")
