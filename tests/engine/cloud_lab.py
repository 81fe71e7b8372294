"""Stacks of this project on fake clouds: the real engine and program, a real sshd for each machine, real HTTP APIs.

Which provider plugins ran, the real ones or stand-ins, stands at the end of the tests' output.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from tests.fakes.machines import MachinePark

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopback.pulumi import Pulumi, Run

REPOSITORY = Path(__file__).parents[2]
MOTD = "Changes belong into cl/machine-web.yaml."


@dataclass
class CloudLab:
    """One stack: `config` is what the stack's file holds, `write` puts a changed one there."""

    project: Path
    pulumi: Pulumi
    config: dict[str, Any]
    park: MachinePark
    line: str = MOTD
    """What the config of the web machines has in /etc/motd now."""

    def write(self) -> None:
        """Put `config` where the engine reads it."""
        assert self.pulumi.config_file is not None
        self.pulumi.config_file.write_text(yaml.safe_dump({"config": self.config}))

    def machines(self) -> dict[str, Any]:
        """`flatcar:machines`."""
        machines: dict[str, Any] = self.config["flatcar:machines"]
        return machines

    def edit_web(self, text: str) -> None:
        """Change the config of the web machines: a line of /etc/motd."""
        path = self.project / "cl/machine-web.yaml"
        path.write_text(path.read_text().replace(self.line, text))
        self.line = text

    def motd(self, id_: str) -> str:
        """What the machine that the cloud calls `id_` has in /etc/motd."""
        return self.park.machines[id_].path("/etc/motd").read_text()

    def up(self, *arguments: str, code: int | None = 0) -> Run:
        """`pulumi up` with the config as it is now."""
        self.write()
        return self.pulumi.up(*arguments, code=code)

    def lose(self, name: str) -> None:
        """Make the state forget a machine, and what depends on it."""
        (urn,) = [
            resource["urn"]
            for resource in self.pulumi.export()["resources"]
            if resource["urn"].endswith((f":Droplet::{name}", f":Instance::{name}"))
        ]
        self.pulumi.run("state", "delete", urn, "--yes", "--force", "--target-dependents")

    def take_down(self) -> None:
        """Leave nothing behind."""
        resources = self.pulumi.export().get("resources", [])
        if any(resource.get("protect") for resource in resources):
            self.pulumi.run("state", "unprotect", "--all", "--yes")
        if resources:
            self.pulumi.destroy()

    def preview(self, *arguments: str, code: int | None = 0) -> Run:
        """`pulumi preview` with the config as it is now."""
        self.write()
        return self.pulumi.preview(*arguments, code=code)


def copy_project(folder: Path) -> Path:
    """A copy of the project whose configs can be edited; the code is linked."""
    project = folder / "project"
    (project / "cl").mkdir(parents=True)
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(REPOSITORY / name, project / name)
    (project / "components").symlink_to(REPOSITORY / "components")
    (project / "cl/transpiler").symlink_to(REPOSITORY / "cl/transpiler")
    (project / "stacks").mkdir()  # of its own: `pulumi stack init` writes into it
    for path in (REPOSITORY / "cl").iterdir():
        if path.suffix in (".yaml", ".py"):
            shutil.copy(path, project / "cl")
    shutil.copytree(REPOSITORY / "cl/files", project / "cl/files")
    web = project / "cl/machine-web.yaml"
    assert MOTD in web.read_text(), "the tests change this line of the sample config"
    return project


def stack_config(name: str, park: MachinePark) -> dict[str, Any]:
    """The config of a stack of this repository, with the login of the park and no health checks."""
    document = yaml.safe_load((REPOSITORY / "stacks" / f"Pulumi.{name}.yaml").read_text())
    config: dict[str, Any] = document["config"]
    config["flatcar:ssh"] = {
        "user": os.environ.get("USER") or "root",
        "port": park.port,
        "private_key_file": str(park.key),
        "public_key": Path(f"{park.key}.pub").read_text().strip(),
    }
    config["flatcar:machines"] = {
        # the login is the park's own, not of the config; keep as by default, so that any lifecycle may be chosen
        name: {**machine, "keep": None, "timeout": 120, "health": {}, "allow": ["login"]}
        for name, machine in config["flatcar:machines"].items()
    }
    return config


def touched(run: Run) -> dict[str, str]:
    """What a run did or would do, by `TYPE NAME`; `replace` stands for all steps of a replacement."""
    return {kind: "replace" if "replace" in op else op for op, kind in steps_of(run)}


def steps_of(run: Run) -> list[tuple[str, str]]:
    """All steps but `same` and `refresh`, in the order in which they started: (operation, `TYPE NAME`).

    Without the engine's own provider, which a preview asks for the stack's outputs, and neither shows nor counts.
    """
    steps = []
    for event in run.events:
        metadata = event.get("resourcePreEvent", {}).get("metadata")
        if not metadata or metadata["type"] == "pulumi:providers:pulumi":
            continue
        if metadata["op"] not in ("same", "read", "refresh") and "pulumi:pulumi:" not in metadata["type"]:
            urn = metadata["urn"]
            steps.append((metadata["op"], f"{urn.split('::')[2].rsplit(':', 1)[-1]} {urn.rsplit('::', 1)[-1]}"))
    return steps


def a_failed_change_is_put_back_and_tried_again(
    lab: CloudLab, name: str, *, stored: str, held: Callable[[], tuple[str, str]], refresh: bool
) -> None:
    """Change the config of a machine so that its health check fails, then mend the check alone.

    `held` is the object's content and version in the bucket. `refresh` makes Pulumi look at it in between.
    """
    good, _ = held()
    never = {"commands": [{"name": "never", "command": "false", "seconds": 1}]}
    lab.machines()[name] |= {"health": never, "rollback_after": 400}  # else the checks' time is part of the config
    lab.edit_web("Fails.")
    failed = lab.up(code=None)
    assert failed.code != 0 and touched(failed) == in_place(name, stored=stored), failed.output
    assert any("is back on its last good config" in line for line in failed.progress(f"{name}-reprovision"))
    content, version = held()
    known = lab.pulumi.resources()[f"{name}-object"]["outputs"]["versionId"]
    assert content == good and version != known, "behind Pulumi's back"

    if refresh:
        lab.pulumi.run("refresh", "--yes", "--skip-preview")
    lab.machines()[name]["health"] = {}
    wanted = {f"Command {name}-reprovision": "update"}  # the object is as Pulumi knows it
    assert touched(lab.up()) == (wanted | {f"{stored} {name}-object": "update"} if refresh else wanted)
    content, version = held()
    written = lab.pulumi.resources()[f"{name}-object"]["outputs"]["versionId"]
    assert "Fails." in content and version == written and (written != known) == refresh


def other_computers_go_on(
    lab: CloudLab, id_: str, *, stored: str, overwrite: Callable[[], None], delete: Callable[[], None]
) -> None:
    """A change, two kinds of drift of the object of the only machine, and the end, on computers that never had it.

    They have the checkout, the stack's file, the state and the keys; what earlier runs left beside the machine's
    folder is not there. `id_` is the machine, as the cloud calls it.
    """
    (name,) = lab.machines()
    first = _on_another_computer(lab, "first")
    first.up()
    second = _on_another_computer(lab, "second")
    seen = second.preview()
    assert touched(seen) == {}, seen.output
    second.edit_web("From the second.")
    changed = second.up()
    assert touched(changed) == in_place(name, stored=stored), changed.output
    assert "first contact" not in changed.output
    assert "From the second." in lab.motd(id_) and lab.park.machines[id_].boots == 2

    wanted = {f"{stored} {name}-object": "update", f"Command {name}-reprovision": "update"}
    overwrite()
    mended = second.up("--refresh")
    assert touched(mended) == wanted, mended.output
    delete()
    mended = second.up("--refresh")
    assert touched(mended) == wanted | {f"{stored} {name}-object": "create"}, mended.output
    assert lab.park.machines[id_].boots == 2, "it runs what is wanted"
    first.edit_web("From the second.")
    seen = first.preview("--refresh")
    assert touched(seen) == {}, seen.output

    third = _on_another_computer(lab, "third")
    for config in (third.project / "cl").glob("machine-*.yaml"):
        config.unlink()
    third.pulumi.destroy()


def _on_another_computer(lab: CloudLab, name: str) -> CloudLab:
    """The same stack in a checkout of its own, as the repository has it, with nothing of earlier runs."""
    folder = lab.pulumi.scratch / name
    project = copy_project(folder)
    env = lab.pulumi.env | {"MACHINES_DIR": "", "HOME": str(folder)}  # the default, in the checkout
    return replace(lab, project=project, pulumi=replace(lab.pulumi, directory=project, env=env), line=MOTD)


def in_place(*names: str, stored: str) -> dict[str, str]:
    """What a config change of these machines comes to: one object and one Command updated, for each."""
    return {
        kind: op
        for name in names
        for kind, op in (
            (f"Machine {name}", "update"),  # no thing of its own: what the preview shows of the change
            (f"{stored} {name}-object", "update"),
            (f"Command {name}-reprovision", "update"),
        )
    }
