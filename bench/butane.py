"""How long a Butane config takes, beside one process of the original: `python -m bench.butane`.

Needs Go the first time, to build butane from its module.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable

from cl.transpiler import transpile
from toolchain import oracles

RUNS = 100
UNIT = """\
    - name: app{0}.service
      enabled: true
      contents: |
        [Unit]
        Description=app {0}
        After=network-online.target
        [Service]
        ExecStart=/usr/bin/docker run --name app{0} image:{0}
        Restart=always
        [Install]
        WantedBy=multi-user.target
"""
FILE = """\
    - path: /etc/app/config{0}.yaml
      mode: 0644
      overwrite: true
      contents:
        inline: |
          name: ${{name}}
          port: 80{0}
          path: /srv/{0}
          users: [a, b, c]
          text: some more text that is long enough to be like real ones
"""
CONFIG = (
    "variant: flatcar\nversion: 1.0.0\npasswd:\n  users:\n    - name: core\n"
    "      ssh_authorized_keys:\n        - ssh-ed25519 AAAA core@example\n      groups: [docker, wheel]\n"
    "systemd:\n  units:\n"
    + "".join(UNIT.format(number) for number in range(5))
    + "storage:\n  files:\n"
    + "".join(FILE.format(number) for number in range(8))
)


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended: other work on the computer doesn't count."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def milliseconds(call: Callable[[], object]) -> float:
    """CPU time, the median of many runs."""
    times = []
    for _ in range(RUNS):
        start = cpu_seconds()
        call()
        times.append(cpu_seconds() - start)
    return statistics.median(times) * 1000


def main() -> None:
    """Print the figures."""
    butane = oracles.ensure("butane", "github.com/coreos/butane/internal", "butane")
    transpile(CONFIG, variables={"name": "x"}).unwrap()
    ours = milliseconds(lambda: transpile(CONFIG, variables={"name": "x"}))
    theirs = milliseconds(lambda: subprocess.run([butane], input=CONFIG.encode(), capture_output=True, check=True))
    start = cpu_seconds()
    for number in range(1000):
        transpile(CONFIG, variables={"name": f"web-{number}"})
    machines = cpu_seconds() - start
    lines = CONFIG.count("\n")
    print(
        f"{lines} lines: {ours:.2f} ms in process, {theirs:.2f} ms for one butane process (CPU time, medians of {RUNS})"
    )
    print(f"1,000 machines from one template: {machines:.2f} s")


if __name__ == "__main__":
    main()
