"""Showing what set-up does: one line when a long step starts, one when it ends, its log on failure."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolchain.places import LOGS, STAMPS, TOOLCHAIN, VENV

TICK = 20.0  # seconds between two signs of life of a long step
TAIL = 15  # lines of a log that a failure shows


class SetupError(Exception):
    """Set-up can't go on: what is wrong, and in `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@contextlib.contextmanager
def alone(lock_file: str = "lock") -> Iterator[None]:
    """One set-up at a time, or one for each lock file: a second one waits (several checkouts may share a toolchain)."""
    TOOLCHAIN.mkdir(parents=True, exist_ok=True)
    with (TOOLCHAIN / lock_file).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"… waiting for another set-up in {TOOLCHAIN}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold() -> None:
    """From now on something runs with .venv: this process, until it and all that it has started have ended.

    A shared lock on the folder, as a program of Pulumi has it too (`components.sdk`); whoever changes the folder
    (`bootstrap`) has to have it alone, and is waited for.
    """
    folder = os.open(VENV, os.O_RDONLY)
    os.set_inheritable(folder, True)
    fcntl.flock(folder, fcntl.LOCK_SH)


def not_in_use(what: str) -> None:
    """Raise SetupError when a running `pulumi` of this checkout uses what is to be changed."""
    if not VENV.is_dir():
        return
    folder = os.open(VENV, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(f"{what}, and a running `pulumi` uses it", "run this again when that has ended") from None
    finally:
        os.close(folder)


def say(line: str) -> None:
    """Print a line for the user; stdout belongs to what programs read (`make env`)."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step, give a sign of life while it takes long, and say how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            say(f"  … still at it, {time.monotonic() - started:.0f} s")

    say(f"… {name}")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    say(f"✓ {name}, {time.monotonic() - started:.0f} s")


def run(
    argv: Sequence[str | Path],
    *,
    log: str,
    failure: str,
    hint: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a program with its output in `.toolchain/log/LOG.log`.

    Raises SetupError with `failure`, the log's last lines and `hint` when it fails, is not there
    or takes more than `timeout` seconds.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with path.open("wb") as stream:
        try:
            code = subprocess.run(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise SetupError(f"{failure}: no end after {timeout:.0f} s; log: {path}", hint) from None
        except OSError as error:
            raise SetupError(f"{failure}: {error.filename}: {error.strerror}", hint) from None
    if code:
        tail = path.read_text(errors="replace").splitlines()[-TAIL:]
        lines = "\n".join(f"  | {line}" for line in tail)
        raise SetupError(f"{failure} (exit {code}); the end of {path}:\n{lines}", hint)


def digest(*parts: str | Path) -> str:
    """SHA-256 hex of texts and of the names and contents of files and folders."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part)}\n{part}".encode())
            continue
        files = sorted(part.rglob("*")) if part.is_dir() else [part]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                total.update(f"file {file.relative_to(part.parent)} {len(content)}\n".encode())
                total.update(content)
    return total.hexdigest()


def is_made(name: str, wanted: str) -> bool:
    """Whether the stamp NAME says that something was made from `wanted`, a digest."""
    stamp = STAMPS / name
    return stamp.is_file() and stamp.read_text() == wanted


def made(name: str, wanted: str) -> None:
    """Note that something was made from `wanted`."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / name).write_text(wanted)
