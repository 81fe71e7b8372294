"""What an operator says to machines over SSH: shell text to several side by side, their journal, their history.

All that a machine answers is made printable, and a line has an end; a command's answer has one as well.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from components.commands.environment import for_child
from components.commands.reprovision.host_key import pin
from components.commands.reprovision.request import NotProvenError
from components.commands.reprovision.seen import history_line
from components.commands.ssh_session import UNREACHABLE, run_script
from components.commands.untrusted import LONGEST_LINE, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from components.audit.records import Record
    from components.commands.ssh_session import SshTarget

SIDE_BY_SIDE = 16
SILENCE_SECONDS = 30
SESSION_SECONDS = 60
MOST_BYTES = 16_777_216
"""Of what a command prints on one machine; of a journal that is followed there is no end."""
TOLD_TOO_MUCH = 256
"""No exit code: the machine sent more than `MOST_BYTES`."""


def target_of(record: Record, note: Callable[[str], None]) -> SshTarget:
    """The way to a machine, its host key pinned as it was at its last proof.

    A key file that lies on another computer is left out, with a note: ssh-agent and the user's own SSH configuration
    choose then. Raises `NotProvenError` when another host key is pinned here.
    """
    target = record.request.target
    Path(target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    pin(record.request, record.proven_host_keys)
    if target.identity_file and not Path(target.identity_file).is_file():
        note(f"{target.identity_file} is not on this computer: ssh-agent and your SSH configuration choose the key")
        return replace(target, identity_file="")
    return target


def run_on_all(records: Sequence[Record], command: str, say: Callable[[str, str, bool], None]) -> dict[str, int]:
    """Run shell text as the login user on machines side by side; the exit code on each.

    `say` gets a machine's name and a line of it as it comes, and whether that was said to stderr.
    """
    one_at_a_time = threading.Lock()

    def run(record: Record) -> int:
        def tell(line: str, is_error: bool) -> None:
            with one_at_a_time:
                say(record.name, line, is_error)

        try:
            target = target_of(record, lambda line: tell(line, True))
        except NotProvenError as error:
            tell(f"{error}: {error.advice}", True)
            return UNREACHABLE
        argv = target.run(command, root=False, silence_seconds=SILENCE_SECONDS)
        code = stream(argv, tell, most=MOST_BYTES)
        if code:
            tell(_why(code), True)
        return code

    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        return dict(zip([record.name for record in records], pool.map(run, records), strict=True))


def _why(code: int) -> str:
    if code == TOLD_TOO_MUCH:
        return f"failed: it sent more than {MOST_BYTES // 1_048_576} MiB, and was ended"
    return "failed: no session, or an end of it" if code == UNREACHABLE else f"failed with exit code {code}"


def follow_journal(record: Record, arguments: Sequence[str], say: Callable[[str, bool], None]) -> int:
    """`journalctl` with these arguments, as root; its exit code. Raises `NotProvenError` for another host key."""
    target = target_of(record, lambda line: say(line, True))
    command = shlex.join(["journalctl", "--no-pager", *arguments])
    return stream(target.run(command, root=True, silence_seconds=SILENCE_SECONDS), say, most=None)


def read_history(record: Record, note: Callable[[str], None]) -> list[str]:
    """The steps of a machine's re-runs, the last 200. Raises `NotProvenError` when they can't be read."""
    finished = run_script(
        target_of(record, note), ("staging.sh", "history.sh"), {}, timeout=SESSION_SECONDS, on_error_line=note
    )
    if finished.code:
        said = finished.stderr.strip().splitlines() if not finished.began else []
        raise NotProvenError(
            f"its history can't be read: {shortened(said[-1], 400) if said else f'exit code {finished.code}'}",
            f"see whether it is on, and whether you can log in: make ssh MACHINE={record.name}",
        )
    return [history_line(line) for line in finished.values("history")]


def stream(argv: Sequence[str], say: Callable[[str, bool], None], *, most: int | None) -> int:
    """Run a client and tell its lines as they come; its exit code, or `TOLD_TOO_MUCH` after `most` bytes."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=for_child()
    ) as client:
        left, is_ended = [most], threading.Event()

        def read(pipe: IO[bytes], is_error: bool) -> None:
            for size, line in lines_of(pipe):
                if left[0] is not None:
                    left[0] -= size
                    if left[0] < 0:
                        is_ended.set()
                        client.kill()
                        return
                if line is not None:
                    say(line, is_error)

        stdout, stderr = (cast("IO[bytes]", pipe) for pipe in (client.stdout, client.stderr))
        errors = threading.Thread(target=read, args=(stderr, True), daemon=True)
        errors.start()
        try:
            read(stdout, False)
            errors.join()
            client.wait()
        finally:
            client.kill()
    return TOLD_TOO_MUCH if is_ended.is_set() else client.returncode


def lines_of(pipe: IO[bytes]) -> Iterator[tuple[int, str | None]]:
    """What comes out of a pipe: bytes read, and a line that can be shown, None for the rest of a long one."""
    is_rest = False
    while raw := pipe.readline(4 * LONGEST_LINE + 4):
        line = shortened(printable(raw.decode("utf-8", "replace").rstrip("\r\n")))
        yield len(raw), None if is_rest else line
        is_rest = not raw.endswith(b"\n")
