"""How long a Container Linux Config of 150 lines takes here, and how long a process of the original ct.

python -m bench.clc        builds ct from its Go module first, when it isn't there
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cl.transpiler import transpile
from toolchain import oracles
from toolchain.steps import SetupError

RUNS = 200
FILE = """\
    - path: /etc/app/{n}.conf
      filesystem: root
      mode: 0644
      user: {{id: 500}}
      contents:
        inline: |
          key{n}=value
          other=thing
          more text here
"""
UNIT = """\
    - name: app{n}.service
      enabled: true
      contents: |
        [Unit]
        Description=App {n}
        After=network.target

        [Service]
        ExecStart=/usr/bin/app --flag {n}

        [Install]
        WantedBy=multi-user.target
"""
REST = """\
passwd:
  users:
    - name: core
      ssh_authorized_keys: [ssh-ed25519 AAAA core@example]
etcd:
  version: 3.5.0
  name: "{HOSTNAME}"
  listen_client_urls: http://0.0.0.0:2379
update:
  group: stable
locksmith:
  reboot_strategy: reboot
"""


def config() -> str:
    """The config that is measured."""
    files = "".join(FILE.format(n=n) for n in range(8))
    units = "".join(UNIT.format(n=n) for n in range(5))
    return f"storage:\n  files:\n{files}systemd:\n  units:\n{units}{REST}"


def median(run: Callable[[], object], runs: int) -> float:
    """The median time of one run, in ms, after a first one that isn't counted."""
    run()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def main() -> int:
    """Measure and print."""
    text = config()
    print(f"{len(text.splitlines())} lines")
    ours = median(lambda: transpile(text, dialect="clc", platform="ec2").unwrap(), RUNS)
    print(f"in process          {ours:6.2f} ms")
    print(f"  to spec 3         {median(lambda: transpile(text, platform='ec2', spec='3').unwrap(), RUNS):6.2f} ms")
    try:
        ct = oracles.ensure("ct", "github.com/flatcar/container-linux-config-transpiler/internal", "ct")
    except SetupError as error:
        print(f"ct can't be had: {error}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "config.yaml")
        source.write_text(text)
        argv = [str(ct), "-platform=ec2", f"-in-file={source}"]
        theirs = median(lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, check=True), RUNS // 4)
    print(f"a process of ct     {theirs:6.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
