"""Computers with a distribution's base, git, make and python3 alone: root file systems in namespaces of their own.

Of this computer they see the network, and how its package indexes are reached: repositories and `Acquire` settings of
apt, settings of pip and of Go modules, proxies, certificates. They have no KVM, no Go and an empty home.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolchain.places import ROOT, TOOLCHAIN

PACKAGES = "git,make,python3"
CHECKOUT = "/srv/flatcar"
CERTIFICATES = Path("usr/local/share/ca-certificates")
"""Certificate authorities of this computer's own. What brings them into use is the package ca-certificates."""
APT = re.compile(r"Acquire::(?:https?|Check-[\w-]+)\b.*")
PROXY = re.compile(r"(?:https?|all|no)_proxy", re.IGNORECASE)
GO = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE")
PIP = re.compile(r"(?:global|install|:env:)\.(?P<name>[\w-]+)=(?P<value>.*)")
OUTPUT_LINES = 60
"""Lines of a command's output that its failure shows."""
START = """
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for name in null zero full random urandom tty; do
    : >"$1/dev/$name"
    mount --bind "/dev/$name" "$1/dev/$name"
done
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
ln -s fd/0 "$1/dev/stdin"
ln -s fd/1 "$1/dev/stdout"
ln -s fd/2 "$1/dev/stderr"
# Not chroot: it would have no user namespaces in it.
cd "$1"
pivot_root . mnt
exec /usr/bin/python3 -c "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A distribution that the project is to work on from its base on."""

    name: str
    origin: str
    """How its repositories call themselves (`Origin` in their Release files)."""
    suite: str
    components: str = "main"


DISTRIBUTIONS = (
    Distribution(name="Debian 12", origin="Debian", suite="bookworm"),
    Distribution(name="Debian 13", origin="Debian", suite="trixie"),
    Distribution(name="Ubuntu 24.04", origin="Ubuntu", suite="noble", components="main,universe"),
)


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def mirrors(origin: str) -> list[str]:
    """Repositories in this computer's apt sources that call themselves by a name, as the last `apt-get update` saw."""
    found = (
        line.split("\t") for line in _lines("apt-get", "indextargets", "--format", "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)")
    )
    return sorted({uri for of, label, uri in found if of == label == origin})


def _mmdebstrap(distribution: Distribution, folder: str, *more: str) -> str:
    """Run mmdebstrap; what it says when it fails, else nothing."""
    options = [f"--aptopt={line}" for line in _lines("apt-config", "dump") if APT.fullmatch(line)]
    # In a mount namespace: it may leave what it mounts.
    command = [
        "unshare",
        "--mount",
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        f"--include={PACKAGES}",
        *options,
        *more,
    ]
    command += [f"--components={distribution.components}", distribution.suite, folder, *mirrors(distribution.origin)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    return made.stderr if made.returncode else ""


@functools.cache
def unavailable(distribution: Distribution) -> str:
    """Why this computer's package sources don't offer a distribution; empty when they do."""
    if not mirrors(distribution.origin):
        return f"this computer's apt sources have no repository of {distribution.origin}"
    error = _mmdebstrap(distribution, "/dev/null", "--format=null", "--simulate")
    return f"mmdebstrap can't make it: {error.strip()[-500:]}" if error else ""


def index_settings() -> dict[str, str]:
    """Environment variables that say how this computer reaches the indexes of Python packages and of Go modules."""
    settings = {name: value for name, value in os.environ.items() if PROXY.fullmatch(name)}
    for line in _lines(sys.executable, "-m", "pip", "config", "list"):
        if match := PIP.fullmatch(line):
            settings[f"PIP_{match['name'].replace('-', '_').upper()}"] = str(ast.literal_eval(match["value"]))
    go = shutil.which("go")
    values = _lines(go, "env", *GO) if go else [os.environ.get(name, "") for name in GO]
    return settings | {name: value for name, value in zip(GO, values, strict=True) if value}


class Computer:
    """A fresh computer that runs: `run` a command on it, with the environment of nobody."""

    def __init__(self, root: Path, process: subprocess.Popen[str], output: Path, settings: dict[str, str]) -> None:
        self.root = root
        self.process = process
        self.output = output
        self.settings = settings

    def run(self, command: str, *, seconds: float = 60) -> str:
        """Run a shell command in the checkout; its output. Fails the test when it fails or takes longer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        home = ["env", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        before = self.output.stat().st_size
        started = time.monotonic()
        end = threading.Timer(seconds, _end, [self.process])
        end.start()
        argv = [*home, *settings, "sh", "-c", f"cd {CHECKOUT} && {command}"]
        print(json.dumps(argv), file=self.process.stdin, flush=True)
        code = self.process.stdout.readline().strip()
        end.cancel()
        print(f"{command}: {time.monotonic() - started:.0f} s")
        text = self.output.read_bytes()[before:].decode(errors="replace")
        tail = "\n".join(text.splitlines()[-OUTPUT_LINES:])
        assert code == "0", f"{command}: {f'exit code {code}' if code else f'no end after {seconds} s'}\n{tail}"
        return text


def _end(process: subprocess.Popen[str]) -> None:
    """End a computer's first process, and with it all that it has; `process` ends once they are gone."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


@contextmanager
def fresh(distribution: Distribution) -> Iterator[Computer]:
    """A computer with a clone of this checkout; it is gone afterwards, with all its processes."""
    TOOLCHAIN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fresh-", dir=TOOLCHAIN) as scratch:
        root = Path(scratch, "root")
        error = _mmdebstrap(distribution, str(root))
        assert not error, error
        (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
        shutil.copytree(Path("/", CERTIFICATES), root / CERTIFICATES, dirs_exist_ok=True)
        settings = index_settings()
        for name, value in settings.items():  # certificates, folders of packages
            if Path(value).is_absolute() and Path(value).exists():
                settings[name] = f"/srv/settings{value}"
                (root / settings[name][1:]).parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if Path(value).is_dir() else shutil.copyfile
                copy(value, root / settings[name][1:])
        subprocess.run(["git", "clone", "--quiet", ROOT, root / CHECKOUT[1:]], check=True)
        output = Path(scratch, "output")
        init = Path(__file__).with_name("init.py").read_text(encoding="utf-8")
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"),
                    *("sh", "-eu", "-c", START, "start", root, init),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        with process:
            try:
                yield Computer(root, process, output, settings)
            finally:
                _end(process)
