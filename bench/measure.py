"""Measuring: processes by the kernel's own account of them, functions by the processor's clock, sides taken in turn."""

from __future__ import annotations

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
    alone (`watch`), `program_cpu` its part of `cpu`, and `engine` the part that the started process itself took,
    without those below it.
    """

    wall: float
    cpu: float
    peak: float = 0.0
    program: float = 0.0
    engine: float = 0.0
    program_cpu: float = 0.0


Side = Callable[[], Sample]


def process(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    watch: str = "",
) -> Sample:
    """Run a command to its end. `watch`: a word in the command line of the child whose peak memory becomes `program`.

    Raises BenchError when it ends with another code than 0.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        # as on any computer, the second run finds what the first has compiled
        clean = {name: value for name, value in (env or os.environ).items() if name != "PYTHONDONTWRITEBYTECODE"}
        start = time.perf_counter()
        running = subprocess.Popen(argv, cwd=cwd, env=clean, stdin=given, stdout=printed, stderr=subprocess.STDOUT)
        watcher = _Watcher(running.pid, watch) if watch else None
        _, status, used = os.wait4(running.pid, 0)
        wall = time.perf_counter() - start
        running.returncode = os.waitstatus_to_exitcode(status)
        program, engine, program_cpu = watcher.stop() if watcher else (0.0, 0.0, 0.0)
        if running.returncode:
            printed.seek(0)
            tail = printed.read().decode(errors="replace")[-4000:]
            raise BenchError(f"{' '.join(argv)}: exit code {running.returncode}\n{tail}")
    cpu = used.ru_utime + used.ru_stime
    peak = used.ru_maxrss / 1024
    return Sample(wall=wall, cpu=cpu, peak=peak, program=program, engine=engine, program_cpu=program_cpu)


class _Watcher:
    """Looks at a process's time, and a descendant's time and peak memory ten times a second; the kernel keeps them."""

    def __init__(self, pid: int, word: str) -> None:
        self._pid, self._word, self._peak, self._cpu, self._its_cpu = pid, word.encode(), 0.0, 0.0, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[float, float, float]:
        """The descendant's peak (MiB), the process's own time (s) and the descendant's, as last seen."""
        self._done.set()
        self._thread.join()
        return self._peak, self._cpu, self._its_cpu

    def _watch(self) -> None:
        found = 0
        while not self._done.wait(0.1):
            self._cpu = max(self._cpu, _time_of(self._pid))
            found = found or next((pid for pid in descendants(self._pid) if self._word in _command_line(pid)), 0)
            self._its_cpu = max(self._its_cpu, _time_of(found))
            try:
                status = Path(f"/proc/{found}/status").read_text() if found else ""
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self._peak = max(self._peak, int(line.split()[1]) / 1024)


def _time_of(pid: int) -> float:
    """Seconds, user and system; 0 for a process that is gone, or for none."""
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
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(word) for word in children.read_text().split()]
        except OSError:
            continue
        for child in direct:
            found += [child, *descendants(child)]
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
