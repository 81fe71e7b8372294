"""The examples of the component package as their users run them: far from this project's folder, by its plugin alone.

Where Pulumi's Python language host is too old to start a folder of Python as a plugin (`toolchain.pulumi_cli` builds
such a one), an executable of one line takes its place; its virtual environment is made as Pulumi makes it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import missing
from tests.vm.machines import base_image, needs_image
from toolchain import languages
from toolchain.steps import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT = Path(__file__).parents[2]
PLUGIN_PARTS = ("cl", "components", "package", "pyproject.toml", "requirements.txt")
COMMANDS = re.compile(r"^    (pulumi .*)\n", re.MULTILINE)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `package` of this project at another path, with a virtual environment of its own."""
    root = tmp_path_factory.mktemp("elsewhere")
    for part in PLUGIN_PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    folder = root / "package"
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    done = subprocess.run([*pip, "-r", "requirements.txt"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"the package's own requirements: {done.stderr[-500:]}")
    executable = root / "plugin" / "pulumi-resource-flatcar"
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec {python} {folder} "$@"\n')
    executable.chmod(0o755)
    return executable.parent


def copied(example: str, folder: Path, plugin: Path) -> Path:
    """An example in a folder of its own, which finds the plugin."""
    target = folder / example
    shutil.copytree(PROJECT / "examples" / example, target)
    settings = target / "Pulumi.yaml"
    before = settings.read_text()
    after = before.replace("path: ../../package", f"path: {plugin}")
    assert after != before
    settings.write_text(after)
    return target


@pytest.fixture
def shell(tmp_path: Path, pulumi_home: Path) -> Callable[..., str]:
    """Runs lines in bash, in the environment of a new user; what they print."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh/id_ed25519"], check=True)
    (tmp_path / "state").mkdir()
    own = ("PULUMI_", "VIRTUAL_ENV", "MACHINES_DIR")
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    env |= {
        "HOME": str(home),
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def run(lines: str, folder: Path, *, path: Path | None = None, code: int = 0) -> str:
        variables: Mapping[str, str] = env if path is None else {**env, "PATH": f"{path}{os.pathsep}{env['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{lines}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    return run


def yaml_host() -> Path:
    """The folder of Pulumi's language host for YAML: Pulumi's release has it, else it is built."""
    installed = shutil.which("pulumi-language-yaml")
    if installed:
        return Path(installed).parent
    try:
        return languages.ensure_yaml()
    except SetupError as error:
        missing(f"pulumi-language-yaml: {error}")
        raise AssertionError from None


def commands_of(readme: Path) -> str:
    """The lines that a README has its readers type, with nobody asked."""
    lines = COMMANDS.findall(readme.read_text())
    return "\n".join(f"{line} --yes" if line == "pulumi up" else line for line in lines if "OWNER" not in line)


IMAGE = "/path/to/flatcar_production_qemu_image.img"
ASK = "curl --silent http://127.0.0.1:8080/; cat /proc/sys/kernel/random/boot_id /etc/machine-id"
"""What the page says, and what tells one boot and one machine from another."""


def set_up(folder: Path, shell: Callable[..., str], path: Path) -> None:
    """What the example's README says, with the image of these tests."""
    commands = commands_of(folder / "README.md")
    assert IMAGE in commands
    shell(commands.replace(IMAGE, str(base_image()[0])), folder, path=path)


def change_page(folder: Path) -> None:
    config = folder / "web.yaml"
    before = config.read_text()
    assert "Hello from" in before
    config.write_text(before.replace("Hello from", "Hello again from"))


@needs_image
def test_yaml_qemu_by_its_readme(tmp_path: Path, plugin: Path, shell: Callable[..., str]) -> None:
    folder, path = copied("yaml-qemu", tmp_path, plugin), yaml_host()
    set_up(folder, shell, path)
    ask = f"$(pulumi stack output ssh) -oBatchMode=yes '{ASK}'"
    page, boot, machine = shell(ask, folder, path=path).splitlines()
    assert page == "Hello from web."
    config_id = shell("pulumi stack output configId", folder, path=path)

    change_page(folder)
    shell("pulumi up --yes", folder, path=path)
    assert shell(ask, folder, path=path).splitlines()[0] == "Hello again from web."
    assert shell(ask, folder, path=path).splitlines()[1] != boot
    assert shell(ask, folder, path=path).splitlines()[2] == machine
    assert shell("pulumi stack output configId", folder, path=path) != config_id

    shell("pulumi stack export --show-secrets >state.json", folder, path=path)
    audit = f"{plugin.parent}/package/venv/bin/python -m components.audit --export {folder}/state.json"
    assert "web: clean" in shell(audit, plugin.parent)

    shell("pulumi destroy --yes", folder, path=path)
    assert list(tmp_path.rglob("*.qcow2")) == []
