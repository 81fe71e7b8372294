"""Measuring: processes by the kernel's own account of them, functions by the processor's clock, sides taken in turn."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


class BenchError(Exception):
    """What is measured did not work: `str()` says which command, and what it printed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: `wall` and `cpu` (user and system, of all its processes) in seconds, `peak` memory in MiB.

    `peak` is the largest single process's; 0 where it was not asked for. `program` is the same for the Pulumi program
    alone (`watch`), `program_cpu` its part of `cpu`; `plugin` and `plugin_cpu` are those of another one. `engine` is
    the part of `cpu` that the started process itself took, without those below it, and `engine_peak` its memory.
    """

    wall: float
    cpu: float
    peak: float = 0.0
    program: float = 0.0
    engine: float = 0.0
    program_cpu: float = 0.0
    engine_peak: float = 0.0
    plugin: float = 0.0
    plugin_cpu: float = 0.0


Side = Callable[[], Sample]


def process(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    watch: str = "",
    plugin: str = "",
) -> Sample:
    """Run a command to its end.

    `watch` is a word in the command line of the child whose peak memory becomes `program`, `plugin` one in that of
    another. Raises BenchError when it ends with another code than 0.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        # as on any computer, the second run finds what the first has compiled
        clean = {name: value for name, value in (env or os.environ).items() if name != "PYTHONDONTWRITEBYTECODE"}
        start = time.perf_counter()
        running = subprocess.Popen(argv, cwd=cwd, env=clean, stdin=given, stdout=printed, stderr=subprocess.STDOUT)
        watcher = _Watcher(running.pid, [word for word in (watch, plugin) if word]) if watch else None
        _, status, used = os.wait4(running.pid, 0)
        wall = time.perf_counter() - start
        running.returncode = os.waitstatus_to_exitcode(status)
        engine, program, other, *_ = [*(watcher.stop() if watcher else []), *[_Seen()] * 3]
        if running.returncode:
            printed.seek(0)
            tail = printed.read().decode(errors="replace")[-4000:]
            raise BenchError(f"{' '.join(argv)}: exit code {running.returncode}\n{tail}")
    cpu = used.ru_utime + used.ru_stime
    peak = used.ru_maxrss / 1024
    return Sample(
        wall=wall,
        cpu=cpu,
        peak=peak,
        program=program.peak,
        engine=engine.cpu,
        program_cpu=program.cpu,
        engine_peak=engine.peak,
        plugin=other.peak,
        plugin_cpu=other.cpu,
    )


@dataclass(slots=True)
class _Seen:
    """What was last seen of a process: its time (s) and peak memory (MiB). The kernel keeps both while it runs."""

    cpu: float = 0.0
    peak: float = 0.0


class _Watcher:
    """Looks ten times a second at a process, and at the first descendant with each of some words."""

    def __init__(self, pid: int, words: Sequence[str]) -> None:
        self._pids = {"": pid}
        self._seen = {word: _Seen() for word in ("", *words)}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> list[_Seen]:
        """The process, and the descendants in the words' order."""
        self._done.set()
        self._thread.join()
        return list(self._seen.values())

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            if missing := [word for word in self._seen if word not in self._pids]:
                lines = {pid: _command_line(pid) for pid in descendants(self._pids[""])}
                found = [(word, pid) for word in missing for pid, line in lines.items() if word.encode() in line]
                self._pids |= dict(reversed(found))
            for word, pid in self._pids.items():
                seen = self._seen[word]
                seen.cpu, seen.peak = max(seen.cpu, _time_of(pid)), max(seen.peak, _peak_of(pid))


def _peak_of(pid: int) -> float:
    """MiB; 0 for a process that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


def _time_of(pid: int) -> float:
    """Seconds, user and system; 0 for a process that is gone."""
    try:
        # the second field, the program's name in parentheses, may hold blanks
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def descendants(pid: int) -> list[int]:
    """All processes below one, as they are now."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it is gone
        for thread in os.listdir(f"/proc/{pid}/task"):
            for word in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                found += [int(word), *descendants(int(word))]
    return found


def calls(function: Callable[[], object], number: int) -> Sample:
    """Call a function `number` times; the sample is that of one call."""
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(number):
        function()
    return Sample(wall=(time.perf_counter() - start) / number, cpu=(time.process_time() - cpu) / number)


def in_turn(sides: Mapping[str, Side], rounds: int, *, warmup: int = 1) -> dict[str, list[Sample]]:
    """Run the sides A B A B …, so that a change of the machine's speed hits all alike; the first rounds are dropped."""
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for number in range(-warmup, rounds):
        for name, side in sides.items():
            sample = side()
            if number >= 0:
                samples[name].append(sample)
    return samples


def median(samples: Sequence[Sample], figure: str = "wall") -> float:
    """The median of one figure."""
    return float(statistics.median(getattr(sample, figure) for sample in samples))


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], figure: str = "wall") -> float:
    """The median of the ratios pair by pair."""
    pairs = [(getattr(a, figure), getattr(b, figure)) for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(a / b for a, b in pairs if b) if any(b for _, b in pairs) else float("nan")


def raw(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[dict[str, float]]]:
    """The samples as plain data."""
    return {
        name: [{key: round(value, 5) for key, value in asdict(sample).items()} for sample in side]
        for name, side in samples.items()
    }
