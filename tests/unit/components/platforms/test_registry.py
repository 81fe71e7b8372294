"""A platform of one's own: a class for `FlatcarMachine`, and one line in the registry for the config of a stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.config.section import Section
from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.platforms import Descriptor, IgnitionPlatform, Login, PlatformMachine, registry
from components.settings.ssh import SshSettings
from components.settings.stack import Settings, read_settings
from components.stores import Store
from components.stores.settings import StoreSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here"
CONFIG = f"variant: flatcar\nversion: 1.0.0\npasswd: {{users: [{{name: core, ssh_authorized_keys: [{KEY}]}}]}}\n"
DYNAMIC = f"""\
passwd: {{users: [{{name: core, ssh_authorized_keys: [{KEY}]}}]}}
etcd: {{advertise_client_urls: "http://{{PRIVATE_IPV4}}:2379"}}
"""


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return args.name, {**args.inputs, "stdout": "{}"}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A board on the shelf `row`."""

    row: int
    ignition_platform: str = "shelf"
    login_user: str | None = None

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        board = pulumi.ComponentResource("test:index:Board", name, {"row": self.row}, opts)
        return PlatformMachine(
            resource=board, ssh_host=f"{name}.shelf{self.row}", ssh_port=22, console_log="", console_hint=""
        )


class ShelfPlatform(Descriptor[str, int]):
    name = "shelf"
    ignition = IgnitionPlatform(name="shelf", limit=100, limit_of="the shelf")
    stores = ("folder",)
    stack_key = "room"
    machine_key = "board"

    def read_shared(self, section: Section, login: Login) -> str:
        return section.text("room", required=True)

    def read_own(self, section: Section, shared: str, store: StoreSettings) -> int:
        row = section.integer("row", 0, maximum=9)
        section.finish()
        return row

    def declare(
        self,
        shared: str,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> Callable[[int], tuple[Shelf, Store]]:
        store = open_store()
        return lambda row: (Shelf(row=row), store)


@pytest.fixture(autouse=True)
def a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path / "machines"))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PLATFORMS", (*registry.PLATFORMS, ShelfPlatform()))


def read(folder: Path, **keys: Any) -> tuple[Settings | None, list[str]]:
    (folder / "web.yaml").write_text(CONFIG)
    objects = {"ssh": {"public_key": KEY}, **keys}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in objects.items()}
    return read_settings({f"flatcar:{key}": text for key, text in texts.items()}, secret_keys=(), root=folder)


def machine(config: str, store: Any) -> FlatcarMachine:
    return FlatcarMachine(
        "web", FlatcarMachineArgs(config=config, platform=Shelf(row=3), store=store, ssh=SshSettings(public_key=KEY))
    )


@pytest.fixture
def store(tmp_path: Path) -> Any:
    from components.stores.local_folder import LocalFolder

    return LocalFolder(directory=tmp_path / "objects")


def test_a_class_is_enough_for_a_machine(store: Any) -> None:
    addresses: list[str] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        return machine(CONFIG, store).address.apply(addresses.append)

    def run() -> None:
        pulumi.runtime.set_mocks(Mocks())
        program()

    copy_context().run(run)  # where the mocks stay
    assert addresses == ["web.shelf3"]


def test_dynamic_data_of_an_unknown_platform_is_refused_with_a_sentence(store: Any) -> None:
    with pytest.raises(pulumi.RunError, match=r"dynamic data like \{PRIVATE_IPV4\} needs a platform"):
        machine(DYNAMIC, store)


def test_an_unknown_platform_limits_an_object_as_the_engine_does() -> None:
    assert registry.ignition_platform("shelf") == IgnitionPlatform(name="shelf")
    assert (IgnitionPlatform(name="").limit, registry.ignition_platform("aws").limit) == (64 << 20, 64 << 20)
    assert registry.ignition_platform("qemu").limit == 512 * 65_535 - 1


@pytest.mark.usefixtures("registered")
def test_what_the_descriptor_says_of_its_objects_counts(store: Any) -> None:
    with pytest.raises(pulumi.RunError, match="the shelf takes 100"):
        machine(CONFIG, store)


@pytest.mark.usefixtures("registered")
def test_a_registered_platform_reads_its_settings_and_gives_each_machine_its_own(tmp_path: Path) -> None:
    machines = {"web": {"config": "web.yaml", "board": {"row": 4}}, "db": {"config": "web.yaml"}}
    settings, problems = read(tmp_path, platform="shelf", room="cellar", machines=machines)
    assert settings is not None, problems
    assert (settings.platform.name, settings.shared, settings.store.kind) == ("shelf", "cellar", "folder")
    platform_of = settings.declare()
    made = {one.name: platform_of(one) for one in settings.machines}
    assert {name: platform for name, (platform, _) in made.items()} == {"web": Shelf(row=4), "db": Shelf(row=0)}
    assert made["web"][1] is made["db"][1]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("board", "keys", "problem"),
    [
        ({"row": 10}, {"platform": "shelf", "room": "a"}, "flatcar:machines.web.board.row: has to be 0 to 9"),
        ({}, {"platform": "shelf"}, "flatcar:room: is missing"),
        ({}, {"platform": "shelf", "room": "a", "store": {"kind": "s3"}}, "machines on shelf can't read from 's3'"),
        ({"row": 1}, {}, "flatcar:machines.web.board: is for machines on another platform than 'qemu'"),
        ({}, {"room": "a"}, "flatcar:room: is for another platform than 'qemu', which flatcar:platform names"),
        ({}, {"platform": "self"}, "one of qemu, digitalocean, aws, host, shelf, not 'self'; did you mean 'shelf'?"),
    ],
)
def test_what_is_wrong_on_a_registered_platform(
    tmp_path: Path, board: dict[str, Any], keys: dict[str, Any], problem: str
) -> None:
    settings, problems = read(tmp_path, machines={"web": {"config": "web.yaml", "board": board}}, **keys)
    assert settings is None
    assert problem in problems[0]


def test_platforms_are_told_apart_by_their_names_and_settings() -> None:
    for names in (
        [platform.name for platform in registry.PLATFORMS],
        [platform.ignition.name for platform in registry.PLATFORMS],
        [platform.machine_key for platform in registry.PLATFORMS],
        [platform.stack_key for platform in registry.PLATFORMS if platform.stack_key],
    ):
        assert len(set(names)) == len(names)
