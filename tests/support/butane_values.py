"""Random Butane configs of one topic each, in which one kind of value occurs many times, most of them edited.

`butane_configs` reaches every field; this reaches the odd spellings of what the rules look at: URLs, unit texts, paths,
names, labels, GUIDs, hashes, modes, partitions, and Ignition configs that stand inline.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from cl.transpiler import transpile
from cl.transpiler.butane.decode import VERSIONS
from tests.support.butane_configs import BAD, GOOD, butane_config, dump

Values = dict[str, Any]

URLS = [
    *GOOD["source"], *BAD["source"], "http://user:pw@host:80/p?q=1#f", "https://[fe80::1%25en0]:8080/", "//host/path",
    "http://host:port/", "HTTP://EXAMPLE.com/%7Efoo", "s3://bucket/key?versionId=abc", "mailto:a@b", "http:opaque",
    "arn:aws:s3:us-east-1:123:accesspoint/name/object/key", "arn:aws:s3:::bucket/key?versionId=x", "data:,+a%20b",
    "data:text/plain;base64,SGk=", "data:;charset=utf-8;base64,SGk=", 'data:text/plain;a="b c",x', "http://h/%",
    "data:image/png,%00%ff", "tftp://h:69/a b", "gs://b", "/just/path", "?q", "#frag", "file:///etc/passwd",
    "https://ex ample.com", "http://é.example/ü", "data:,caf%C3%A9", "http://1.2.3.4:99999/", "http://[::1]:80x/",
]  # fmt: skip
UNITS = [
    *GOOD["contents"], *BAD["contents"], "[Install]\n", "[Install]\nWantedBy=a\\\n b\n", "A=b\n", "[A]\nb\n=c\n",
    "[Service]\r\nA=b\r\n[Install]\r\nX=y\r\n", ";c\n#d\n[A]\n;x\nb = c\n", "[A]\n=\n", "[A]\nb=\\\n", "[A]]\n",
    "[ A ]\n x = y\n", "[A]\n[B]\nc=d", "[A]\nb=c\n# x\\\n d=e\n", "[Install]\nAlias=\n",
    "[A]\n\n\nb=c\\\n\\\nd\n[Install]\ne=f",
]  # fmt: skip
NAMES = [
    *GOOD["Unit.name"], *BAD["Unit.name"], "x@.service", "x@y@z.service", "x@y.service", ".service", "@.service",
    "@a.service", "a.SERVICE", "a.service.d", "a b.service", "é.mount", "a.automount", "a.swap", "a.", "a/..service",
]  # fmt: skip
PATHS = [
    *GOOD["Node.path"], *BAD["Node.path"], "/", "//", "/.", "/..", "/a/../b", "/a/./b", "a", ".", "/a b", "/é", "//a",
    "/a//", "/etc/systemd/system/b.service", "/opt/x", "/\t", "/a\\b", "/...", "/a/...",
]  # fmt: skip
LABELS = [
    *GOOD["label"], *BAD["label"], *("é" * count for count in (6, 8, 18)), *("a" * size for size in (11, 15, 16, 36)),
    "a" * 47, "a" * 256, "a" * 257, "root", "boot", "BIOS-BOOT", "EFI-SYSTEM", "PowerPC-PReP-boot", ":",
]  # fmt: skip
GUIDS = [*GOOD["guid"], *BAD["guid"], *GOOD["type_guid"], "01234567-89ab-cdef-edcb-a98765432101\n"]
HASHES = [*GOOD["hash"], *BAD["hash"], "sha512-", "-", "sha512-" + "é" * 64, "SHA512-" + "a" * 128]
DEVICES = [
    *GOOD["Filesystem.device"], *GOOD["Disk.device"], "", "sda", "/dev/disk/by-id/dm-name-crypt", "/dev/mapper/data",
    "/dev/a b", "/dev/é", "/dev/.x", "/dev/x-y", "/", "/dev//x", "/dev/x/",
]  # fmt: skip
LEVELS = [*GOOD["level"], "0", "stripe", "1", "raid4", "4", "5", "raid6", "6", "raid10", "container", "RAID1", ""]
QUADLETS = [
    *GOOD["Quadlet.name"], *BAD["Quadlet.name"], "a@b@c.container", "@.container", "a@.pod", "x.image", "x.build",
    "x.artifact", "x.network", "dir/x.pod", ".container", "a.b@c.d.container",
]  # fmt: skip
ADVERTISEMENTS = ['{"a":1}', "[]", "1e400", '"x', "nan", "01", "", " 1 ", "9" * 400]


class Maker:
    """Makes one config. `chance` decides what is there, `edited` takes a value and mostly changes a character."""

    def __init__(self, seed: str, spec: int) -> None:
        self.random, self.spec = random.Random(seed), spec

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def some(self, probability: float, **values: Any) -> Values:
        """Some of the values."""
        return {name: value for name, value in values.items() if self.chance(probability)}

    def edited(self, values: list[str], alphabet: str) -> str:
        text = self.random.choice(values)
        for _ in range(self.pick(0, 0, 1, 1, 1, 2)):
            at, to = (self.random.randrange(len(text) + 1) for _ in "ab")
            new = self.random.choice(alphabet)
            text = self.pick(text[:at] + new + text[at:], text[:at] + text[at + 1 :], text[:at] + new + text[at + 1 :],
                             text[: max(at, to)] + text[min(at, to) :])  # fmt: skip
        return text

    def url(self) -> str:
        return self.edited(URLS, "abc:/?#[]@!$&'()*+,;=%0F-._~ \t\"<>\\^`{|}é\x7f")

    def name(self, values: list[str]) -> str:
        return self.edited(values, "a@./-: é")

    def path(self, values: list[str]) -> str:
        return self.edited(values, "/.a é-@")

    def any(self, values: list[str]) -> str:
        return self.edited(values, "aZ0/:-_.,@ é\n\"'\\")

    def unit(self) -> str:
        return self.edited(UNITS, "[]=\\\n\r #;ab\t\u00a0\x85\u2028")

    def flags(self, probability: float, *names: str) -> Values:
        return {name: self.pick(True, False) for name in names if self.chance(probability)}


def urls(make: Maker) -> Values:
    """Sources with hashes, compression and headers; proxies, configs, certificates."""
    files = []
    for number in range(20):
        headers = [make.some(0.9, name=make.pick("A", "B", ""), value=make.any(["x", ""])) for _ in range(2)]
        resource = {
            "source": make.url(),
            **make.some(0.3, compression=make.pick("gzip", "", "xz"), verification={"hash": make.any(HASHES)}),
            **make.some(0.25, http_headers=headers),
        }
        contents = make.pick({"contents": resource}, {"append": [resource]})
        files.append({"path": f"/f{number}", **contents, **make.flags(0.3, "overwrite")})
    sources = [{"source": make.url()} for _ in range(8)]
    ignition = {
        "proxy": {"http_proxy": make.url(), "https_proxy": make.url()},
        "config": {"merge": sources[:4], "replace": {"source": make.url()}},
        "security": {"tls": {"certificate_authorities": sources[4:]}},
    }
    return {"storage": {"files": files}, **make.some(0.5, ignition=ignition)}


def units(make: Maker) -> Values:
    """Units and drop-ins with names and texts, and files in their places."""
    out: list[Values] = []
    for number in range(15):
        name = make.pick(f"u{number}.service", make.name(NAMES))
        dropins = [
            {"name": make.name(["a.conf", "10-b.conf", "x", "", ".conf"]), **make.some(0.8, contents=make.unit())}
            for _ in range(make.pick(0, 1, 2))
        ]
        out.append(
            {"name": name, **make.some(0.7, contents=make.unit(), dropins=dropins), **make.flags(0.5, "enabled")}
        )
    taken = [unit["name"] for unit in out]
    taken += [f"{unit['name']}.d/{dropin['name']}" for unit in out for dropin in unit.get("dropins", [])]
    nodes = {
        kind: [{"path": f"/etc/systemd/system/{make.pick(*taken)}"} for _ in range(2)]
        for kind in ("files", "directories")
    }
    return {"systemd": {"units": out}, **make.some(0.4, storage=nodes)}


def nodes(make: Maker) -> Values:
    """Files, directories and links that share paths and lead through each other, with modes and owners."""

    def node(kind: str) -> Values:
        mode = make.pick(make.random.randrange(0o10010), make.random.randrange(7778), -1, 0o644, 644, 1777, 0o1777)
        owner = {"id": make.pick(0, 1, -1), "name": make.pick("a", "")}
        more = (
            {"mode": mode}
            if kind != "links"
            else {"target": make.path([*PATHS, "../x", "d"]), "hard": make.pick(True, False)}
        )
        contents = make.pick({"inline": "x"}, {"source": ""}, {}) if kind == "files" else None
        return {
            "path": make.path(PATHS), **make.some(0.7, **more), **make.flags(0.2, "overwrite"),
            **make.some(0.2, user=make.some(0.6, **owner), group=make.some(0.6, **owner)),
            **({"contents": contents} if contents is not None and make.chance(0.4) else {}),
        }  # fmt: skip

    return {"storage": {kind: [node(kind) for _ in range(8)] for kind in ("files", "directories", "links")}}


def disks(make: Maker) -> Values:
    """Partitions that may overlap or collide, file systems on them, and their mount units.

    No more than three on a disk: where two numbers occur twice each, butane names one of them at random.
    """
    numbers = (0, 1, 50, 100, 8191, 8192, -3)

    def partition(number: int) -> Values:
        return {
            **make.some(0.6, number=make.pick(0, 1, 2, 3, 4, number, -1), label=make.any([f"p{number}", *LABELS])),
            **make.some(0.5, size_mib=make.pick(*numbers), start_mib=make.pick(*numbers, 200)),
            **make.some(0.25, guid=make.any(GUIDS), type_guid=make.any(GUIDS)),
            **make.flags(0.2, "wipe_partition_entry", "should_exist", "resize"),
        }

    def filesystem(number: int) -> Values:
        return {
            "device": make.name([*DEVICES, *[f"/dev/sd{number}"] * 6]),
            **make.some(0.85, format=make.pick(*GOOD["format"] * 4, *BAD["format"])),
            **make.some(0.5, label=make.any(LABELS), path=make.path([*PATHS, *GOOD["Filesystem.path"]])),
            **make.some(0.3, mount_options=make.pick([], ["a"], ["a,b", ""]), options=make.pick([], ["a", "a"])),
            **make.flags(0.3, "wipe_filesystem"), **make.flags(0.5, "with_mount_unit"), **make.some(0.2, uuid="x"),
        }  # fmt: skip

    made = [
        {"device": f"/dev/sd{n}", "partitions": [partition(i) for i in range(make.pick(0, 2, 3))],
         **make.flags(0.4, "wipe_table")} for n in range(6)
    ]  # fmt: skip
    unit = {
        "name": make.pick("var-lib-data.mount", "var.mount", "-.mount", "opt.mount", "dev-sda.swap"),
        **make.pick({}, {"enabled": False}, {"mask": True}, {"contents": "[Mount]\nWhat=x\n"}),
    }
    storage = {"disks": made, "filesystems": [filesystem(n) for n in range(6)]}
    return {"storage": storage, **make.some(0.4, systemd={"units": [unit]})}


def volumes(make: Maker) -> Values:
    """Encrypted volumes and what unlocks them, and RAIDs."""

    def luks(number: int) -> Values:
        tang = [
            make.some(0.8, url=make.edited(["https://t", "http://t:1/"], ":/ %[]x"), thumbprint=make.pick("a", ""),
                      advertisement=make.edited(ADVERTISEMENTS, '{}[]",:0e.-t ')) for _ in "ab"
        ]  # fmt: skip
        custom = make.some(0.7, pin=make.pick("tpm2", "x", ""), config=make.pick("{}", ""), needs_network=True)
        clevis = {**make.some(0.4, tang=tang, threshold=make.pick(0, 1, 2), custom=custom), **make.flags(0.3, "tpm2")}
        key_file = make.pick({"inline": "k"}, {"source": make.url()}, {"local": "hello.txt"})
        return {
            "name": make.pick(f"n{number}", make.name(["crypt"])), **make.some(0.9, device=make.name(DEVICES)),
            **make.some(0.3, label=make.any(LABELS), key_file=key_file, clevis=clevis),
            **make.some(0.2, options=make.pick(["a", "a"], []), open_options=make.pick(["a", "a"], ["b"])),
            **make.some(0.1, cex=make.pick({"enabled": True}, {})), **make.flags(0.2, "wipe_volume", "discard"),
        }  # fmt: skip

    def raid(number: int) -> Values:
        devices = [make.name(DEVICES) for _ in range(make.pick(0, 1, 2, 3))]
        return {
            "name": make.pick(f"r{number}", make.name(["md"])),
            **make.some(0.9, level=make.edited(LEVELS, "raid0156"), devices=devices),
            **make.some(0.4, spares=make.pick(0, 1, -1), options=["a", "a"]),
        }

    return {"storage": {"luks": [luks(n) for n in range(8)], "raid": [raid(n) for n in range(8)]}}


@cache
def _valid(spec: int) -> list[str]:
    texts = (transpile(butane_config(seed)).json for seed in range(600))
    return [text for text in texts if text is not None and f'"3.{spec}.' in text and len(text) < 4000]


def inline(make: Maker) -> Values:
    """Ignition configs inside of a config: of the right version and of others, whole and broken."""

    def text() -> str:
        whole: str = make.pick(*_valid(make.spec), '{"ignition":{"version":"3.9.0"}}')
        if make.chance(0.2):  # keys that come again, in another spelling
            again = '{"Ignition":{"version":null},"STORAGE":{"files":[{"mode":511,"path":null}]},"passwd":null,'
            return whole.replace("{", again, 1)
        if make.chance(0.6):
            return make.edited([whole], '{}[]",:0123456789eE.-+truefalsn \\u\n/')
        return json.dumps(json.loads(whole), indent=make.pick(None, 1))

    return {"ignition": {"config": {"merge": [{"inline": text()}, {"inline": text()}], "replace": {"inline": text()}}}}


def trees(make: Maker) -> Values:
    """Trees, quadlets and other local files, among entries that are in their way."""
    local = make.pick("hello.txt", "tree/f", "tree/l", "missing", "..", ".", "", "a/../hello.txt", "/hello.txt", "tree")
    file = {
        "path": make.pick("/f", "/sub/x.sh", "/etc/hosts"),
        **make.pick({}, {"contents": {"local": local}}, {"mode": 384}),
    }
    tree = {
        "local": make.pick("tree", "tree2", "tree/sub"), **make.some(0.7, path=make.path(PATHS)),
        **make.some(0.3, user={"name": "core"}, dir_mode=make.pick(0o700, 755), file_mode=make.pick(0o600, 644)),
    }  # fmt: skip
    quadlets = [
        {"name": make.name(QUADLETS), **make.flags(0.5, "rootful"),
         **make.some(0.6, contents="[Container]\n", contents_local=make.pick("hello.txt", "missing", ""),
                     dropins=[{"name": make.name(["a.conf", ""]), "contents": "[A]\nb=c\n"}])} for _ in range(6)
    ]  # fmt: skip
    keys = make.pick(["id.pub", "id2.pub"], ["id.pub", "id.pub"], ["missing", "id.pub"], ["bin.dat"], [""])
    unit = {
        "name": "a.service",
        **make.some(0.7, contents_local=make.pick("u.service", "missing", "bin.dat"), contents=""),
    }
    storage = {
        "trees": [tree], **make.some(0.5, files=[file], directories=[{"path": make.pick("/sub", "/f", "/etc")}]),
        **make.some(0.4, links=[{"path": make.pick("/l", "/f"), **make.some(0.5, target="x")}]),
    }  # fmt: skip
    return {
        "storage": storage, "systemd": {"units": [unit], "quadlets": quadlets},
        "passwd": {"users": [{"name": "a", "ssh_authorized_keys": ["k"], "ssh_authorized_keys_local": keys}]},
    }  # fmt: skip


def boot_devices(make: Maker) -> Values:
    """The system disk of fcos, and entries of the user that meet what it generates."""
    luks = {**make.flags(0.6, "tpm2", "discard"), **make.some(0.5, tang=[{"url": make.url(), "thumbprint": "x"}])}
    mirror = {"devices": [make.pick("/dev/sda", "/dev/sdb", "x") for _ in range(make.pick(1, 2, 3))]}
    layout = make.pick("x86_64", "aarch64", "ppc64le", "mips")
    device = {**make.some(0.8, layout=layout), **make.some(0.6, luks=luks), **make.some(0.7, mirror=mirror)}
    root = make.pick({}, {"label": "y" * 50}, {"device": "z"}, {"clevis": {"custom": {"pin": "x"}}})
    grub = make.pick({"contents": {"inline": "x"}}, {"append": [{"inline": "y"}]})
    partition = make.pick({"label": "root-1"}, {"label": "root", "size_mib": 5})
    storage = make.some(
        0.4,
        filesystems=[
            {"device": make.pick("/dev/mapper/root", "/dev/md/md-root", "/dev/disk/by-partlabel/esp-1"),
             **make.pick({"format": "btrfs"}, {"label": "x" * 20}, {"path": "/"}, {"wipe_filesystem": False})}
        ],
        luks=[{"name": "root", **root}],
        raid=[{"name": "md-root", **make.pick({}, {"level": "raid9"}, {"devices": ["x"]}, {"options": ["a"]})}],
        disks=[{"device": "/dev/sda", "partitions": [partition]}],
        files=[{"path": "/boot/grub2/user.cfg", **grub}],
    )  # fmt: skip
    users = [make.some(0.9, name=make.pick("root", "a b", ""), password_hash=make.pick("grub.x", "")) for _ in "ab"]
    return {"boot_device": device, "storage": storage, **make.some(0.5, grub={"users": users})}


def versions(make: Maker) -> Values:
    """A variant and a version that nearly are ones."""
    variant = make.edited(["flatcar", "fcos"], "fcos a")
    return {"variant": variant, "version": make.edited(["1.1.0", "1.0.0", "1.2.0-experimental"], "0.1-+vx 2")}


TOPICS: dict[str, Callable[[Maker], Values]] = {
    made.__name__: made for made in (urls, units, nodes, disks, volumes, inline, trees, boot_devices, versions)
}


def values_config(topic: str, seed: int) -> str:
    """The config of a topic and a seed, as YAML text."""
    chosen = random.Random(f"{topic} {seed}")
    keys = [*VERSIONS, *[key for key in VERSIONS if key[0] == "flatcar"] * 3]
    if topic == "boot_devices":
        keys = [("fcos", "1.3.0"), ("fcos", "1.4.0"), ("fcos", "1.5.0")]
    if topic in ("trees", "volumes"):
        keys += [("flatcar", "1.2.0-experimental"), ("fcos", "1.5.0")] * 4
    variant, version = chosen.choice(keys)
    made = TOPICS[topic](Maker(f"{topic} {seed}", VERSIONS[variant, version].spec))
    return dump({"variant": variant, "version": version, **made}, chosen) + "\n"
