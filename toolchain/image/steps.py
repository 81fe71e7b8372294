"""Long steps of a build: a line when one starts and ends, its output in a log, the log's tail when it fails."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolchain.image.description import ImageError

TAIL_LINES = 25


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say that `what` starts, and how long it took."""
    print(f"image: {what} …", flush=True)
    start = time.monotonic()
    yield
    print(f"image: {what}: {time.monotonic() - start:.0f} s", flush=True)


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run `command` at low priority with all output appended to `log`.

    Raises ImageError, with the tail of the log, when it fails or its program is missing.
    """
    arguments = ["nice", *map(str, command)]
    with log.open("ab") as output:
        start = output.tell()
        output.write(f"+ {' '.join(arguments)}\n".encode())
        output.flush()
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
        )
    if done.returncode != 0:
        with log.open("rb") as output:
            output.seek(start)
            tail = output.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        text = "\n".join(f"    {line}" for line in tail)
        raise ImageError(
            f"{Path(command[0]).name} failed with exit code {done.returncode}:\n{text}\n  the whole output: {log}"
        )
