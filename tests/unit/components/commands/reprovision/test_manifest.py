"""What a manifest says of a config, and what it does not give away."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl.transpiler.ignition.checks import CheckError, data_url, decode_data_url
from components.commands.reprovision.manifest import PRESETS, Manifest, Path, decoded, fingerprint, named_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: dict[str, Any] = {
    "ignition": {"version": "3.3.0", "timeouts": {"httpTotal": 300}},
    "kernelArguments": {"shouldExist": ["quiet"]},
    "storage": {
        "disks": [{"device": "/dev/vdb", "partitions": [{"number": 1, "label": "data"}]}],
        "raid": [{"name": "r", "level": "raid1", "devices": ["/dev/vdc", "/dev/vdd"]}],
        "luks": [{"name": "l", "device": "/dev/vde", "keyFile": {"source": "data:,key"}}],
        "filesystems": [{"device": "/dev/vdb1", "format": "ext4", "path": "/srv"}],
        "files": [
            {"path": "/etc/a", "mode": 0, "contents": {"source": "data:,hello"}, "user": {"id": 7}},
            {"path": "/etc/b", "append": [{"source": "data:,more"}], "group": {"name": "core"}},
            {"path": "/opt/c", "contents": {"source": "https://example.com/c"}},
            {"path": "/opt/d", "contents": {"source": "data:,one"}, "append": [{"source": "https://example.com/d"}]},
        ],
        "directories": [{"path": "/opt/e", "mode": 448, "user": {"name": "core"}}],
        "links": [{"path": "/opt/f", "target": "/opt/c", "hard": True}, {"path": "/opt/g", "target": "c"}],
    },
    "systemd": {
        "units": [
            {"name": "a.service", "enabled": False, "contents": "[Service]\n"},
            {"name": "b.service", "mask": True, "dropins": [{"name": "1.conf", "contents": "[Unit]\n"}]},
        ]
    },
    "passwd": {
        "users": [
            {"name": "web", "uid": 0, "shell": "/bin/bash", "homeDir": "/h", "groups": ["docker"], "gecos": "The web"},
            {"name": "core", "passwordHash": "$6$", "sshAuthorizedKeys": ["ssh-ed25519 AAAA me"], "system": True},
            {"name": "gone", "shouldExist": False},
        ],
        "groups": [{"name": "web", "gid": 0}, {"name": "other", "shouldExist": False}],
    },
}


def leaves(node: Any, *way: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, dict | list):
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(inner, *way, key)
    else:
        yield way


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + "x"


@pytest.mark.parametrize("way", list(leaves(CONFIG)), ids=lambda way: ".".join(map(str, way)))
def test_any_other_value_in_a_config_makes_another_manifest(way: tuple[Any, ...]) -> None:
    config = copy.deepcopy(CONFIG)
    *parents, last = way
    inner = config
    for key in parents:
        inner = inner[key]
    inner[last] = changed(inner[last])
    assert Manifest.of(config, "salt") != Manifest.of(CONFIG, "salt")


@pytest.mark.parametrize(
    "way", [way for way in leaves(CONFIG) if isinstance(way[-1], str)], ids=lambda way: ".".join(map(str, way))
)
def test_what_is_left_out_of_a_config_makes_another_manifest(way: tuple[Any, ...]) -> None:
    config = copy.deepcopy(CONFIG)
    *parents, last = way
    inner = config
    for key in parents:
        inner = inner[key]
    del inner[last]
    try:
        manifest = Manifest.of(config)
    except KeyError:
        assert last in ("path", "name"), "what has no name is no config"
    else:
        assert manifest != Manifest.of(CONFIG)


def test_how_the_same_bytes_are_written_makes_no_difference() -> None:
    plain = {"path": "/etc/a", "contents": {"source": "data:,hello"}}
    packed = base64.b64encode(gzip.compress(b"hello")).decode()
    for contents in ({"source": "data:;base64,aGVsbG8="}, {"source": f"data:;base64,{packed}", "compression": "gzip"}):
        other = {"path": "/etc/a", "overwrite": True, "contents": contents}
        assert Manifest.of({"storage": {"files": [other]}}) == Manifest.of({"storage": {"files": [plain]}})


def test_a_manifest_is_the_same_after_json_and_small() -> None:
    manifest = Manifest.of(CONFIG, "salt")
    text = json.dumps(manifest.to_json())
    assert Manifest.from_json(json.loads(text)) == manifest
    entry = manifest.to_json()["paths"][0]
    assert entry == {"path": "/etc/a", "kind": "file", "mode": 0, "user": "7", "group": "0", "digest": entry["digest"]}
    assert len(entry["digest"]) == 32
    assert json.dumps(Manifest.of({}).to_json()) == "{}"


names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=30)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Configs with something of everything that has a text."""
    owners: list[dict[str, Any]] = [{}, {"user": {"id": 0}}, {"user": {"name": "core"}, "group": {"id": 500}}]
    modes: list[dict[str, Any]] = [{}, {"mode": 0}, {"mode": 0o755}]
    states: list[dict[str, Any]] = [{}, {"enabled": False}, {"mask": True}]
    owner, mode, state = st.sampled_from(owners), st.sampled_from(modes), st.sampled_from(states)
    files = [
        {"path": f"/etc/{name}", "contents": {"source": data_url(text.encode())}, **draw(owner), **draw(mode)}
        for name, text in draw(st.dictionaries(names, texts, max_size=4)).items()
    ]
    units = [
        {"name": f"{name}.service", "contents": text, **draw(state)}
        for name, text in draw(st.dictionaries(names, texts, max_size=3)).items()
    ]
    users = [
        {"name": name, "passwordHash": text, "sshAuthorizedKeys": [f"ssh-ed25519 {quote(text)} {name}"]}
        for name, text in draw(st.dictionaries(names, texts, max_size=2)).items()
    ]
    return {"storage": {"files": files}, "systemd": {"units": units}, "passwd": {"users": users}}


@given(configs(), st.sampled_from(["", "salt"]))
def test_any_manifest_is_the_same_after_json(config: dict[str, Any], salt: str) -> None:
    manifest = Manifest.of(config, salt)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@given(st.text("ABCDEFGHIJ", min_size=8, max_size=30))
def test_no_content_is_in_a_manifest(text: str) -> None:
    """Its digests are of lower case."""
    config = {
        "storage": {"files": [{"path": "/etc/a", "contents": {"source": f"data:,{text}"}}]},
        "systemd": {"units": [{"name": "a", "contents": text, "dropins": [{"name": "b", "contents": text}]}]},
        "passwd": {"users": [{"name": "a", "passwordHash": text, "sshAuthorizedKeys": [f"ssh-rsa {text}"]}]},
        "kernelArguments": {"shouldExist": [text]},
    }
    assert text not in json.dumps(Manifest.of(config).to_json())


@given(configs())
def test_with_another_salt_no_digest_is_the_same(config: dict[str, Any]) -> None:
    def digests(salt: str) -> set[str]:
        manifest = Manifest.of(config, salt)
        users = [digest for user in manifest.users for digest in (user.whole, user.password, *user.keys)]
        return {digest for digest in (*users, *(path.digest for path in manifest.paths)) if digest}

    assert not digests("one") & digests("other")


urls = st.one_of(
    st.binary(max_size=40).map(data_url),
    st.binary(max_size=40).map(lambda data: "data:text/plain;base64," + base64.b64encode(data).decode()),
    st.text('ab,;="\\%2cé/\n', max_size=20).map("data:".__add__),
    st.text('ab,;="\\%2cé/\n', max_size=20).map('data:text/plain;x="a,b"'.__add__),
)


@given(urls)
def test_data_urls_are_read_as_the_transpiler_reads_them(url: str) -> None:
    try:
        expected = decode_data_url(url)
    except CheckError:
        return
    assert decoded({"source": url}) == expected


def test_what_lies_elsewhere_has_no_bytes() -> None:
    assert decoded({"source": "https://example.com/a"}) is None
    assert decoded({}) == b""
    with pytest.raises(ValueError, match="without data"):
        decoded({"source": "data:"})
    with pytest.raises(ValueError, match="decompressed"):
        decoded({"source": "data:,hello", "compression": "gzip"})


def test_mounts_are_where_the_config_mounts_file_systems() -> None:
    manifest = Manifest.of(CONFIG)
    assert manifest.mounts == ("/srv",)
    assert sorted(manifest.rest) == [
        "ignition", "kernelArguments", "passwd.groups", "passwd.users", "storage.disks", "storage.filesystems",
        "storage.luks", "storage.raid",
    ]  # fmt: skip
    assert [path for path in manifest.paths if path.digest is None and path.kind == "file"] == [
        Path(path="/opt/c", kind="file", mode=0o644, user="0", group="0", source=manifest.paths[2].source),
        Path(path="/opt/d", kind="file", mode=0o644, user="0", group="0", source=manifest.paths[3].source),
    ]


def test_presets_are_declared_by_what_is_enabled() -> None:
    """Ignition notes what is to be disabled where it is enabled otherwise, so such a file may be missing."""
    units = [{"name": "a.service", "enabled": False}]
    assert not Manifest.of({"systemd": {"units": units}}).paths
    units.append({"name": "b.service", "enabled": True})
    assert Manifest.of({"systemd": {"units": units}}).paths == (Path(path=PRESETS, kind="file"),)


def test_paths_that_a_unit_names() -> None:
    text = (
        "[Service]\nEnvironmentFile=-/etc/web.env\nExecStart=/usr/bin/docker run -v /srv/web:/usr/share/www:ro "
        '--config=/etc/web/%i.conf "/opt/a b" --x=y/z ./rel\nReadWritePaths=/var/lib/web/ /\nWants=a.path\n'
        "EnvironmentFile=%E/app.env\nExecStart=sh -c 'a $(cat /etc/b) `cat /etc/c`>/srv/d|e' -v/opt/f:/g "
        "--h /opt/h\\\n /etc/./i //opt//j unix:///run/k a-v/l 100%%E/x\n"
        "StateDirectory=m n:o\n  ConfigurationDirectory = p/q\n"
    )
    assert named_paths(text) == (
        "/etc/web.env", "/usr/bin/docker", "/srv/web", "/usr/share/www", "/etc/web", "/opt/a", "/var/lib/web",
        "/etc/app.env", "/etc/b", "/etc/c", "/srv/d", "/opt/f", "/g", "/opt/h", "/etc/i", "/opt/j", "/run/k",
        "/var/lib/m", "/var/lib/n", "/etc/p/q",
    )  # fmt: skip
    manifest = Manifest.of({"systemd": {"units": [{"name": "a.service", "contents": "ExecStart=/bin/x\n"}]}}, "salt")
    assert manifest.units[0].names == (manifest.path_digest("/bin/x"),)


def test_a_path_is_named_through_links() -> None:
    links = [
        {"path": "/srv/current", "target": "releases/2"},
        {"path": "/srv/releases/2", "target": "/srv/blue"},
        {"path": "/srv/loop", "target": "loop"},
    ]
    unit = {"name": "a.service", "contents": "ExecStart=/bin/x /srv/current/conf /srv/loop/a\n"}
    manifest = Manifest.of({"storage": {"links": links}, "systemd": {"units": [unit]}})
    names = ("/bin/x", "/srv/current/conf", "/srv/releases/2/conf", "/srv/blue/conf", "/srv/loop/a")
    assert manifest.units[0].names == tuple(map(manifest.path_digest, names))


def test_a_keys_fingerprint() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJl68qdVMZgjVm5pq82CQiAg8DHoOd4HIHbhdcCI+haD"
    told = "SHA256:dRwFlzvMx3sBbz/KVZI/vHhy2mMeRgfiok3A+sfQvNo"  # ssh-keygen -l
    assert fingerprint(f'command="/bin/date" {key} somebody@somewhere') == told
    assert fingerprint(key) == told
    assert fingerprint("# a comment") == fingerprint("ssh-rsa AAAAa") == fingerprint("ssh-rsa =") == ""
