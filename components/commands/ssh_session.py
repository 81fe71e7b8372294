"""Short sessions with OpenSSH's client: a script goes in over stdin, lines come back. Standard library only.

May be imported by the programs beside it. A machine that is going down or coming up answers slowly, half or not at
all, so every call has an end: dead connections are noticed by keep-alives, and a deadline kills the client.
Nothing secret is in the client's arguments; values reach the script quoted, in front of its text. What a login shell or
sudo prints before the script is told from the script's own lines. What a machine sends is made printable here, line by
line, and has an end: the client of one that goes on and on is killed.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import selectors
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast

from components.commands.environment import for_child
from components.commands.untrusted import LONGEST_LINE, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
LONGEST_SOCKET_FOLDER = 70  # a socket's path has 104 bytes at most, and OpenSSH adds to it
UNREACHABLE = 255  # the exit code of OpenSSH's client for anything that isn't the remote command's own
TALKED_TOO_MUCH = 256  # no exit code: the machine sent more than it may
MOST_BYTES = 262_144  # from a machine in one session, on stdout where the caller does not allow more, and on stderr
LINGER_SECONDS = 2.0
_CHUNK = 65_536
CUT_SECONDS = 90.0  # the network may be cut for so long at any moment
PAUSE_SECONDS = 1.0
_START = "--- the script starts ---"


class Connection:
    """One connection that short sessions share, so that each does not pay for the key exchange again.

    OpenSSH's ControlMaster in a folder of this program's own; without `share` each session connects for itself. A
    connection does not outlive a reboot: `renew` before looking whether a machine is back.
    """

    def __init__(self) -> None:
        self._folder = ""
        self._number = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[None]:
        """Share while the block lasts."""
        with tempfile.TemporaryDirectory(prefix="ssh-", ignore_cleanup_errors=True) as folder:
            self._folder = folder if len(folder) < LONGEST_SOCKET_FOLDER else ""
            try:
                yield
            finally:
                self._folder = ""

    def renew(self) -> None:
        """The next session connects anew; those after it share that connection."""
        self._number += 1

    def options(self) -> dict[str, str]:
        """For the client's command line."""
        if not self._folder:
            return {"ControlMaster": "no", "ControlPath": "none"}
        return {"ControlMaster": "auto", "ControlPath": f"{self._folder}/{self._number}", "ControlPersist": "5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """Where and how to log in.

    `identity_file` "" means the agent and the client's own defaults; `jump_host` is `[user@]host[:port]` or "", and is
    reached by the user's own SSH configuration and known_hosts. `known_hosts` is a file of this machine's own, in which
    `host_key_alias` names it: the first connection pins the key, a changed key is refused.
    """

    host: str
    port: int
    user: str
    known_hosts: str
    host_key_alias: str
    identity_file: str = ""
    jump_host: str = ""
    connection: Connection = field(default_factory=Connection, compare=False)

    def pinned(self) -> set[str]:
        """The keys that are pinned for the machine, as `TYPE BASE64`."""
        try:
            lines = [line.split() for line in Path(self.known_hosts).read_text(encoding="utf-8").splitlines()]
        except OSError:
            return set()
        return {" ".join(words[1:3]) for words in lines if words[:1] == [self.host_key_alias]}

    def command(self, *, root: bool) -> list[str]:
        """The client's arguments to run a script from stdin: as root (sudo without a password), or as the user."""
        return self.run("bash -s", root=root, silence_seconds=4)

    def run(self, command: str, *, root: bool, silence_seconds: int) -> list[str]:
        """The client's arguments to run shell text without a terminal and without a question.

        The client gives a machine up that is silent for `silence_seconds`.
        """
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",  # covers the key exchange, which takes seconds on an emulated machine
            "ConnectionAttempts": "1",
            "ServerAliveInterval": str(silence_seconds // 2),
            "ServerAliveCountMax": "2",
            **self._pinned(unknown="accept-new"),
            **self.connection.options(),
            # what the user's own configuration may ask for in a login by hand
            "ClearAllForwardings": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "LogLevel": "INFO",  # with ERROR it says nothing of ciphers that don't fit
        }
        if self.jump_host:
            options["ProxyCommand"] = shlex.join(self.through_jump_host("%h", "%p"))
        words = command if not root or self.user == "root" else f"sudo -n {command}"
        return ["ssh", "-T", *_flags(options), *self._where(), words]

    def login(self, arguments: Sequence[str] = ()) -> list[str]:
        """The client's arguments for a person at a terminal, with more `arguments` for the client.

        All but the machine's address, login and host key is left to the user's own configuration. A host key that
        nothing has told is asked about.
        """
        options = {**self._pinned(unknown="ask"), **({"ProxyJump": self.jump_host} if self.jump_host else {})}
        return ["ssh", *_flags(options), *arguments, *self._where()]

    def _pinned(self, *, unknown: str) -> dict[str, str]:
        """Options for the machine's own host key, and the login's; `unknown`: what to do when none is pinned."""
        options = {
            # a key of another type than the pinned one's would be a new one
            "StrictHostKeyChecking": "yes" if self.pinned() else unknown,
            "UserKnownHostsFile": _file_option(self.known_hosts),
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": self.host_key_alias,
            "CheckHostIP": "no",
            "HashKnownHosts": "no",
            "UpdateHostKeys": "no",
        }
        if self.identity_file:
            options |= {"IdentityFile": _file_option(self.identity_file), "IdentitiesOnly": "yes"}
        return options

    def _where(self) -> list[str]:
        return ["-p", str(self.port), "-l", self.user, "--", self.host]

    def through_jump_host(self, host: str, port: str) -> list[str]:
        """What ProxyJump runs; that itself would ask the terminal about an unknown key or for a password, and wait."""
        name, _, its_port = self.jump_host.partition(":")
        words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"]
        words += ["-p", its_port] if its_port else []
        return [*words, "-W", f"[{host}]:{port}", "--", name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a script left behind, printable. `code` is `UNREACHABLE` for a lost or refused connection.

    `began` says whether the script was started: before it, the client, the login shell and sudo have their say.
    `client` is what OpenSSH's client itself said last, as far as it is known from the others' words.
    """

    code: int
    lines: tuple[str, ...]
    stderr: str
    began: bool = True
    client: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        """All values of the NAME=VALUE lines called `name`, in order."""
        return tuple(line.partition("=")[2] for line in self.lines if line.startswith(name + "="))

    def value(self, name: str) -> str:
        """The first value called `name`, or ""."""
        return next(iter(self.values(name)), "")


class Doorbell:
    """Waits for the greeting of an SSH server, cheaply for both sides, however slow or half awake that server is.

    Attempts overlap. Each gets `PATIENCE` seconds, as a busy emulated machine needs seconds for its greeting; the next
    one starts soon, as one from before a boot may never be answered (a forwarded port accepts connections while the
    machine behind it is down). Never more than `AT_ONCE`: a slow machine must not drown in greetings nobody waits for.
    """

    INTERVAL = 0.5
    PATIENCE = 10.0
    AT_ONCE = 4

    def __init__(self, target: SshTarget) -> None:
        self._target = target
        self._waiting: dict[socket.socket, float] = {}
        self._last = -math.inf
        self.trouble = ""
        """Why the last attempt did not get to a connection; "" when it did."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget(before=math.inf)

    def answered(self, seconds: float) -> bool:
        """Whether a server greets within `seconds`; True without a look when there is a jump host."""
        if self._target.jump_host:
            return True
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            self._forget(before=now - self.PATIENCE)
            if now - self._last >= self.INTERVAL and len(self._waiting) < self.AT_ONCE:
                self._last = now
                self._ring(now)
            readable, _, _ = select.select(list(self._waiting), [], [], min(0.1, max(0.0, deadline - now)))
            if [connection for connection in readable if self._greets(connection)]:
                self._forget(before=math.inf)
                return True
        return False

    def start_over(self) -> None:
        """Give up the attempts under way: there is reason to believe that a new one is answered sooner."""
        self._forget(before=math.inf)
        self._last = -math.inf

    def _ring(self, now: float) -> None:
        try:
            connection = socket.create_connection((self._target.host, self._target.port), timeout=1)
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return
        self.trouble = ""
        self._waiting[connection] = now

    def _greets(self, connection: socket.socket) -> bool:
        del self._waiting[connection]
        with connection, contextlib.suppress(OSError):
            return connection.recv(4).startswith(b"SSH-")
        return False

    def _forget(self, *, before: float) -> None:
        for connection in [connection for connection, since in self._waiting.items() if since < before]:
            connection.close()
            del self._waiting[connection]


def answers(target: SshTarget, *, timeout: float = Doorbell.PATIENCE) -> bool:
    """Whether an SSH server greets at the target's port within `timeout` seconds; see `Doorbell`."""
    with Doorbell(target) as door:
        return door.answered(timeout)


def accepted_keys(target: SshTarget) -> set[str]:
    """The fingerprints (`SHA256:…`) of the keys with which the machine lets this computer log in; none where the client
    does not tell. It connects for that."""
    ssh, *words = replace(target, connection=Connection()).run("true", root=False, silence_seconds=4)
    with subprocess.Popen(
        [ssh, "-v", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=for_child(),
    ) as client:
        too_long = threading.Timer(30, client.kill)
        too_long.start()
        told = cast("IO[bytes]", client.stderr).read(MOST_BYTES).decode("utf-8", "replace")
        client.kill()  # it may have more to tell, which nobody reads
        too_long.cancel()
    return set(re.findall(r"^debug1: Server accepts key: .* (SHA256:\S+)", told, re.MULTILINE))


def jump_host_trouble(target: SshTarget) -> str:
    """What the client says that does not get through the jump host; "" when a server greets behind it.

    A connection that is shared (`Connection`) keeps it to itself.
    """
    with subprocess.Popen(
        target.through_jump_host(target.host, str(target.port)),
        stdin=subprocess.PIPE,  # open, or it would end before the greeting
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=for_child(),
    ) as client:
        stdout, stderr = (cast("IO[bytes]", stream) for stream in (client.stdout, client.stderr))
        # what is there, and no more: a connection that the user's configuration shares may hold the pipes for long
        select.select([stdout], [], [], Doorbell.PATIENCE * 2)
        client.kill()
        if select.select([stdout], [], [], 0)[0] and os.read(stdout.fileno(), 4) == b"SSH-":
            return ""
        said = os.read(stderr.fileno(), 4096) if select.select([stderr], [], [], 1)[0] else b""
    lines = [printable(line) for line in said.decode("utf-8", "replace").strip().splitlines()]
    return shortened(lines[0], 400) if lines else "it does not answer"


def script_text(*names: str) -> str:
    """The text of the files of these names under `components/scripts`, one after the other.

    Without lines that hold a comment alone, or nothing: machines get these texts in their configs, and Pulumi's state
    has those several times.
    """
    lines = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in names).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and (line.startswith("#!") or line.lstrip()[0] != "#"))


def run_script(
    target: SshTarget,
    script: str | Sequence[str],
    values: Mapping[str, str | Sequence[str]],
    *,
    timeout: float,
    root: bool = True,
    most: int = MOST_BYTES,
    most_errors: int = MOST_BYTES,
    on_error_line: Callable[[str], None] | None = None,
) -> Finished:
    """Run `components/scripts/<script>` (several: as one text, one after the other) on the target.

    They get `values` as shell variables (sequences become arrays).

    `on_error_line` gets each line of the script's stderr as it comes. After `timeout` seconds the client is killed and
    the result is `UNREACHABLE`. So it is when a machine sends more than `most` bytes on stdout, or `most_errors`
    on stderr: then the result is `TALKED_TOO_MUCH` and has no lines. Raises FileNotFoundError when there is no `ssh`.
    """
    text = f"echo {shlex.quote(_START)}\necho {shlex.quote(_START)} >&2\n"
    text += "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())
    text += script_text(*([script] if isinstance(script, str) else script))
    out = _Stream(most=most, longest=most)
    err = _Stream(most=most_errors, longest=LONGEST_LINE, take=on_error_line)
    with subprocess.Popen(
        target.command(root=root),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**for_child(), "LC_ALL": "C"},  # which the client may pass on: what sudo says has to be understood
    ) as client:
        try:
            in_time = _converse(client, text.encode(), out, err, deadline=time.monotonic() + timeout)
        finally:
            client.kill()
    if out.is_full or err.is_full:
        why = (
            "the machine sent more than it may, its session was ended: its login shell or a script of it may be broken"
        )
        if on_error_line is not None:
            on_error_line(why)
        return Finished(code=TALKED_TOO_MUCH, lines=(), stderr=why, began=out.began)
    code = client.returncode if in_time else UNREACHABLE
    stderr = "\n".join(err.lines if err.began else err.before)
    return Finished(code=code, lines=tuple(out.lines), stderr=stderr, began=out.began, client=err.client)


class _Stream:
    """What comes out of one of the client's pipes: lines that can be shown, `before` the script's start and since.

    No more than `most` bytes in all, and `longest` in a line: the rest of such a line is left out.
    """

    def __init__(self, *, most: int, longest: int, take: Callable[[str], None] | None = None) -> None:
        self._left, self._longest, self._take = most, longest, take
        self._rest = bytearray()
        self.before: list[str] = []
        self.lines: list[str] = []
        self.client = ""
        self.began = False

    @property
    def is_full(self) -> bool:
        """Whether more came than may come."""
        return self._left < 0

    def feed(self, data: bytes) -> None:
        """Take what was read; nothing is the end."""
        self._left -= len(data)
        if self.is_full:
            return
        first, *others = data.split(b"\n")
        self._add(first)
        for part in others:
            self._end_line()
            self._add(part)
        if not data and self._rest:
            self._end_line()

    def _add(self, part: bytes) -> None:
        self._rest += part[: max(0, self._longest + 1 - len(self._rest))]

    def _end_line(self) -> None:
        is_clients = self._rest.endswith(b"\r")  # its log ends lines so; a session without a terminal ends none so
        line = printable(self._rest.decode("utf-8", "replace").rstrip("\r"))
        self._rest.clear()
        if is_clients and not line.startswith(("Warning: Permanently added ", "Disconnected from ")):
            self.client = line
        if self.began:
            line = shortened(line, self._longest)
            self.lines.append(line)
            if self._take is not None:
                self._take(line)
        elif line.endswith(_START):
            self.began = True
        elif not line.startswith("Warning: Permanently added "):
            self.before.append(line)


def _converse(client: subprocess.Popen[bytes], text: bytes, out: _Stream, err: _Stream, *, deadline: float) -> bool:
    """Send `text` and read until the client has ended or a stream is full; False when it is not before the deadline."""
    stdin, stdout, stderr = (cast("IO[bytes]", pipe) for pipe in (client.stdin, client.stdout, client.stderr))
    left, reading = memoryview(text), 2
    ended: float | None = None
    os.set_blocking(stdin.fileno(), False)  # a machine that reads nothing must not hold this program
    with selectors.DefaultSelector() as ready:
        ready.register(stdin, selectors.EVENT_WRITE)
        ready.register(stdout, selectors.EVENT_READ, out)
        ready.register(stderr, selectors.EVENT_READ, err)
        while reading and not (out.is_full or err.is_full):
            now = time.monotonic()
            ended = now if ended is None and client.poll() is not None else ended
            if now >= deadline:
                return client.poll() is not None
            if ended is not None and now > ended + LINGER_SECONDS:
                break  # something that it has started holds its pipes
            for key, _ in ready.select(min(0.25, deadline - now)):
                if key.fileobj is stdin:
                    left = _send(key.fd, left)
                    if not left:
                        ready.unregister(stdin)
                        stdin.close()
                    continue
                data = os.read(key.fd, _CHUNK)
                key.data.feed(data)
                if not data:
                    ready.unregister(key.fileobj)
                    reading -= 1
    out.feed(b"")
    err.feed(b"")
    if out.is_full or err.is_full:
        return True
    try:
        client.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _send(descriptor: int, left: memoryview) -> memoryview:
    """What is left to send after as much as the pipe takes now; nothing when the client has ended."""
    try:
        return left[os.write(descriptor, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]  # its exit code says why


def run_again_and_again(
    target: SshTarget,
    script: str | Sequence[str],
    values: Mapping[str, str | Sequence[str]],
    *,
    timeout: float,
    patience: float,
    root: bool = True,
    on_error_line: Callable[[str], None] | None = None,
    on_break: Callable[[], None] = lambda: None,
) -> Finished:
    """`run_script` for a script that may be repeated: a lost connection is tried anew for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        finished = run_script(target, script, values, timeout=timeout, root=root, on_error_line=on_error_line)
        if finished.code != UNREACHABLE or time.monotonic() > deadline:
            return finished
        on_break()
        target.connection.renew()
        answers(target, timeout=max(0.0, deadline - time.monotonic()))
        time.sleep(PAUSE_SECONDS)


def _flags(options: Mapping[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _file_option(path: str) -> str:
    """A file's name in an option's value, where '%' starts a token."""
    return '"' + path.replace("%", "%%") + '"'


def _quoted(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return shlex.quote(value)
    return "(" + " ".join(shlex.quote(item) for item in value) + ")"
