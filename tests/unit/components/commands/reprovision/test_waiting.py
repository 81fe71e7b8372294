"""What is said of a machine that lets nobody in, by what OpenSSH and sudo print."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from components.commands.objects.packing import packed
from components.commands.reprovision.request import NotProvenError, Progress, Request
from components.commands.reprovision.waiting import CONSOLE_LINES, Console, look_at_refusal
from components.commands.ssh_session import Finished

REQUEST = Request.from_json(
    {
        **dict.fromkeys(("source", "drain", "restore", "console_log", "console_hint"), ""),
        "machine": "web",
        "config_id": "c" * 128,
        "content": packed("{}"),
        "place": None,
        "lifecycle": "reset",
        "keep": [],
        "target": {"host": "h", "port": 22, "user": "ops", "known_hosts": "/pins", "host_key_alias": "web"},
        "health": [],
        "allow_degraded": False,
        "timeout": 1,
        "rollback_after": 0,
        "pause": 0,
    }
)


@pytest.mark.parametrize(
    ("code", "stderr", "message"),
    [
        (1, "sudo: a password is required", "ops can't become root by sudo without a password"),
        (1, "sudo: unable to resolve host x\nsudo: sorry, you must have a tty to run sudo", "can't become root"),
        (127, "bash: line 1: sudo: command not found", "can't become root"),
        (255, "@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @", "is not the pinned one"),
        (255, "No ED25519 host key is known\nHost key verification failed.", "is not the pinned one"),
    ],
)
def test_what_waiting_will_not_change(code: int, stderr: str, message: str) -> None:
    with pytest.raises(NotProvenError, match=message) as refusal:
        look_at_refusal(Finished(code=code, lines=(), stderr=stderr), REQUEST, None)
    assert refusal.value.advice


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (255, ""),
        (255, "Connection closed by 10.0.0.1 port 22"),
        (255, "System is going down. Unprivileged users are not permitted to log in anymore."),
        (255, "sudo: unable to resolve host x"),  # it went down meanwhile
        (1, "/usr/bin/systemctl: cannot execute"),
    ],
)
def test_what_a_machine_on_its_way_down_or_up_may_say(code: int, stderr: str) -> None:
    assert look_at_refusal(Finished(code=code, lines=(), stderr=stderr), REQUEST, None) is None


def test_a_login_may_be_refused_for_a_while() -> None:
    refused = Finished(code=255, lines=(), stderr="ops@h: Permission denied (publickey).")
    since = look_at_refusal(refused, REQUEST, None)
    assert since is not None
    assert look_at_refusal(refused, REQUEST, since) == since
    with pytest.raises(NotProvenError, match=r"refuses the login of ops: ops@h: Permission denied \(publickey\)"):
        look_at_refusal(refused, REQUEST, since - 60)


def test_lines_of_progress_are_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    progress = Progress("web")
    progress.say("\x1b]0;title\x07 a\tb \x1b[2J")
    progress.say("\x07")
    (line,) = printed.getvalue().splitlines()
    assert line.isprintable() and line.split() == ["web", "0.0s", "]0;title", "a", "b", "[2J"]


def test_the_end_of_a_console_has_the_failure_and_not_all_that_followed_from_it(tmp_path: Path) -> None:
    failure = "[    9.1] ignition[144]: failed to fetch config: resource not found"
    followed = [
        "[    9.2] systemd[1]: Dependency failed for initrd-leave.service - Switch to the machine.",
        "[    9.3] systemd[1]: initrd-leave.service: Job initrd-leave.service/start failed with result 'dependency'.",
        "[    9.4] systemd[1]: initrd-leave.service: Triggering OnFailure= dependencies.",
    ]
    end = "Entering emergency mode."
    console = tmp_path / "console.log"
    console.write_text("\n".join(["an earlier line"] * 50 + [failure, *followed * 20, end]) + "\n")
    tail = Console(str(console)).tail()
    assert tail[-2:] == [failure, end]
    assert len(tail) == CONSOLE_LINES


def test_the_console_tells_why_ignition_failed(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("[    8.1] ignition[140]: Ignition failed: an earlier boot's\n")
    console = Console(str(log))
    assert console.why_ignition_failed() == ""
    with log.open("a") as more:
        more.write(
            "[    9.1] ignition[144]: Ignition failed: config is not \x1b[1mvalid\nPress Enter for emergency shell\n"
        )
    assert console.why_ignition_failed() == ": config is not [1mvalid"
    assert console.shows_emergency()
