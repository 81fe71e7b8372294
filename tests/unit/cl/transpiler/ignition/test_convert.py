"""Spec 2 becomes spec 3.1.0 as Flatcar's Ignition makes it while it boots."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cl.transpiler import transpile
from cl.transpiler.ignition import convert, v2
from cl.transpiler.report import Findings, Path

if TYPE_CHECKING:
    from types import FrameType

pytestmark = pytest.mark.covering


def converted(version: str = "2.3.0", **sections: Any) -> dict[str, Any]:
    """What a config becomes, its `ignition` section left out."""
    ignition = {"version": version, **sections.pop("ignition", {})}
    config: dict[str, Any] = json.loads(transpile(json.dumps({"ignition": ignition} | sections), spec="3").unwrap())
    assert config.pop("ignition")["version"] == "3.1.0"
    return config


def refusals(**sections: Any) -> list[tuple[str, str]]:
    """(path, message) of each error; the same config passes as it is."""
    text = json.dumps({"ignition": {"version": "2.3.0"}} | sections)
    assert transpile(text).json is not None
    report = transpile(text, spec="3").report
    return [(entry.path, entry.message) for entry in report.entries if entry.severity == "error"]


def node(path: str, filesystem: str = "root", **more: Any) -> dict[str, Any]:
    return {"filesystem": filesystem, "path": path, **more}


def made(name: str | None = None, **mount: Any) -> dict[str, Any]:
    filesystem: dict[str, Any] = {"mount": {"device": f"/dev/{name}", "format": "ext4"} | mount}
    return filesystem if name is None else filesystem | {"name": name}


def test_units_of_one_name_are_merged() -> None:
    units = [
        {"name": "a.service", "contents": "[Unit]\n", "dropins": [{"name": "1.conf"}, {"name": "2.conf"}]},
        {"name": "b.service", "enable": True},
        {"name": "a.service", "enabled": False, "dropins": [{"name": "2.conf", "contents": "[A]\n"}]},
        {"name": "a.service", "mask": True, "contents": "[Service]\n", "dropins": [{"name": "3.conf"}]},
    ]
    assert converted(systemd={"units": units})["systemd"]["units"] == [
        {
            "name": "a.service",
            "contents": "[Service]\n",
            "enabled": False,
            "mask": True,
            "dropins": [{"name": "1.conf"}, {"name": "2.conf", "contents": "[A]\n"}, {"name": "3.conf"}],
        },
        {"name": "b.service", "enabled": True},
    ]


def test_a_drop_in_that_is_twice_in_one_unit_is_refused() -> None:
    unit = {"name": "a.service", "dropins": [{"name": "a.conf"}, {"name": "a.conf"}]}
    assert refusals(systemd={"units": [unit]}) == [
        ("$.systemd.units.0.dropins.1", "drop-in 'a.conf' is there twice, and in spec 3 only once")
    ]


def test_networkd_units_become_files_behind_the_others() -> None:
    units = [
        {"name": "a.network", "contents": "[Match]\nName=e/0 ä\n"},
        {"name": "b.network", "dropins": [{"name": "c.conf", "contents": "[A]\n"}]},
        {"name": "d.link"},
    ]
    files = converted(networkd={"units": units}, storage={"files": [node("/a", mode=420)]})["storage"]["files"]
    assert [(file["path"], file["mode"], file["overwrite"]) for file in files[1:]] == [
        ("/etc/systemd/network/a.network", 0o644, True),
        ("/etc/systemd/network/b.network.d/c.conf", 0o644, True),
    ]
    assert files[1]["contents"] == {"source": "data:,%5BMatch%5D%0AName=e%2F0%20%C3%A4%0A"}
    assert files[2]["contents"] == {"source": "data:,%5BA%5D%0A"}


def test_a_networkd_unit_is_refused_at_its_place() -> None:
    units = [{"name": "d.link"}, {"name": "a.network", "contents": "[A]\n", "dropins": [{"name": "c.conf"}] * 2}]
    file = node("/etc/systemd/network/a.network", mode=420)
    assert [path for path, _ in refusals(networkd={"units": units}, storage={"files": [file]})] == [
        "$.networkd.units.1",
        "$.networkd.units.1.dropins.1",
    ]


def test_named_file_systems_get_a_place_and_files_go_there() -> None:
    storage = {
        "filesystems": [made("data"), made(), made("oem"), made("OEM"), made("root"), made("var")],
        "files": [node("/a", "data", mode=1), node("/grub.cfg", "oem", mode=1), node("/b/../c", "unknown", mode=1)],
        "directories": [node("/d", "var", mode=1)],
        "links": [node("/l", "OEM", target="/a")],
    }
    result = converted(storage=storage)["storage"]
    assert [(filesystem["device"], filesystem.get("path")) for filesystem in result["filesystems"]] == [
        ("/dev/data", "/tmp/data-ign1"),
        ("/dev/None", None),
        ("/dev/oem", "/oem"),
        ("/dev/OEM", "/tmp/OEM-ign4"),
        ("/dev/var", "/tmp/var-ign5"),
    ]
    assert [file["path"] for file in result["files"]] == ["/tmp/data-ign1/a", "/oem/grub.cfg", "/c"]
    assert (result["directories"][0]["path"], result["links"][0]["path"]) == ("/tmp/var-ign5/d", "/tmp/OEM-ign4/l")


def test_one_name_is_one_place() -> None:
    filesystems = converted(storage={"filesystems": [made("a"), made("a", device="/dev/b"), made("c")]})["storage"]
    assert [filesystem["path"] for filesystem in filesystems["filesystems"]] == [
        "/tmp/a-ign1", "/tmp/a-ign1", "/tmp/c-ign2",
    ]  # fmt: skip


def test_a_name_that_makes_no_clean_path_is_refused() -> None:
    assert [path for path, _ in refusals(storage={"filesystems": [made("root"), made("/var", device="/dev/a")]})] == [
        "$.storage.filesystems.1.path"
    ]


@pytest.mark.parametrize("name", ["oem", "OEM", "Oem"])
def test_the_oem_partition_is_btrfs_unless_it_is_erased(name: str) -> None:
    def format_of(**mount: Any) -> str:
        (filesystem,) = converted(storage={"filesystems": [made(name, **mount)]})["storage"]["filesystems"]
        found: str = filesystem["format"]
        return found

    assert format_of() == "btrfs"
    assert format_of(wipeFilesystem=True) == "ext4"
    assert format_of(create={"force": True}) == "ext4"


def test_what_a_mount_says_stays() -> None:
    mount = {"label": "L", "uuid": "u", "options": ["-a"], "wipeFilesystem": True}
    create = {"force": True, "options": ["-b"]}
    assert converted(storage={"filesystems": [made("a", **mount), made("b", create=create)]})["storage"] == {
        "filesystems": [
            {
                "device": "/dev/a",
                "format": "ext4",
                "label": "L",
                "options": ["-a"],
                "path": "/tmp/a-ign1",
                "uuid": "u",
                "wipeFilesystem": True,
            },
            {"device": "/dev/b", "format": "ext4", "options": ["-b"], "path": "/tmp/b-ign2", "wipeFilesystem": True},
        ]
    }


def test_create_without_force_is_refused() -> None:
    assert refusals(storage={"filesystems": [made("root", create={"options": ["-a"]})]}) == [
        ("$.storage.filesystems.0.mount.create", "create without force can't be said in spec 3")
    ]


@pytest.mark.parametrize("name", ["root", "data"])
def test_a_file_system_of_a_path_alone_is_refused(name: str) -> None:
    assert refusals(storage={"filesystems": [{"name": name, "path": "/sysroot"}]}) == [
        ("$.storage.filesystems.0", "a filesystem that is given by its path alone crashes Flatcar's Ignition")
    ]


def test_users_keep_what_create_says() -> None:
    create = {
        "gecos": "g", "groups": ["a", "b"], "homeDir": "/h", "noCreateHome": True, "noLogInit": True,
        "noUserGroup": True, "primaryGroup": "p", "shell": "/s", "system": True, "uid": 5,
    }  # fmt: skip
    beside = {"name": "a", "passwordHash": "x", "sshAuthorizedKeys": ["k"]}
    assert converted(passwd={"users": [beside | {"create": create}]})["passwd"]["users"] == [beside | create]


@pytest.mark.parametrize(
    ("section", "key"), [("append", "merge"), ("certificateAuthorities", "certificateAuthorities")]
)
def test_several_sources_stay_several(section: str, key: str) -> None:
    sources = [{"source": "http://a"}, {"source": "oem:///b"}]
    config = {"config": {"append": sources}} if section == "append" else {"security": {"tls": {section: sources}}}
    text = json.dumps({"ignition": {"version": "2.3.0", **config}})
    ignition = json.loads(transpile(text, spec="3").unwrap())["ignition"]
    assert (ignition["config"] if section == "append" else ignition["security"]["tls"])[key] == sources


def test_sources_on_the_oem_partition_stay() -> None:
    files = [
        node("/a", mode=420, contents={"source": "oem:///a"}),
        node("/b", mode=420, append=True, contents={"source": "OEM:///b"}),
    ]
    result = converted(storage={"files": files}, ignition={"config": {"replace": {"source": "oem:///c"}}})
    first, second = result["storage"]["files"]
    assert (first["contents"], second["append"]) == ({"source": "oem:///a"}, [{"source": "OEM:///b"}])
    butane = {"variant": "flatcar", "version": "1.0.0", "ignition": {"config": {"merge": [{"source": "oem:///a"}]}}}
    assert transpile(json.dumps(butane)).json is None


def test_a_source_on_the_oem_partition_is_appended_once() -> None:
    sources = [{"source": "oem:///a"}] * 2
    (path,) = [path for path, _ in refusals(ignition={"version": "2.3.0", "config": {"append": sources}})]
    assert path == "$.ignition.config.append.1"


def test_sources_on_the_oem_partition_stay_where_snippets_are_merged() -> None:
    config = "storage: {files: [{path: /a, mode: 0644, contents: {remote: {url: 'oem:///a'}}}]}"
    snippet = "systemd: {units: [{name: a.service, mask: true}]}"
    assert "oem:///a" in transpile(config, dialect="clc", spec="3", snippets=[snippet]).unwrap()


@pytest.mark.parametrize(("name", "refused"), [("/b", False), ("/a", False), ("/a/c", True), ("/a/b/c", True)])
def test_nothing_leads_through_a_link(name: str, refused: bool) -> None:
    storage = {"links": [node("/a", target="/x")], "files": [node(name + "b", mode=420)]}
    assert [path for path, _ in refusals(storage=storage)] == ["$.storage.files.0"] * refused


def test_special_bits_of_a_mode_are_left_out_and_told() -> None:
    storage = {"files": [node("/a", mode=644)], "directories": [node("/b", mode=0o1777), node("/c", mode=0o777)]}
    result = transpile(json.dumps({"ignition": {"version": "2.3.0"}, "storage": storage}), spec="3")
    made = json.loads(result.unwrap())["storage"]
    assert [entry["mode"] for entry in made["files"] + made["directories"]] == [0o204, 0o777, 0o777]
    assert [(entry.path, entry.message) for entry in result.report.entries] == [
        ("$.storage.files.0.mode", "of the mode 0o1204 Flatcar takes 0o204, without its special bits"),
        ("$.storage.directories.0.mode", "of the mode 0o1777 Flatcar takes 0o777, without its special bits"),
    ]


def test_the_work_grows_as_the_number_of_links() -> None:
    def lines_run(count: int) -> int:
        links = tuple(v2.Link(filesystem="root", path=f"/l/{number}", target="/x") for number in range(count))
        run = 0

        def trace(_frame: FrameType, _event: str, _arg: object) -> Any:
            nonlocal run
            run += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert convert.convert(v2.Config(storage=v2.Storage(links=links)), Findings()) is not None
        finally:
            sys.settrace(before)
        return run

    assert lines_run(800) < 9 * lines_run(100)


BOTH = v2.Config(
    systemd=v2.Systemd(units=(v2.Unit(name="a.service"), v2.Unit(name="b.service"), v2.Unit(name="a.service"))),
    storage=v2.Storage(
        files=(v2.File(filesystem="root", path="/a"),),
        filesystems=(v2.Filesystem(name="root"), v2.Filesystem(name="data", mount=v2.Mount(device="/dev/vdb"))),
    ),
    networkd=v2.Networkd(
        units=(v2.NetworkdUnit(name="empty.network"), v2.NetworkdUnit(name="a.network", contents="[Match]"))
    ),
)
"""With what has another index in spec 3."""


@pytest.mark.parametrize(
    ("in_v3", "in_v2"),
    [
        (("storage", "filesystems", 0, "format"), ("storage", "filesystems", 1, "mount", "format")),
        (("storage", "filesystems", 0, "path"), ("storage", "filesystems", 1, "path")),
        (("storage", "files", 0, "append", 0, "source"), ("storage", "files", 0, "contents", "source")),
        (("storage", "files", 1, "path"), ("networkd", "units", 1)),
        (("systemd", "units", 1, "name"), ("systemd", "units", 1, "name")),
        (("ignition", "config", "merge", 0, "source"), ("ignition", "config", "append", 0, "source")),
        (("ignition", "timeouts", "http_total"), ("ignition", "timeouts", "httpTotal")),
    ],
)
def test_a_finding_is_told_where_it_stood_in_spec_2(in_v3: Path, in_v2: Path) -> None:
    assert convert._path_in_v2(in_v3, BOTH) == in_v2


@pytest.mark.parametrize(
    ("in_v2", "in_v3"),
    [
        (("systemd", "units", 2, "name"), ("systemd", "units", 0, "name")),
        (("storage", "filesystems", 1, "mount", "create", "force"), ("storage", "filesystems", 0, "force")),
        (("storage", "filesystems", 0, "name"), ("storage", "filesystems", 0, "name")),
        (("networkd", "units", 1), ("storage", "files", 1)),
        (("networkd", "units", 0), ()),
        (("passwd", "users", 0), ("passwd", "users", 0)),
    ],
)
def test_an_entry_is_found_in_spec_3(in_v2: Path, in_v3: Path) -> None:
    assert convert.path_in_v3(in_v2, BOTH) == in_v3
