"""What the operator's own commands say, and how they end."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import Any

import pytest

from components.commands.reprovision import service
from components.commands.reprovision.log import LEFT_OUT
from components.commands.reprovision.request import NotProvenError, Progress
from tests.support.requests import made_request


def drained(capfd: pytest.CaptureFixture[str], command: str, **others: Any) -> list[str]:
    request = made_request(drain=command, config_id="id", **{"timeout": 20, **others})
    service.drain(replace(request, target=replace(request.target, host="192.0.2.1")), Progress("web"))
    return capfd.readouterr().err.splitlines()[1:]


def test_its_lines_are_shown_and_know_the_machine(capfd: pytest.CaptureFixture[str]) -> None:
    assert drained(capfd, 'echo "$MACHINE $ADDRESS $CONFIG_ID"; echo wrong >&2') == ["web 192.0.2.1 id", "wrong"]


def test_a_line_without_end_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    (first, *_, last, mark) = drained(capfd, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end")
    assert first.startswith("xxx") and len(first) <= 1000
    assert (last, mark) == ("end", LEFT_OUT)


def test_a_progress_bar_is_shown_as_lines(capfd: pytest.CaptureFixture[str]) -> None:
    assert drained(capfd, "printf '10 %%\\r20 %%\\r\\ndone\\r\\n'") == ["10 %", "20 %", "done"]


def test_bytes_that_are_no_text_are_shown_as_such(capfd: pytest.CaptureFixture[str]) -> None:
    assert drained(capfd, "printf '\\377\\033[31mred\\n'") == ["\ufffd[31mred"]


def test_what_is_shown_has_an_end_and_the_command_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    lines = drained(capfd, "seq 100000; exit 0")
    assert lines[0] == "1" and lines[-6:] == [LEFT_OUT, "99996", "99997", "99998", "99999", "100000"]
    assert len("\n".join(lines)) < service.MOST_SHOWN + 100


def test_a_command_that_takes_too_long_is_ended(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotProvenError, match="no end within 1 s"):
        drained(capfd, "echo begun; exec sleep 600", timeout=1)
    assert "begun" in capfd.readouterr().err


def test_what_it_leaves_running_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    [left_running] = drained(capfd, "sleep 300 & echo $!")
    assert time.monotonic() - began < 60
    os.kill(int(left_running), signal.SIGTERM)
