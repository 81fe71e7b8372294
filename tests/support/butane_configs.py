"""Random Butane configs for comparisons: made from the schema, so that a new field is tried at once.

Each is the function of a seed. About half of them have mistakes in them.
"""

from __future__ import annotations

import json
import random
from typing import Any

from cl.transpiler.butane.decode import VERSIONS
from cl.transpiler.schema import Struct, Type

UNIT = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
TANG = "https://tang.example"
SHA512, SHA256 = "sha512-" + "a" * 128, "sha256-" + "b" * 64

GOOD: dict[str, list[Any]] = {
    "Node.path": ["/etc/a", "/etc/b", "/opt/x/y", "/etc/files/f", "/var/lib/z", "/etc/d", "/etc/a/b", "/opt"],
    "Filesystem.path": ["/var/lib/data", "/var", "/srv/a b", "", "/"],
    "Disk.device": ["/dev/sda", "/dev/sdb", "/dev/disk/by-id/x"],
    "Filesystem.device": ["/dev/sda", "/dev/sdc1", "/dev/disk/by-label/da.ta", "/dev/mapper/crypt", "/dev/md/x"],
    "Luks.device": ["/dev/sdd1", "/dev/sde"],
    "Raid.devices": ["/dev/sda1", "/dev/sdb1", "/dev/sdc1"],
    "format": ["ext4", "btrfs", "xfs", "vfat", "swap", "none"],
    "level": ["raid1", "raid0", "linear", "raid5", "10", "mirror"],
    "mode": ["0644", "0755", "0600", "0o640", 420, "0", "01777", "0440"],
    "file_mode": ["0640", "0600"],
    "dir_mode": ["0750", "0700"],
    "compression": ["gzip", ""],
    "source": [
        "https://example.com/a",
        "http://example.com/b?x=1",
        "data:,hello",
        "data:;base64,aGVsbG8=",
        "s3://bucket/key",
        "tftp://host/x",
        "gs://bucket/x",
        "arn:aws:s3:::bucket/key",
        "data:text/plain;charset=utf-8,abc%20d",
        "",
    ],
    "inline": ["", "hello\n", "line one\nline two\n", "a" * 400, "x: ${y}\n", "\u00e9\u4e2d<&>\n", "{}", "é" * 90],
    "local": ["hello.txt", "big.txt", "bin.dat", "/u.service", "tree/f"],
    "Tree.local": ["tree", "tree2", "/tree/sub"],
    "hash": [SHA512, SHA256],
    "HTTPHeader.name": ["Accept", "X-A", "X-B"],
    "HTTPHeader.value": ["text/plain", "1"],
    "Unit.name": ["a.service", "b.service", "c@.service", "c@1.service", "d.timer", "var-lib-data.mount", "e.path"],
    "Dropin.name": ["10-a.conf", "20-b.conf"],
    "Quadlet.name": ["web.container", "web@.container", "web@1.container", "data.volume", "x.kube"],
    "contents": [UNIT, "[Service]\nType=oneshot\n", "[Unit]\nA=b\\\n c\n# comment\n", "", "no section\n"],
    "contents_local": ["u.service", ""],
    "PasswdUser.name": ["core", "ada", "bob"],
    "PasswdGroup.name": ["wheel", "docker"],
    "groups": ["wheel", "docker", "sudo"],
    "ssh_authorized_keys": ["ssh-ed25519 AAAA a", "ssh-rsa BBBB b", "ssh-rsa CCCC c"],
    "ssh_authorized_keys_local": ["id.pub", "id2.pub"],
    "http_proxy": ["http://proxy:8080", "https://proxy"],
    "https_proxy": ["https://proxy:8443"],
    "label": ["data", "ROOT", "var"],
    "guid": ["01234567-89AB-CDEF-EDCB-A98765432101", ""],
    "type_guid": ["0FC63DAF-8483-4772-8E79-3D69D8477DE4"],
    "number": [0, 1, 2, 3, 4],
    "size_mib": [0, 100, 512, 9000],
    "start_mib": [0, 1, 200, 1024],
    "Luks.name": ["crypt", "data"],
    "Raid.name": ["x", "y"],
    "Tang.url": [TANG, "http://tang.example:1/x"],
    "thumbprint": ["abc"],
    "advertisement": ['{"payload": "x"}', ""],
    "pin": ["tpm2", "tang", "sss"],
    "config": ["{}", "x"],
    "threshold": [0, 1, 2],
    "layout": ["x86_64", "aarch64", "ppc64le"],
    "BootDeviceMirror.devices": ["/dev/vda", "/dev/vdb", "/dev/vdc"],
    "should_exist": ["quiet", "console=tty0"],
    "should_not_exist": ["nosmt", "rd.debug"],
    "no_proxy": ["localhost", "example.com"],
}
BAD: dict[str, list[Any]] = {
    "Node.path": [
        "", "relative", "/a//b", "/a/", "/etc/systemd/system/a.service", "/etc/systemd/system/a.service.d/10-a.conf",
    ],
    "Filesystem.path": ["relative", "/a/../b"],
    "Disk.device": ["", "sda", "/dev/sda/"],
    "Filesystem.device": ["", "sda"],
    "Luks.device": ["", "x"],
    "Raid.devices": ["sda", ""],
    "format": ["ntfs", "", "EXT4"],
    "level": ["raid7", ""],
    "mode": [644, 755, "0648", "010000", -1, "07777", 1777, "0o9", 5.5],
    "compression": ["xz", "GZIP"],
    "source": [
        "oem:///x", "example.com", "data:,a b", "data:x", "data:;base64,a", "http://[::1", "s3://b/k?versionId=",
        "arn:aws:s3:::bucket", "arn:aws:ec2:::b/k", "http://a:b:c/", "ftp://x", "http://%zz", ":", "data:,%zz", "a b",
        "arn:aws:s3:::b/k?versionId=", "arn:x",
    ],
    "inline": ["{", '{"ignition":{"version":"3.3.0"}}', '{"ignition":{"version":"3.4.0"},"x":1}', '{"storage":[]}'],
    "local": ["missing", "../x", "tree", ""],
    "Tree.local": ["", "missing", "hello.txt", ".."],
    "hash": ["sha512", "md5-abc", "sha512-abc", "sha256-abc", ""],
    "HTTPHeader.name": [""],
    "HTTPHeader.value": [""],
    "Unit.name": ["", "a", "a.conf", "a.service/", "x.y/z"],
    "Dropin.name": ["", "a.txt", "b"],
    "Quadlet.name": ["", "web", "x.service", "../a.pod"],
    "contents": [
        "[Unit", "[Unit] x\n", "[Unit]\nnothing\n", "[Unit]\nA", "[X]\n" + "y" * 3000, "[Unit]\nA=" + "z" * 2100,
    ],
    "contents_local": ["missing", "../u.service"],
    "ssh_authorized_keys_local": ["missing", "../x"],
    "http_proxy": ["proxy", "ftp://x", "http://[", ""],
    "https_proxy": ["http://proxy", "proxy"],
    "label": ["a" * 12, "a" * 13, "a" * 17, "a" * 37, "a:b", "a" * 48, "a" * 260, ""],
    "guid": ["x", "0123"],
    "type_guid": ["0FC63DAF"],
    "number": [-1, 1.5, "x"],
    "size_mib": [-1, "1GiB"],
    "start_mib": [-5],
    "Luks.name": ["a/b", ""],
    "Tang.url": ["", "ftp://x", "://"],
    "thumbprint": [""],
    "advertisement": ["{", "NaN"],
    "pin": ["x", ""],
    "config": [""],
    "layout": ["mips", ""],
    "BootDeviceMirror.devices": ["x"],
}  # fmt: skip
OTHER: dict[str, list[Any]] = {
    "str": ["x", "some text", "y", 5, True, ""],
    "int": [0, 1, 500, -1],
    "uint": [0, 1],
    "bool": [True, False],
}
IDENTITY = ("device", "devices", "level", "format", "target", "url")
WRONG: list[Any] = [None, [], {}, "text", 7, True, ["a"], {"a": 1}, "~", 1.5]


class Maker:
    """Makes one config. `mistakes` is the chance of a bad value per field."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.mistakes = self.random.choice([0.0, 0.0, 0.02, 0.06, 0.15])
        self.density = self.random.choice([0.15, 0.3, 0.5])

    def config(self) -> dict[str, Any]:
        """The config as plain values."""
        variants = [key for key in VERSIONS for _ in range(4 if key[0] == "flatcar" else 1)]
        variant, version = self.random.choice(variants)
        made = self.struct(VERSIONS[variant, version].struct, 0)
        made.pop("variant", None), made.pop("version", None)
        return {"variant": variant, "version": version, **made}

    def struct(self, struct: Struct, depth: int) -> dict[str, Any]:
        """Some fields of a struct; those that identify it are nearly always there."""
        out: dict[str, Any] = {}
        fields = list(struct.fields.values())
        self.random.shuffle(fields)
        sources = {"inline", "local", "source"} & set(struct.fields)
        chosen = self.random.choice(sorted(sources)) if sources else None
        for field in fields:
            kind = field.type
            identity = "required" in field.metadata or field.key in IDENTITY
            likely = 0.97 if identity else 0.75 if depth == 0 else self.density
            if field.key in sources and field.key != chosen:
                likely = self.mistakes
            if field.key in ("boot_device", "grub", "clevis", "cex", "merge", "replace") and kind.kind != "str":
                likely *= 0.35
            if self.random.random() >= likely:
                continue
            if self.random.random() < self.mistakes * 0.15:
                out[field.key] = self.random.choice(WRONG)
            else:
                out[field.key] = self.value(struct, field.key, kind, depth)
        if self.random.random() < self.mistakes:
            out[self.random.choice(["unknown", "Path", "nmae", "etcd"])] = self.random.choice(WRONG)
        return out

    def value(self, struct: Struct, key: str, kind: Type, depth: int) -> Any:
        """A value for a field."""
        if kind.item is not None:
            count = self.random.choice([1, 1, 2, 3]) if self.random.random() > 0.05 else 0
            return [self.value(struct, key, kind.item, depth + 1) for _ in range(count)]
        if kind.struct is not None:
            return self.struct(kind.struct, depth + 1)
        if kind.kind == "bool":
            return self.random.choice(OTHER["bool"])
        pool = BAD if self.random.random() < self.mistakes else GOOD
        for cls in struct.cls.__mro__:
            if (values := pool.get(f"{cls.__name__}.{key}")) is not None:
                return self.random.choice(values)
        return self.random.choice(pool.get(key) or OTHER[kind.kind])


def dump(value: Any, rng: random.Random, indent: int = 0) -> str:
    """The value as YAML, in a style that changes from one part to the next."""
    pad = " " * indent
    if isinstance(value, dict) and value and rng.random() > 0.05:
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item and rng.random() > 0.05:
                step = indent + 2 if isinstance(item, dict) or rng.random() < 0.7 else indent
                lines.append(f"{pad}{key}:\n{dump(item, rng, step)}")
            else:
                lines.append(f"{pad}{key}: {scalar(item, rng, indent + 2)}")
        return "\n".join(lines)
    if isinstance(value, list) and value and rng.random() > 0.05:
        lines = []
        for item in value:
            if isinstance(item, dict) and item:
                lines.append(f"{pad}- {dump(item, rng, indent + 2).lstrip()}")
            else:
                lines.append(f"{pad}- {scalar(item, rng, indent + 2)}")
        return "\n".join(lines)
    return pad + scalar(value, rng, indent)


def scalar(value: Any, rng: random.Random, indent: int) -> str:
    """A value in one line, or a text as a block."""
    if isinstance(value, str):
        plain = value.replace("/", "").replace(".", "").replace("-", "").replace("_", "")
        if plain.isalnum() and plain.isascii() and rng.random() < 0.6:
            return value
        if "\n" in value and value.strip() and value[0] not in " \n" and rng.random() < 0.7:
            mark = "|" if value.endswith("\n") else "|-"
            body = value.removesuffix("\n")
            return mark + "\n" + "\n".join(" " * indent + line if line else "" for line in body.split("\n"))
        if "'" not in value and "\n" not in value and rng.random() < 0.3:
            return f"'{value}'"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def butane_config(seed: int) -> str:
    """The config of a seed, as YAML text."""
    maker = Maker(seed)
    return dump(maker.config(), maker.random) + "\n"


MARKS = ["null", "&a ", "*a", "<<: *a", "!!int ", "!!binary aGk=", "0x1F", "---\n"]


def mutate(text: str, rng: random.Random) -> str:
    """The text with a few random edits."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        place = rng.randrange(len(text) + 1)
        match rng.randrange(8):
            case 0:
                del lines[at]
                text = "\n".join(lines)
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[at])
                text = "\n".join(lines)
            case 2:
                lines[at] = rng.choice([" ", "  ", "\t", "- ", "# "]) + lines[at]
                text = "\n".join(lines)
            case 3:
                lines[at] = lines[at].lstrip()
                text = "\n".join(lines)
            case 4:
                text = text[:place] + rng.choice(list(":-[]{}#&*!|>'\"%@`,?~\x00\x85\u2028\ufeffé0")) + text[place:]
            case 5:
                text = text[:place] + text[place + rng.randrange(1, 9) :]
            case 6:
                text = text[:place] + rng.choice(MARKS) + text[place:]
            case _:
                text = text[:place] + text[rng.randrange(len(text) + 1) :]
        text = text or "\n"
    return text
