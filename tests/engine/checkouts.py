"""Clones of this project, each on a computer of its own: another folder, home and Pulumi home, the same network."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loopback.pulumi import beside
from toolchain import needs
from toolchain.plugins import install

PROJECT = Path(__file__).parents[2]
PARTS = ("cl", "components", "examples", "stacks", "toolchain", "Makefile", "Pulumi.yaml", "__main__.py")
PASSPHRASE = "a passphrase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A clone in `folder`, and the operator's `home`. `env` are variables of theirs."""

    folder: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Of a new shell; "" takes a variable out."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "USER": getpass.getuser(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            **self.env,
            **more,
        }
        return {name: value for name, value in env.items() if value}

    def run(self, *words: str, code: int = 0, **env: str) -> str:
        """Run a program in the checkout, nobody at the terminal; what it prints."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    def toolchain(self, *words: str, code: int = 0, **env: str) -> str:
        """`python -m toolchain …`, as the Makefile runs it."""
        return self.run(".venv/bin/python", "-m", "toolchain", *words, code=code, **env)

    def in_make_env(self, stack: str, script: str, *, code: int = 0, **env: str) -> str:
        """A script in a shell of `make env STACK=…`."""
        make_env = f'eval "$(.venv/bin/python -m toolchain env --stack {stack})"'
        return self.run("sh", "-euc", f"{make_env}\n{script}", code=code, **env)

    @contextmanager
    def running(self, *words: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """`python -m toolchain …` beside the test; ended with the block."""
        argv = [".venv/bin/python", "-m", "toolchain", *words]
        with beside(argv, cwd=self.folder, env=self.environment(**env), end=signal.SIGTERM) as process:
            yield process


def checkout(folder: Path, **env: str) -> Checkout:
    """A clone below `folder`, set up as this one is, but for its home, which is empty."""
    clone, home = folder / "checkout", folder / "home"
    home.mkdir(parents=True)
    clone.mkdir()
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, clone / part)
    (clone / ".venv").mkdir()  # of its own: what runs with it has a lock on it
    for part in ("bin", "lib", "pyvenv.cfg"):
        (clone / ".venv" / part).symlink_to(Path(sys.prefix, part))
    plugins = clone / ".toolchain/pulumi-home/plugins"
    plugins.mkdir(parents=True)
    for folder in map(install.folder_of, ("command", *needs.plugins().values())):
        if install.is_stand_in(folder.name.split("-")[1]):
            shutil.copytree(folder, plugins / folder.name)
        elif folder.exists():  # the engine takes no link for a plugin's folder
            (plugins / folder.name).mkdir()
            for file in folder.resolve().iterdir():
                (plugins / folder.name / file.name).symlink_to(file)
    return Checkout(folder=clone, home=home, env=env)
