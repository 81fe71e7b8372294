"""A machine in other hands: it says what it likes for as long as it likes, and the deployer ends as it should."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.objects.packing import packed
from components.commands.reprovision import health, rollback, waiting
from components.commands.reprovision.proof import missing_proof, read_state
from components.commands.reprovision.pulling import read_report
from components.commands.reprovision.request import HealthCheck, NotProvenError, Progress, Request
from components.commands.reprovision.run import reprovision
from components.commands.reprovision.seen import read_seen
from components.commands.ssh_session import _START, Finished, run_script
from components.commands.untrusted import LONGEST_LINE, printable
from loopback.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[4]
MOST_MIB = 100
WANTED = "c" * 128
STATE = f"boot_id=b-1\nstamp={'a' * 128}\nsystem=running\ncomplete=1\n"

# a process of its own between: Linux counts the memory of the one that forks as the new one's
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Hostile:
    """What stands in the place of a machine: a server that greets, and a client that does what `act` says.

    `act` is shell text; `$script` is what the deployer has sent, and `start` prints what comes before the script's own.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.environment = {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "PULUMI_HOME": str(folder / "pulumi"),
        }

    def does(self, act: str) -> None:
        """Set what the client does from now on."""
        client = self.folder / "bin/ssh"
        client.parent.mkdir(exist_ok=True)
        start = f"start() {{ echo {_START!r}; echo {_START!r} >&2; }}"
        client.write_text(f"#!/bin/bash\nscript=$(cat)\n{start}\n{act}\n")
        client.chmod(0o755)

    def document(self, **changes: Any) -> dict[str, Any]:
        """A request about it."""
        return {
            **dict.fromkeys(("source", "drain", "restore", "console_log", "console_hint"), ""),
            "machine": "web",
            "config_id": WANTED,
            "content": packed("{}"),
            "place": None,
            "lifecycle": "reset",
            "keep": [],
            "target": {
                "host": "127.0.0.1",
                "port": self.port,
                "user": "core",
                "known_hosts": str(self.folder / "pins/web"),
                "host_key_alias": "web",
            },
            "health": [],
            "allow_degraded": False,
            "timeout": 3,
            "rollback_after": 0,
            "pause": 0,
            **changes,
        }

    def run(self, **changes: Any) -> tuple[int, str, float]:
        """The program's exit code, what it told, and the most memory that it had, in MiB."""
        code, told, stdout = self.told(**changes)
        return code, told.decode(), int(stdout.split()[-1]) / 1024

    def told(self, **changes: Any) -> tuple[int, bytes, bytes]:
        """The program's exit code, and what it wrote to stderr and to stdout."""
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, sys.executable, "-m", "components.commands.reprovision"],
            input=json.dumps(self.document(**changes)).encode(),
            capture_output=True,
            cwd=PROJECT,
            env=self.environment,
            check=False,
        )
        return done.returncode, done.stderr, done.stdout


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """A hostile machine, its client on the PATH of this process as well."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-hostile\r\n")

        threading.Thread(target=greet, daemon=True).start()
        hostile = Hostile(tmp_path, port)
        (tmp_path / "pins").mkdir()
        monkeypatch.setenv("PATH", hostile.environment["PATH"])
        yield hostile
        server.shutdown(socket.SHUT_RDWR)


ENDLESS = {
    "one line of output": "start; cat /dev/zero",
    "before the script": "cat /dev/zero",
    "lines of output": "start; yes",
    "errors": "start; yes >&2",
    "one line of errors, of wide characters": "start; yes '\U0001f525' | tr -d '\\n' >&2",
    "output while it is staged": f"start; case $script in *check_pointer*) yes ;; *) printf %b {STATE!r} ;; esac",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_machine_that_never_stops_talking(hostile: Hostile, what: str) -> None:
    hostile.does(ENDLESS[what])
    started = time.monotonic()
    code, told, mib = hostile.run(timeout=60)
    print(f"endless {what}: {mib:.0f} MiB at most, ended after {time.monotonic() - started:.1f} s")
    assert code == 1 and "Traceback" not in told
    assert "the machine sent more than it may" in told
    assert mib <= MOST_MIB
    assert len(told.encode()) < 100_000
    assert time.monotonic() - started < 30


def test_as_much_as_a_machine_may_say_in_one_line(hostile: Hostile) -> None:
    """Wide characters, of which four bytes each are held, and one that is left out."""
    line = "yes '\U0001f525' | tr -d '\\n' | head -c 5600000; printf '\\a'"
    hostile.does(f"case $script in *check_pointer*) start; {line} ;; *) start; printf %b {STATE!r} ;; esac")
    code, told, mib = hostile.run(timeout=60)
    print(f"all that a machine may say: {mib:.0f} MiB at most")
    assert code == 1 and "staging failed (exit code 0)" in told
    assert mib <= MOST_MIB


def test_what_a_machine_may_say_is_cut_and_printable(hostile: Hostile) -> None:
    hostile.does(f"start; printf 'a\\033[2Jb\\n'; head -c {3 * LONGEST_LINE} /dev/zero | tr '\\0' x >&2")
    target = Request.from_json(hostile.document()).target
    finished = run_script(target, "diagnose.sh", {}, timeout=20)
    assert finished.lines == ("a[2Jb",)
    assert len(finished.stderr) == LONGEST_LINE and finished.stderr.endswith(" …")


def test_a_machine_that_reads_nothing_does_not_hold_the_deployer(hostile: Hostile) -> None:
    hostile.does("")
    (hostile.folder / "bin/ssh").write_text("#!/bin/sh\nexec sleep 60\n")
    target = Request.from_json(hostile.document()).target
    started = time.monotonic()
    finished = run_script(target, "diagnose.sh", {"CONTENT": "x" * 1_000_000}, timeout=1)
    assert finished.code == 255 and time.monotonic() - started < 5


def test_what_is_told_in_one_run_has_an_end(hostile: Hostile) -> None:
    lines = 'for n in {1..3000}; do echo "$n says a word about nothing, again and again" >&2; done'
    hostile.does(f"case $script in *check_pointer*) start; {lines}; exit 1 ;; *) start; printf %b {STATE!r} ;; esac")
    code, told, _ = hostile.run(timeout=60)
    print(f"told: {len(told.encode())} bytes")
    assert code == 1 and len(told.encode()) < 100_000
    assert "… more was left out" in told
    assert told.splitlines()[-1].startswith("web: "), "why it failed is told all the same"


AWKWARD = {
    "a line over 64 KiB": "head -c 200000 /dev/zero | tr '\\0' x; echo",
    "10 MB without a newline": "head -c 10000000 /dev/zero | tr '\\0' x",
    "bytes that are no text, NUL and a terminal's escapes": "printf 'a\\377\\0b\\033[2J\\033]0;c\\7\\r\\n'",
}
"""What Pulumi's command plugin stands still or fails at, or what would steer the operator's terminal."""


def client(*, state: str = STATE, staging: str = "echo staged=no", health: str = "", diagnose: str = "") -> str:
    """What the client of a machine does that was staged without a reboot; each of them shell text."""
    return (
        f"start; case $script in *check_pointer*) {staging} ;; *KINDS=*) {health} ;; "
        f"*'last messages of'*) {diagnose} ;; *) printf %b {state!r} ;; esac"
    )


WAYS = {
    "drain": client(),
    "restore": client(staging="exit 1"),
    "staging": client(staging="awkward >&2; exit 1"),
    "the login": "awkward >&2; exit 1",
    "health": client(
        state=STATE.replace("a" * 128, WANTED), health="awkward >&2; echo failed=0; echo why=$(awkward 2>/dev/null)"
    ),
    "diagnose": client(diagnose="awkward"),
    "console": client(),
}
"""Where it comes from, and what the client does then."""


@pytest.mark.parametrize("what", AWKWARD)
@pytest.mark.parametrize("way", WAYS)
def test_whatever_passes_through_is_cut_and_printable(hostile: Hostile, way: str, what: str) -> None:
    console = hostile.folder / "console.log"
    console.write_bytes(subprocess.run(["sh", "-c", AWKWARD[what]], capture_output=True, check=True).stdout)
    hostile.does(f"awkward() {{ {AWKWARD[what]}; }}\n{WAYS[way]}")
    code, told, _ = hostile.told(
        timeout=3,
        health=[{"name": "it", "subject": "true", "seconds": 1}] if way == "health" else [],
        console_log=str(console) if way == "console" else "",
        **({way: AWKWARD[what]} if way in ("drain", "restore") else {}),
    )
    assert code == 1, told
    lines = told.decode().splitlines()
    assert told.count(b"\n") == len(lines) and all(map(str.isprintable, lines))
    assert max(map(len, lines)) <= LONGEST_LINE + 10
    assert len(told) < 100_000
    shown = ("a\ufffdb[2J]0;c", "xxx", "the machine sent more than it may")
    assert any(text in line for line in lines for text in shown), told


def test_what_was_left_out_is_in_the_file_that_is_named(hostile: Hostile) -> None:
    hostile.does(client(diagnose="seq 5000 5999; printf '\\377%.0s' {1..3000}"))
    code, told, _ = hostile.run(timeout=3, owner="organization/project/dev/web", drain="seq 100000 101999")
    assert code == 1
    log = hostile.folder / "pulumi/flatcar-reprovision/logs/organization.project.dev.web.log"
    assert told.count(f"… more was left out: see {log}") == 2
    written = log.read_text().splitlines()
    ended = [
        "101999",
        "the machine came up",
        "5999",
        "\ufffd" * 3000,
        "web: the machine came up",
        "web: something else",
    ]
    assert [end for end in ended for line in written if end in line] == ended
    assert set(map(str, [*range(100_000, 102_000), *range(5000, 6000)])) <= set(written)
    assert all(line in written for line in told.splitlines() if len(line) < 200 and "left out" not in line)


@pytest.mark.parametrize("what", AWKWARD)
@pytest.mark.parametrize("program", ["components.audit", "components.audit.wipe"])
def test_what_an_audit_shows_of_a_machine_is_printable(hostile: Hostile, program: str, what: str) -> None:
    command = {"type": "command:local:Command", "urn": "urn::web-reprovision"}
    resources = [{**command, "inputs": {"stdin": json.dumps(hostile.document())}}]
    state = hostile.folder / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": resources}}))
    hostile.does(f"start; awkward() {{ {AWKWARD[what]}; }}; awkward; awkward >&2; exit 1")
    done = subprocess.run(
        [sys.executable, "-m", program, "--export", str(state)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=PROJECT, env=hostile.environment, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and b"Traceback" not in done.stdout
    lines = done.stdout.decode().splitlines()
    assert done.stdout.count(b"\n") == len(lines) and all(map(str.isprintable, lines))
    assert max(map(len, lines)) <= LONGEST_LINE + 10
    assert "not looked at" in done.stdout.decode()


HOSTILE_VALUES = (
    *("", "abc", "-1", "0", "9" * 5000, "0x10", "²", "b-1", WANTED, "{}", "\033[2J", "=", "|", "|" * 12, "a|b", ":"),
    *("1|missing", "x:y:z", "!" * 99, "x" * 10_000, "regular file|99999|a|1|b|2|3|4|5", "\u202e", "[" * 60_000),
    *('{"state": "proven"}', '{"state": "proven", "config_id": {"a": 1e999}}'),
    *(base64.b64encode(b).decode() for b in (b"[" * 60_000, b'{"provisioningBootID": [1]}', b"\xff\xfe", b"a\tb\0")),
)
NAMES = """
    boot_id stamp complete last_good rolled_back_from ignition_result os_version host_key pulls pull_report system
    failed_unit running_job staged last_good_content passed failed why path etc unit unit_file password keys passwd
    group up_seconds history config_url unwiped
"""


def answers(random_: random.Random) -> Finished:
    """What a hostile machine may answer, as it comes out of a session."""
    names = [random_.choice(NAMES.split()) for _ in range(random_.randrange(40))]
    lines = [f"{name}={random_.choice(HOSTILE_VALUES)}" for name in (*names, *random_.sample(NAMES.split(), 12))]
    lines += ["complete=1"] if random_.random() < 0.7 else []
    return Finished(code=0, lines=tuple(map(printable, lines)), stderr="")


def test_hostile_values_end_in_no_traceback() -> None:
    """2,000 answers to every reader: a value, or what says that it can't be read."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    checks = [HealthCheck(name=str(n), subject="true", seconds=1) for n in range(3)]
    for _ in range(2_000):
        finished = answers(random_)
        state = read_state(finished)
        if state is not None:
            missing_proof(state, WANTED, object_sha512="0" * 128, before=state, allow_degraded=True)
            assert all(len(text) <= 256 for text in (state.boot_id, state.stamp, state.os_version, state.system))
            read_report(state.pull_report)
        rollback.last_good(finished, ["a"])
        failed = health._failed(checks, finished)
        passed = {value for value in finished.values("passed") if value in ("0", "1", "2")}
        assert len(failed) >= len(checks) - len(passed), "what is not told to have passed has failed"
        with contextlib.suppress(ValueError):  # which the audit tells of its machine
            read_seen(finished)


def test_a_lying_machine_is_not_proven(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program against 30 random answers."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.05)
    for _ in range(30):
        hostile.does(f"start; cat {hostile.folder}/answer; exit {random_.choice((0, 0, 0, 1, 3, 126, 255))}")
        (hostile.folder / "answer").write_text("\n".join(answers(random_).lines))
        request = Request.from_json(hostile.document(timeout=0.3, rollback_after=1))
        with contextlib.suppress(NotProvenError):
            assert reprovision(request, Progress("web")).config_id == WANTED


class _Redirects(http.server.BaseHTTPRequestHandler):
    server: http.server.HTTPServer
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/private")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_health_check_follows_no_redirect() -> None:
    """It would lead this computer to its own services."""
    seen: list[str] = []
    handler = type("Handler", (_Redirects,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{{address}}:{server.server_address[1]}/"
        check = HealthCheck(name="it", subject=url, seconds=0, kind="http", vantage="operator")
        assert health._from_here(check, "127.0.0.1") == "status 302, wanted 200"
        server.shutdown()
    assert seen == ["/"]


def test_a_server_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "HTTP_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    connection.sendall(b"X: y\r\n")
                    time.sleep(0.2)

        threading.Thread(target=trickle, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        check = HealthCheck(name="it", subject=url, seconds=0, kind="http", vantage="operator")
        started = time.monotonic()
        assert health._from_here(check, "127.0.0.1") == "no whole answer within 0 s"
        assert time.monotonic() - started < 5


def test_only_what_was_proven_from_here_may_be_put_back() -> None:
    content = '{"ignition": {}}'

    sha512 = hashlib.sha512(content.encode()).hexdigest()
    told = ("last_good=" + WANTED, "last_good_content=" + base64.b64encode(content.encode()).decode())
    finished = Finished(code=0, lines=told, stderr="")
    known = rollback.last_good(finished, [sha512])
    assert known is not None and known.content == content
    unknown = rollback.last_good(finished, ["0" * 128])
    assert unknown is not None and (unknown.content, unknown.unknown) == ("", "it was never proven from here")
    first = rollback.last_good(finished, [])
    assert first is not None and not first.content and "no record" in first.unknown


def test_a_consoles_end_alone_is_read(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with log.open("wb") as file:
        file.truncate(8 << 30)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    console = waiting.Console(str(log))
    console._start = 0
    assert len(console._text()) == waiting.CONSOLE_BYTES
    assert console.tail()[-1] == "the end"
    assert max(map(len, console.tail())) <= 400
