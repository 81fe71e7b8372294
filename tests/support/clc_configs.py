"""Container Linux Configs made up from a grammar: most are nearly right, a third and more are wrong somewhere.

`generate(random.Random(seed))` gives the same config for the same seed, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from cl.transpiler.clc.options import etcd_options, flannel_options
from cl.transpiler.clc.platforms import PLATFORMS

Node = str | list["Node"] | dict[str, "Node"]
"""A YAML node: a scalar as it is written, a list, or a mapping whose keys are written as they are."""

STRINGS = ("a", "core", '"quoted"', "'single'", "5", "true", "1.50", "0x10", "2001-01-01", "~", '""', "null", "ünïcödé")
TEXTS = (
    *STRINGS,
    "|\n  line one\n  line 100%\n",
    ">-\n  folded\n  text\n",
    '"tab\\t<&>\\u2028 \\"q\\""',
    "!!binary aGVsbG8=",
)
INTS = ("0", "1", "42", "0644", "0o755", "0x1f", "0b11", "1_000", "420.0", "-1", "0648")
BAD_INTS = ('"5"', "abc", "1.5", "[]", "{}", "99999999999999999999", "true")
BOOLS = ("true", "false", "yes", "no", "on", "off", "y", "N", "True", "OFF")
BAD_BOOLS = ('"true"', "1", "maybe", "[]")
PATHS = ("/etc/a", "/opt/bin/x", "/etc/%41 b", "/", "/etc/../b", "/etc/a/", "//x", "/etc/link/f")
BAD_PATHS = ("relative", '""', "./x", "~")
URLS = (
    "http://example.com/a", "https://user:pw@example.com:8080/a%20b?x=1#f", "data:,hello%20world",
    "data:;base64,aGk=", "oem:///a", "tftp://host/a", "s3://bucket/key", "s3://bucket/key?versionId=1",
    "HTTP://EXAMPLE.COM/ä b", "http://[::1]:80/x", '""', "http://example.com", '"http://e/?a b"',
    '"#"', '"http://example.com/#"',
)  # fmt: skip
BAD_URLS = (
    "ftp://example.com", '"http://[::1/"', '"data:abc"', '"%zz"', '"http://a b/"', '":foo"', "s3://b/k?versionId=",
    '"data:;base64,!"', '"http://example.com:port/"', "noscheme", "1:2", '"data:,%zz"', '"http://a%zz/"',
)  # fmt: skip
UNIT_TEXTS = (
    '"[Service]\\nExecStart=/bin/true\\n\\n[Install]\\nWantedBy=multi-user.target\\n"', '"[Unit]\\nDescription=x\\n"',
    "|\n  [Unit]\n  # comment\n  A=b \\\n    c\n", '""', '"foo"', '"[Service]\\n"', '"; x\\n[A]\\n\\nB=\\n"',
)  # fmt: skip
BAD_UNIT_TEXTS = (
    '"[Service"',
    '"[Service]x\\n"',
    '"[Service]\\nfoo\\n"',
    '"[Service]\\nfoo"',
    '"[A]\\nB=' + "x" * 2100 + '"',
)
SUMS = ("0" * 128, "ab" * 64, "g" * 128)
GUIDS = ("01234567-89AB-CDEF-EDCB-A98765432101", '""', "linux_filesystem_data", "swap_partition")
SIZES = (
    "512MiB",
    "1GB",
    "1.5GiB",
    '"0"',
    "1GiB512MiB",
    '""',
    "1MB",
    "0",
    ".5GB",
    "2048KiB",
    "+3MB",
    "1048576B",
    "4096",
)
BAD_SIZES = ("512", "-1MiB", "1KiB", "1kB", "MiB", "1GiB512MB", "1.5MiB", "x", '" 1MiB"', "99999999EiB", "1..5MiB")
VERSIONS = ("3.5.0", "3.05.0", "2.3.7", "3.0.1", "3.1.0", "3.2.9", "3.3.0", "3.4.16", '"3.4.1"', "3.9.0", "2.4.0-rc1+b")
BAD_VERSIONS = (
    "3.5",
    '""',
    "v3.5.0",
    "2.2.9",
    "4.0.0",
    "1.2.3-",
    "[]",
    "2.3.0-rc1",
    "3.5.x",
    "99999999999999999999.0.0",
)
FLANNEL_VERSIONS = ("0.5.0", "0.6.2", "0.7.0", "0.8.1", "0.10.0", "1.0.0", '"0.7.1"')
BAD_FLANNEL_VERSIONS = ("0.4.9", "0.7", "x.y.z")
DYNAMIC = (
    '"{PRIVATE_IPV4}"', '"http://{PUBLIC_IPV4}:2379,http://{PRIVATE_IPV4}"', '"{HOSTNAME}"', '"{"', '"}{"', '"a}b"',
    '"{PRIVATE_IPV6}{HOSTNAME}{HOSTNAME}"', '"{NOPE}"',
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One made-up config and the options to give with it."""

    text: str
    platform: str
    files_dir: bool
    strict: bool


def generate(random: Random) -> Case:
    """A config of some sections; about every second one has something wrong in it."""
    wrong = random.choice((0.0, 0.0, 0.01, 0.03, 0.1))
    grammar = _Grammar(random, wrong)
    text = _Printer(random).document(grammar.config())
    platform = random.choice(
        ("", "", "", "nope", *PLATFORMS, *PLATFORMS, *PLATFORMS, *PLATFORMS)[: random.choice((3, 40))]
    )
    return Case(text, platform, files_dir=random.random() < 0.8, strict=random.random() < 0.1)


def mutate(text: str, random: Random) -> str:
    """`text` with some characters, lines or indentations changed; often not YAML any more."""
    data = list(text)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        match random.randrange(7):
            case 0:
                data[at : at + random.randint(1, 9)] = []
            case 1:
                data[at:at] = random.choice("\t\n \x00:-[]{}&*!|>'\"%@`#,?~\\\x85\u2028\ufeffé\U0001f600\ud800")
            case 2:
                data[at:at] = data[at // 2 : at // 2 + random.randint(1, 30)]
            case 3:
                data[at:at] = random.choice(
                    (" <<: *a\n", "&a ", "*a", "!!int ", "!!binary ", "---\n", "...\n", "? ", "%YAML 1.1\n")
                )
            case 4:
                data[at : at + 1] = chr(random.choice((random.randrange(256), random.randrange(0xD800), 0xDC80)))
            case 5:
                lines = "".join(data).splitlines(keepends=True)
                random.shuffle(lines)
                data = list("".join(lines))
            case _:
                data[at : at + 1] = str(random.randrange(10**6))
    return "".join(data)


class _Grammar:
    def __init__(self, random: Random, wrong: float) -> None:
        self._random, self._wrong = random, wrong

    def _pick(self, good: tuple[str, ...], bad: tuple[str, ...] = ()) -> str:
        if bad and self._random.random() < self._wrong:
            return self._random.choice(bad)
        return self._random.choice(good)

    def _some(self, fields: Mapping[str, object], share: float = 0.6, always: tuple[str, ...] = ()) -> dict[str, Node]:
        """Some of the fields, in any order; now and then an unknown key, a null, or another type."""
        out: dict[str, Node] = {}
        names = list(fields)
        if self._random.random() < 0.3:
            self._random.shuffle(names)
        for name in names:
            if name not in always and self._random.random() > share:
                continue
            if name in always and self._random.random() < self._wrong:
                continue
            make = fields[name]
            value = make() if callable(make) else make
            roll = self._random.random()
            if roll < self._wrong / 3:
                value = self._random.choice(("~", "[]", "{}", "[a, b]", "{a: b}", "text", "5"))
            key = name
            if self._random.random() < self._wrong / 4:
                key = self._random.choice(
                    (name.upper(), name.title(), f"{name}s", "unknown", name.replace("_", "-"), "source")
                )
            out[key] = value  # type: ignore[assignment]
        return out

    def _list(self, make: Callable[[], Node], most: int = 3) -> list[Node]:
        out: list[Node] = [make() for _ in range(self._random.choice((0, 1, 1, 1, 2, most)))]
        if self._random.random() < self._wrong / 4:
            out.insert(0, self._random.choice(("~", "text", "[]", "5")))
        return out

    def _string(self) -> str:
        return self._pick(STRINGS, ("[]", "{}", "!!binary '*'", "!!int x"))

    def _strings(self) -> list[Node]:
        return self._list(self._string)

    def _int(self) -> str:
        return self._pick(INTS, BAD_INTS)

    def _uint(self) -> str:
        return self._pick(tuple(i for i in INTS if i != "-1"), (*BAD_INTS, "-1"))

    def _bool(self) -> str:
        return self._pick(BOOLS, BAD_BOOLS)

    def _mode(self) -> str:
        return self._pick(("0644", "0755", "420", "0o600", "04755", "0"), ("644444", "-1", '"0644"', "010000"))

    def _path(self) -> str:
        return self._pick(PATHS, BAD_PATHS)

    def _url(self) -> str:
        return self._pick(URLS, BAD_URLS)

    def _verification(self) -> dict[str, Node]:
        function = self._pick(("sha512", "sha512", '""'), ("sha256", "md5", "sha-512"))
        return self._some(
            {"hash": lambda: self._some({"function": function, "sum": lambda: self._pick(SUMS, ("abc", "0"))}, 0.9)},
            0.9,
        )

    def _reference(self) -> dict[str, Node]:
        return self._some({"source": self._url, "verification": self._verification}, 0.5, ("source",))

    def _ignition(self) -> dict[str, Node]:
        return self._some(
            {
                "config": lambda: self._some(
                    {"append": lambda: self._list(self._reference), "replace": self._reference}
                ),
                "timeouts": lambda: self._some({"http_response_headers": self._int, "http_total": self._int}),
                "security": lambda: self._some(
                    {"tls": lambda: self._some({"certificate_authorities": lambda: self._list(self._reference)})}
                ),
            }
        )

    def _partition(self) -> dict[str, Node]:
        return self._some(
            {
                "label": lambda: self._pick(("ROOT", "data", '""', "a" * 36), ("a" * 37, "a:b", "ü" * 20)),
                "number": lambda: self._random.choice(("0", "1", "2", "3", "4", "5", "6", "7")),
                "size": lambda: self._pick(SIZES, BAD_SIZES),
                "start": lambda: self._pick(SIZES, BAD_SIZES),
                "guid": lambda: self._pick(GUIDS[:2], ("xyz", "linux_filesystem_data")),
                "type_guid": lambda: self._pick(GUIDS, ("nope",)),
            }
        )

    def _disk(self) -> dict[str, Node]:
        partitions = {"partitions": lambda: self._list(self._partition)}
        return self._some({"device": self._path, "wipe_table": self._bool, **partitions}, 0.7, ("device",))

    def _raid(self) -> dict[str, Node]:
        return self._some(
            {
                "name": self._string,
                "level": lambda: self._pick(("raid1", "1", "linear", "stripe", "raid10"), ("raid7", '""')),
                "devices": lambda: self._list(self._path),
                "spares": lambda: self._pick(("0",), ("1", "2")),
                "options": self._strings,
            },
            0.7,
            ("level",),
        )

    def _mount(self) -> dict[str, Node]:
        create = {"force": self._bool, "options": self._strings}
        fields: dict[str, object] = {
            "device": self._path,
            "format": lambda: self._pick(("ext4", "btrfs", "xfs", "swap", "vfat"), ("ext3", '""')),
            "wipe_filesystem": self._bool,
            "label": lambda: self._pick(("ROOT", "0123456789", '""'), ("a" * 13, "a" * 17, "a" * 300)),
            "uuid": self._string,
            "options": self._strings,
        }
        if self._random.random() < 0.1 + self._wrong:
            fields["create"] = lambda: self._some(create)
        return self._some(fields, 0.5, ("device", "format"))

    def _filesystem(self) -> dict[str, Node]:
        which = self._random.random()
        both = self._random.random() < self._wrong
        fields: dict[str, object] = {"name": lambda: self._random.choice(("root", "data", "oem", "fs"))}
        if which < 0.7 or both:
            fields["mount"] = self._mount
        if which >= 0.7 or both:
            fields["path"] = self._path
        return self._some(fields, 1.0, ("mount", "path"))

    def _owner(self) -> dict[str, Node]:
        if self._random.random() < self._wrong:
            return {"id": self._int(), "name": "core"}
        return self._some({"id": self._int}) if self._random.random() < 0.5 else self._some({"name": self._string})

    def _node(self) -> dict[str, object]:
        return {
            "filesystem": lambda: self._pick(("root", "root", "root", "data", '""')),
            "path": lambda: self._pick((f"/f{self._random.randrange(1000)}", *PATHS), BAD_PATHS),
            "user": self._owner,
            "group": self._owner,
            "overwrite": self._bool,
        }

    def _remote(self) -> dict[str, Node]:
        compression = {"compression": lambda: self._pick(("gzip", '""'), ("xz", "GZIP"))}
        return self._some({"url": self._url, "verification": self._verification, **compression}, 0.5, ("url",))

    def _contents(self) -> dict[str, Node]:
        sources: dict[str, object] = {
            "inline": lambda: self._pick(TEXTS),
            "local": lambda: self._pick(
                ("hello.txt", "./hello.txt", "bin.dat", "tree/../hello.txt"), ("none", "/", "tree")
            ),
            "remote": self._remote,
        }
        several = 2 if self._random.random() < self._wrong else 1
        chosen = self._random.sample(list(sources), several)
        return self._some({name: sources[name] for name in chosen}, 0.9)

    def _file(self) -> dict[str, Node]:
        append = {"append": self._bool} if self._random.random() < 0.2 else {}
        fields = {**self._node(), "mode": self._mode, "contents": self._contents, **append}
        return self._some(fields, 0.5, ("path", "contents"))

    def _directory(self) -> dict[str, Node]:
        return self._some({**self._node(), "mode": self._mode}, 0.5, ("path",))

    def _link(self) -> dict[str, Node]:
        return self._some({**self._node(), "hard": self._bool, "target": self._path}, 0.5, ("path", "target"))

    def _storage(self) -> dict[str, Node]:
        makers = {"disks": self._disk, "raid": self._raid, "filesystems": self._filesystem, "files": self._file}
        makers |= {"directories": self._directory, "links": self._link}
        return self._some({name: (lambda make=make: self._list(make)) for name, make in makers.items()}, 0.5)

    def _dropin(self) -> dict[str, Node]:
        name = {"name": lambda: self._pick(("10-a.conf", "x.y.conf"), ("a", "a.txt", '""'))}
        return self._some({**name, "contents": lambda: self._pick(UNIT_TEXTS, BAD_UNIT_TEXTS)}, 0.8, ("name",))

    def _unit(self) -> dict[str, Node]:
        names = (f"u{self._random.randrange(1000)}.service", "a.timer", "b@.socket", "c/d.mount", "docker.service")
        return self._some(
            {
                "name": lambda: self._pick(names, ("noext", "x.conf", '""', "a.service/")),
                "enable": self._bool,
                "enabled": self._bool,
                "mask": self._bool,
                "contents": lambda: self._pick(UNIT_TEXTS, BAD_UNIT_TEXTS),
                "dropins": lambda: self._list(self._dropin),
            },
            0.5,
            ("name",),
        )

    def _networkd_unit(self) -> dict[str, Node]:
        return self._some(
            {
                "name": lambda: self._pick(("10-x.network", "a.link", "b.netdev"), ("x.service", "x")),
                "contents": lambda: self._pick(UNIT_TEXTS, BAD_UNIT_TEXTS),
                "dropins": lambda: self._list(self._dropin),
            },
            0.6,
            ("name",),
        )

    def _user_fields(self, uid: object) -> dict[str, object]:
        return {
            "uid": uid,
            "gecos": self._string,
            "home_dir": self._path,
            "no_create_home": self._bool,
            "primary_group": self._string,
            "groups": self._strings,
            "no_user_group": self._bool,
            "system": self._bool,
            "no_log_init": self._bool,
            "shell": self._path,
        }

    def _user(self) -> dict[str, Node]:
        fields: dict[str, object] = {
            "name": self._string,
            "password_hash": self._string,
            "ssh_authorized_keys": self._strings,
        }
        create = self._random.random() < 0.1
        if create:
            fields["create"] = lambda: self._some(self._user_fields(self._uint), 0.4)
        if not create or self._random.random() < self._wrong * 5:
            fields |= self._user_fields(self._int)
        return self._some(fields, 0.4, ("name",))

    def _group(self) -> dict[str, Node]:
        return self._some(
            {"name": self._string, "gid": self._uint, "password_hash": self._string, "system": self._bool}
        )

    def _value(self, kind: str, dynamic: float) -> object:
        if kind == "str" and self._random.random() < dynamic:
            return lambda: self._random.choice(DYNAMIC)
        return {"str": self._string, "int": self._int, "bool": self._bool}[kind]

    def _etcd(self) -> dict[str, Node]:
        version = self._pick(VERSIONS, BAD_VERSIONS)
        numbers = version.strip('"').split(".")
        known = (int(numbers[0]), int(numbers[1])) if numbers[0].isdigit() and len(numbers) == 3 else (3, 5)
        table = etcd_options(*(known if self._random.random() > 0.1 else (3, 5))).fields
        dynamic = self._random.choice((0.0, 0.0, 0.3))
        fields = {name: self._value(field.type.kind, dynamic) for name, field in table.items()}
        with_version: dict[str, object] = {"version": version} if self._random.random() < 0.8 else {}
        return self._some({**with_version, **fields}, self._random.choice((0.05, 0.2, 0.9)))

    def _flannel(self) -> dict[str, Node]:
        version = self._pick(FLANNEL_VERSIONS, BAD_FLANNEL_VERSIONS)
        table = flannel_options(0, self._random.choice((5, 6, 7))).fields
        dynamic = self._random.choice((0.0, 0.0, 0.3))
        fields = {name: self._value(field.type.kind, dynamic) for name, field in table.items()}
        configs = ('\'{"Network": "10.0.0.0/8"}\'', '""', "'null'", "'{}'", '" {\\"a\\": \\"{PRIVATE_IPV4}\\"} "')
        network = {"network_config": lambda: self._pick(configs, ("text", "'[]'", "'{'", "'{\"a\": 1e999}'"))}
        with_version: dict[str, object] = {"version": version} if self._random.random() < 0.8 else {}
        return self._some({**with_version, **network, **fields}, self._random.choice((0.2, 0.6)))

    def _update(self) -> dict[str, Node]:
        fields: dict[str, object] = dict.fromkeys(
            ("pcr_policy_server", "download_user", "download_password", "machine_alias"), self._string
        )
        groups = ("stable", "beta", "Alpha", '"STABLE"', '""')
        fields |= {"group": lambda: self._pick(groups, ("edge", "ÄÖ")), "server": self._url}
        return self._some(fields, 0.5, ("group",))

    def _locksmith(self) -> dict[str, Node]:
        fields: dict[str, object] = dict.fromkeys(
            ("group", "etcd_endpoints", "etcd_cafile", "etcd_certfile", "etcd_keyfile"), self._string
        )
        window: dict[str, object] = {
            "window_start": lambda: self._pick(
                ('"04:00"', "Sun 1:30", "mon 23:59 x", '"1:05"', '" Tue  2:00"'),
                ("Sunday 4:00", "24:00", "4", '" 4:00"', "4:0", '""'),
            ),
            "window_length": lambda: self._pick(
                ("1h", "1h30m", ".5h", "+5m", "-1h", '"0"', "1.5h2µs"), ("1", "h", "1d", '""')
            ),
        }
        strategies = ("reboot", "etcd-lock", "off", "Reboot", '""', "false")
        strategy = {"reboot_strategy": lambda: self._pick(strategies, ("never", "on"))}
        both = window if self._random.random() < 0.6 else {}
        return self._some({**strategy, **fields, **both}, 0.5, tuple(both))

    def config(self) -> dict[str, Node]:
        """The whole config."""
        version: dict[str, object] = (
            {"version": lambda: self._pick(("0",), ("1", "x"))} if self._random.random() < 0.05 else {}
        )
        return self._some(
            {
                **version,
                "ignition": self._ignition,
                "storage": self._storage,
                "systemd": lambda: self._some({"units": lambda: self._list(self._unit)}, 0.95),
                "networkd": lambda: self._some({"units": lambda: self._list(self._networkd_unit)}, 0.95),
                "passwd": lambda: self._some(
                    {"users": lambda: self._list(self._user), "groups": lambda: self._list(self._group)}, 0.7
                ),
                "etcd": self._etcd,
                "flannel": self._flannel,
                "update": self._update,
                "docker": lambda: self._some({"flags": self._strings}, 0.9),
                "locksmith": self._locksmith,
            },
            self._random.choice((0.1, 0.3, 0.5)),
        )


class _Printer:
    """Writes a tree as YAML in one of many styles: block or flow, comments, anchors, merge keys."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._flow = random.choice((0.0, 0.0, 0.1, 0.3))
        self._alias = random.choice((0.0, 0.0, 0.05))
        self._anchors: list[tuple[str, type]] = []

    def document(self, root: dict[str, Node]) -> str:
        head = self._random.choice(("", "", "", "# comment\n", "---\n", "\n\n", "%YAML 1.1\n---\n"))
        tail = self._random.choice(("", "", "", "...\n", "---\nsecond: document\n", "# end"))
        return (
            head + (self._block(root, 0) if root else self._random.choice(("", "{}\n", "~\n", "[]\n", "text\n"))) + tail
        )

    def _scalar(self, text: str, indent: int) -> str:
        if text[:1] in "|>" and "\n" in text:
            first, *rest = text.rstrip("\n").split("\n")
            return first + "\n" + "\n".join(" " * indent + line.strip() for line in rest)
        return text

    def _inline(self, node: Node) -> str | None:
        """In flow style, or None where a block scalar is in the way."""
        if isinstance(node, str):
            plain = node[:1] not in "\"'[{" and any(character in node for character in ",[]{}")
            return None if "\n" in node or plain else node
        if isinstance(node, list):
            items = [self._inline(item) for item in node]
            return None if None in items else "[" + ", ".join(item or "~" for item in items) + "]"
        pairs = [(key, self._inline(value)) for key, value in node.items()]
        if any(value is None for _, value in pairs):
            return None
        return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"

    def _block(self, node: Node, indent: int) -> str:
        pad = " " * indent
        out = ""
        if isinstance(node, dict):
            for key, value in node.items():
                if self._random.random() < 0.03:
                    out += f"{pad}# {key} follows\n"
                out += f"{pad}{key}:{self._value(value, indent)}"
        else:
            assert isinstance(node, list)
            for item in node:
                out += f"{pad}-{self._item(item, indent)}"
        return out

    def _anchored(self, node: Node) -> str:
        """An alias to use instead of the node, or an anchor to write before it, or nothing."""
        same = [name for name, kind in self._anchors if kind is type(node)]
        roll = self._random.random()
        if roll < self._alias and same:
            return "*" + self._random.choice(same)
        if roll < self._alias * 3:
            name = f"a{len(self._anchors)}"
            self._anchors.append((name, type(node)))
            return f"&{name} "
        return ""

    def _value(self, node: Node, indent: int) -> str:
        mark = self._anchored(node)
        if mark.startswith("*"):
            return f" {mark}\n"
        if isinstance(node, str):
            return f" {mark}{self._scalar(node, indent + 2)}\n"
        if not node or self._random.random() < self._flow:
            flow = self._inline(node)
            if flow is not None:
                return f" {mark}{flow}\n"
        deeper = indent + (
            0 if isinstance(node, list) and self._random.random() < 0.3 else self._random.choice((2, 2, 4))
        )
        if isinstance(node, dict) and self._random.random() < self._alias:
            maps = [name for name, kind in self._anchors[:-1] if kind is dict]
            if maps:
                node = {"<<": "*" + self._random.choice(maps), **node}
        return f" {mark}\n" + self._block(node, deeper)

    def _item(self, node: Node, indent: int) -> str:
        if isinstance(node, dict) and node and self._random.random() >= self._flow:
            block = self._block(node, indent + 2)
            return block[indent + 1 :] if not block.lstrip().startswith("#") else "\n" + block
        return self._value(node, indent)
