"""Completion as it is typed: a shell at a terminal of its own, and the tab key."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from tests.conftest import missing
from toolchain.places import ROOT

TYPED = {
    "make ssh MACH": "make ssh MACHINE=",
    "make rollb": "make rollback ",
    "make ssh MACHINE=w": "make ssh MACHINE=web ",
    "make up STACK=pro": "make up STACK=production ",
    "make ssh STACK=production MACHINE=wor": "make ssh STACK=production MACHINE=worker-1 ",
    "python -m components.operate reprov": "python -m components.operate reprovision ",
    "python -m components.operate exec --stack production work": (
        "python -m components.operate exec --stack production worker-1 "
    ),
    "python -m components.operate ssh --stack pro": "python -m components.operate ssh --stack production ",
    "python -m http.serv": "python -m http.serv",
    "make -C too": "make -C toolchain/",
}
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i", "-o", "no_auto_remove_slash"],  # what is typed next takes the slash away otherwise
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes_targets_verbs_machines_and_stacks(shell: str) -> None:
    if shutil.which(shell) is None:
        missing(shell)
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - becomes another program
        os.chdir(ROOT)
        os.execvpe(SHELLS[shell][0], SHELLS[shell], {**os.environ, "TERM": "dumb", "PS1": "$ ", "COLUMNS": "200"})
    try:
        shown = _say(terminal, "source toolchain/completion.sh; echo ready\n", r"^ready$")
        assert "rror" not in shown, shown
        for typed, completed in TYPED.items():  # the shell itself prints what stands in its line then
            shown = _say(terminal, f"{typed}\t\x01echo '[\x05]'\n", r"^\[.*\]$")
            assert re.findall(r"^\[(.*)\]$", shown, re.MULTILINE) == [completed]
    finally:
        os.write(terminal, b"\x15exit\n")
        os.close(terminal)
        os.waitpid(pid, 0)


def _say(terminal: int, text: str, end: str) -> str:
    """What the terminal shows once `text` is typed, up to a line that `end` matches."""
    os.write(terminal, text.encode())
    shown, deadline = "", time.monotonic() + 20
    while not re.search(end, shown, re.MULTILINE) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 4096).decode().replace("\r\n", "\n")
    return shown


def test_every_verb_of_the_operators_is_offered() -> None:
    script = (ROOT / "toolchain/completion.sh").read_text()
    asked = subprocess.run(
        [sys.executable, "-m", "components.operate", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    verbs = re.findall(r"^    ([a-z]+)(?:  |$)", asked.stdout, re.MULTILINE)
    assert len(verbs) > 7
    assert f'_flatcar_offer "" {" ".join(verbs)}\n' in script
