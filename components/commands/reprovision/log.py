"""All that was said in a run, in a file on the operator's computer. Standard library only.

Pulumi keeps what a Command says, and hands it to the next run in its environment: that has to be short (`request`).
What a drain command or a machine said beyond that is found here, below $PULUMI_HOME, and so is the run before this one.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

from components.commands.environment import own_folder

MOST = 8_388_608
"""Bytes in one file: a machine, and a command in front of it, may talk without end."""
LEFT_OUT = "… more was left out"


class Log:
    """The file of one machine, named as `owner` (ORGANIZATION/PROJECT/STACK/MACHINE); made with its first line.

    It is readable for this user alone: what was said may be secret. Where it can't be written, `left_out` says why, and
    the run goes on. Without an owner there is no file.
    """

    def __init__(self, owner: str = "") -> None:
        self._name = re.sub(r"[^A-Za-z0-9._-]+", ".", owner)
        self._file = -1
        self._left = MOST
        self.left_out = LEFT_OUT
        """What is said in the place of lines that are in the file alone."""
        self.path = ""
        """The file, "" while there is none."""

    def add(self, line: str) -> None:
        """A printable line, unless the file is full."""
        if not self._name or self._left < 0 or (self._file < 0 and not self._open()):
            return
        data = line.encode() + b"\n"
        self._left -= len(data)
        try:
            os.write(self._file, data if self._left >= 0 else f"{LEFT_OUT}\n".encode())
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _open(self) -> bool:
        try:
            path = own_folder() / "logs" / f"{self._name}.log"
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists():
                path.replace(path.with_name(f"{path.name}.1"))
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows this user's home
            self._give_up(str(error))
            return False
        self.left_out = f"{LEFT_OUT}: see {path}"
        self.path = str(path)
        self.add(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        return True

    def _give_up(self, why: str) -> None:
        self._left = -1
        self.left_out = f"{LEFT_OUT}, and could not be written down: {why}"
