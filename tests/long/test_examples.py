"""The examples of the component package as their users run them: far from this project's folder, by its plugin alone.

Where Pulumi's Python language host is too old to start a folder of Python as a plugin (`toolchain.pulumi_cli` builds
such a one), an executable of one line takes its place; its virtual environment is made as Pulumi makes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.commands.qemu import accelerator
from components.commands.qemu.supervisor import qemu_binary
from tests.conftest import missing
from tests.fakes.aws import CREDENTIALS, Aws, running_moto
from tests.fakes.digitalocean import DigitalOceanApi
from tests.vm.machines import base_image, needs_image
from toolchain import golang, languages
from toolchain.steps import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).parents[2]
PLUGIN_PARTS = ("cl", "components", "package", "pyproject.toml", "requirements.txt")
COMMANDS = re.compile(r"^    ((?:pulumi|npm) .*)\n", re.MULTILINE)


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
    python = venv_of(folder)
    executable = root / "plugin" / "pulumi-resource-flatcar"
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec {python} {folder} "$@"\n')
    executable.chmod(0o755)
    return executable.parent


def venv_of(folder: Path) -> Path:
    """Python with what the folder's requirements.txt says, in the folder `venv` in it."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-compile", "-r", "requirements.txt"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing(f"what {folder.name}/requirements.txt names: {done.stderr[-500:]}")
    return python


def copied(example: str, folder: Path, plugin: Path) -> Path:
    """An example in a folder of its own, which finds the plugin."""
    target = folder / example
    shutil.copytree(PROJECT / "examples" / example, target)
    settings = target / "Pulumi.yaml"
    before = settings.read_text()
    after = before.replace("path: ../../package", f"path: {plugin}")
    if after == before:
        after += f"packages: {{flatcar: {plugin}}}\n"  # as `pulumi package add` does
    settings.write_text(after)
    return target


def add_sdk(language: str, folder: Path, plugin: Path, shell: Callable[..., str]) -> None:
    """What `pulumi package add` makes in `sdks/`."""
    target = folder / "sdks" / "flatcar"
    target.mkdir(parents=True)
    shell(f"pulumi package get-schema {plugin}/pulumi-resource-flatcar >schema.json", folder)
    try:
        shell(f"{languages.ensure_sdks()} {language} {target} <schema.json", folder)
    except SetupError as error:
        missing(f"the generators of SDKs: {error}")


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
        "ACCEL": accelerator.choose("auto", qemu_binary(), tmp_path, print),  # KVM may be there and not work
    }

    def run(lines: str, folder: Path, *, path: Path | None = None, code: int = 0, **more: str) -> str:
        variables = {**env, **more}
        if path is not None:
            variables["PATH"] = f"{path}{os.pathsep}{env['PATH']}"
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


def go_env(name: str) -> str:
    """A setting of this user's Go."""
    program, environment = golang.go(PROJECT / "examples" / "go-hosts")
    done = subprocess.run([program, "env", name], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


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


def commands_of(readme: Path, up: str = "pulumi up --yes") -> str:
    """The lines that a README has its readers type but for what adds the package, with `up` in the last one's place."""
    lines = [line for line in COMMANDS.findall(readme.read_text()) if "OWNER" not in line]
    assert lines.pop() == "pulumi up"
    return "\n".join([*lines, up])


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


@needs_image
def test_bring_your_own_by_its_readme(tmp_path: Path, plugin: Path, shell: Callable[..., str], free_port: int) -> None:
    folder, path = copied("bring-your-own", tmp_path, plugin), yaml_host()
    readme = folder / "README.md"
    readme.write_text(
        readme.read_text().replace("    pulumi up\n", f"    pulumi config set port {free_port}\n    pulumi up\n")
    )
    set_up(folder, shell, path)
    login = "-oBatchMode=yes -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oLogLevel=ERROR"
    ask = f"ssh {login} -i ~/.ssh/id_ed25519 -p {free_port} core@127.0.0.1 '{ASK}'"
    page, boot, machine = shell(ask, folder).splitlines()
    assert page == "Hello from web."
    outputs = "pulumi stack output --json"
    first = json.loads(shell(outputs, folder, path=path))
    user_data = (folder / "machine.d/user-data").read_bytes()

    change_page(folder)
    shell("pulumi up --yes", folder, path=path)
    second_page, second_boot, second_machine = shell(ask, folder).splitlines()
    assert second_page == "Hello again from web."
    assert second_boot != boot
    assert second_machine == machine
    second = json.loads(shell(outputs, folder, path=path))
    assert second["machineId"] == first["machineId"]
    assert second["configId"] != first["configId"]
    assert (folder / "machine.d/user-data").read_bytes() == user_data

    shell("pulumi destroy --yes", folder, path=path)
    assert list(folder.rglob("*.qcow2")) == list(folder.rglob("web.ign")) == []


def misspell(folder: Path) -> None:
    config = folder / "web.yaml"
    config.write_text(config.read_text().replace("contents:", "contnts:", 1))


def machines_in(preview: str) -> list[str]:
    """The names of the machines that a preview would create, in order."""
    return list(dict.fromkeys(re.findall(r"flatcar:index:Machine (\S+) create", preview)))


REPORT = "--> web.yaml:12:7"
"""Where a report says that the config is misspelt."""


@pytest.fixture
def clouds() -> Iterator[dict[str, str]]:
    """Variables of an empty account on AWS and of one on DigitalOcean, which are stand-ins on this computer."""
    api = DigitalOceanApi(
        address_of=lambda _: "127.0.0.1",
        switch_on=lambda _: None,
        switch_off=lambda _: None,
        power=lambda *_: None,
        reserve=lambda *_: None,
    )
    with running_moto() as objects, api.running() as address:
        Aws(objects).publish_ami("4459.2.1")
        yield {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": objects,
            "SPACES_ENDPOINT_URL": objects,
            "SPACES_ACCESS_KEY_ID": "test",
            "SPACES_SECRET_ACCESS_KEY": "test",
            "DIGITALOCEAN_API_URL": address,
            "DIGITALOCEAN_TOKEN": api.token,
        }


def test_python_aws_previews(tmp_path: Path, plugin: Path, shell: Callable[..., str], clouds: dict[str, str]) -> None:
    folder = copied("python-aws", tmp_path, plugin)
    add_sdk("python", folder, plugin, shell)
    (folder / "venv").symlink_to(sys.prefix)
    path, more = folder / "venv" / "bin", {**clouds, "PYTHONPATH": str(folder / "site")}
    shell("python -m pip install --quiet --no-deps --target site ./sdks/flatcar", folder, path=path)
    preview = shell(commands_of(folder / "README.md", "pulumi preview"), folder, path=path, **more)
    assert machines_in(preview) == ["web-1", "web-2"]
    misspell(folder)
    assert REPORT in shell("pulumi preview", folder, path=path, code=1, **more)


def test_typescript_digitalocean_compiles_and_previews(
    tmp_path: Path, plugin: Path, shell: Callable[..., str], clouds: dict[str, str]
) -> None:
    folder = copied("typescript-digitalocean", tmp_path, plugin)
    if shutil.which("npm") is None:
        missing("npm")
    add_sdk("nodejs", folder, plugin, shell)
    commands = commands_of(folder / "README.md", ":")
    assert "npm install" in commands
    shell(
        "npm install --ignore-scripts --no-audit --no-fund\n"
        "(cd sdks/flatcar && ../../node_modules/.bin/tsc && cp package.json bin)\n"  # its own script, without npm
        "ln -s ../../sdks/flatcar node_modules/@pulumi/flatcar\n"
        "node_modules/.bin/tsc",
        folder,
    )
    shell(commands.replace("npm install", ":"), folder)
    shutil.copy(PROJECT / "tests/long/inline/preview.js", folder)
    preview = "node preview.js typescript-digitalocean"
    assert machines_in(shell(preview, folder, **clouds)) == ["web-1", "web-2"]
    misspell(folder)
    assert REPORT in shell(preview, folder, code=1, **clouds)


def test_go_hosts_compiles_and_previews(tmp_path: Path, plugin: Path, shell: Callable[..., str]) -> None:
    folder = copied("go-hosts", tmp_path, plugin)
    add_sdk("go", folder, plugin, shell)
    program, environment = golang.go(folder)
    kept = {name: environment[name] for name in ("GOTOOLCHAIN", "GOWORK")}
    kept |= {"GOFLAGS": "-mod=mod", "GOPATH": go_env("GOPATH"), "GOCACHE": go_env("GOCACHE")}  # this home's own
    path = Path(program).parent
    shell(
        "go mod edit -require example.com/pulumi-flatcar/sdk/go@v0.0.0"
        " -replace example.com/pulumi-flatcar/sdk/go=./sdks/flatcar\n"
        "go build -o program .",
        folder,
        path=path,
        **kept,
    )
    shell(commands_of(folder / "README.md", ":"), folder)
    shutil.copy(PROJECT / "tests/long/inline/preview_test.go", folder)
    preview = "go test -count=1 -v ."
    assert machines_in(shell(preview, folder, path=path, **kept)) == ["host-1", "host-2"]
    misspell(folder)
    assert REPORT in shell(preview, folder, path=path, code=1, **kept)


@needs_image
def test_pulumi_new_makes_a_project_from_the_template(tmp_path: Path, plugin: Path, shell: Callable[..., str]) -> None:
    template, path = PROJECT / "templates" / "machine-yaml", yaml_host()
    shell(f"pulumi new {template} --generate-only --yes --name shop --description web --dir shop", tmp_path, path=path)
    folder = tmp_path / "shop"
    assert (folder / "Pulumi.yaml").read_text().startswith("name: shop\ndescription: web\n")
    with (folder / "Pulumi.yaml").open("a") as file:
        file.write(f"packages: {{flatcar: {plugin}}}\n")  # as `pulumi package add` does
    commands = commands_of(folder / "README.md", "pulumi preview").replace(IMAGE, str(base_image()[0]))
    assert machines_in(shell(commands, folder, path=path)) == ["web"]
    misspell(folder)
    assert REPORT in shell("pulumi preview", folder, path=path, code=1)


REFUSED = """
    - path: /etc/ssh/sshd_config.d/own.conf
      mode: 0644
      contents: {inline: "X11Forwarding yes"}
"""


@needs_image
def test_policies_see_what_a_config_brings(tmp_path: Path, plugin: Path, shell: Callable[..., str]) -> None:
    folder, path = copied("yaml-qemu", tmp_path, plugin), yaml_host()
    pack, programs = tmp_path / "policy", tmp_path / "programs"
    shutil.copytree(PROJECT / "examples/policy", pack)
    # as the language host does that can start a folder of Python
    settings = pack / "PulumiPolicy.yaml"
    settings.write_text(settings.read_text().replace("runtime: python", "runtime: installed"))
    programs.mkdir()
    (programs / "pulumi-language-yaml").symlink_to(path / "pulumi-language-yaml")
    analyzer = programs / "pulumi-analyzer-policy-installed"
    analyzer.write_text(f'#!/bin/sh\nexec {venv_of(pack)} -u -m pulumi.policy "$1" "$2"\n')
    analyzer.chmod(0o755)
    preview = f"pulumi preview --policy-pack {pack}"
    shell(commands_of(folder / "README.md", preview).replace(IMAGE, str(base_image()[0])), folder, path=programs)

    config = folder / "web.yaml"
    text = config.read_text()
    text = text.replace("    - name: core\n", "    - name: core\n      password_hash: $6$salt$hash\n", 1)
    text = text.replace("  files:\n", f"  files:{REFUSED}", 1)
    text = text.replace("ExecStart=/opt/web/respond", "ExecStart=/usr/bin/docker run nginx:latest", 1)
    config.write_text(text)
    refused = shell(preview, folder, path=programs, code=1)
    assert re.findall(r"\[mandatory\]\s+(\S+)", refused) == [
        "images-have-versions",
        "no-passwords",
        "sshd-is-left-alone",
    ]
    assert "web: web@.service runs nginx:latest, which is another image each day; name a version" in refused
    assert "web: user core has a password; people log in with keys" in refused
    assert "web: /etc/ssh/sshd_config.d/own.conf changes how one logs in" in refused
    assert "$6$" not in refused
