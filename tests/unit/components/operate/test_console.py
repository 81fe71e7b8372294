"""Following a console that somebody writes, who may write anything."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from components.commands.qemu.state import SUPERVISOR_PID, hold
from components.operate.console import TAIL_BYTES, follow_console
from loopback.machine import wait_until


def test_what_comes_is_told_printable_until_the_machine_is_off(tmp_path: Path) -> None:
    console, said = tmp_path / "console.log", list[str]()
    console.write_bytes(b"first\r\nhalf")
    power = hold(tmp_path / SUPERVISOR_PID)
    follower = threading.Thread(target=follow_console, args=(console, said.append))
    follower.start()
    wait_until(lambda: said == ["first"])
    with console.open("ab") as file:
        file.write(b" a line\n\x1b]0;title\x07\xff\n")
    wait_until(lambda: said[1:] == ["half a line", "]0;title\ufffd"])
    console.write_bytes(b"new\n")
    wait_until(lambda: said[3:] == ["new"])
    assert follower.is_alive()
    os.close(power)
    follower.join(10)
    assert not follower.is_alive()


def test_of_a_long_console_the_end_is_told_in_whole_lines_that_have_an_end(tmp_path: Path) -> None:
    console, said = tmp_path / "console.log", list[str]()
    console.write_bytes(b"cut " * TAIL_BYTES + b"\n" + b"x" * 9000 + b"\nlast")
    follow_console(console, said.append)
    assert [len(line) for line in said] == [4096, 4]
    assert said[-1] == "last"
