"""The published Flatcar configs in ../shared/corpus, where there is one beside the checkout, and edits of them."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from cl.transpiler import transpile
from cl.transpiler.fragments import merged
from components.payload.fragments import text_file
from components.payload.machine_config import STAMP
from components.payload.rollback import retry_fragment, rollback_fragment
from toolchain.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from components.payload.fragments import IgnitionConfig

CORPUS = ROOT.parent / "shared" / "corpus" / "public-flatcar.jsonl"
PROGRAM = """\
#!/usr/bin/bash
unit=$(sed 's|.*/||' /proc/self/cgroup)
case $(systemctl show --property=Type,SubState --value "$unit" | tr '\\n' ' ') in
oneshot*) exit 0 ;;
*running* | *' start '*) ;;
*) exit 0 ;;
esac
if [ -n "${NOTIFY_SOCKET-}" ]; then systemd-notify --ready; fi
exec sleep infinity
"""
SERVICE = "[Service]\nExecStart=/usr/bin/sleep infinity\n"
NEEDED = re.compile(r"^(?:Requires|BindsTo)=(.*)", re.MULTILINE)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6W8SFCWCqzYL3bMqhZrLVqgZcnxX+HPoYzAYyZ2bEv"


def published() -> dict[str, IgnitionConfig]:
    """By where it is from: those that are a whole config, in spec 3."""
    found = {}
    for number, line in enumerate(CORPUS.read_text().splitlines()):
        document = json.loads(line)
        config = transpile(document["yaml"], spec="3").config
        if config:
            found[f"{number} {document['source']}"] = config
    return found


def fits_a_container(config: IgnitionConfig) -> bool:
    """Whether it needs no disks and no kernel of its own, and whether nothing outside has to answer."""
    storage = config.get("storage", {})
    contents = [
        part for file in storage.get("files", []) for part in [file.get("contents", {}), *file.get("append", [])]
    ]
    return (
        not any(storage.get(kind) for kind in ("disks", "filesystems", "raid", "luks"))
        and not config.get("kernelArguments")
        and not config["ignition"].get("config")
        and all((part.get("source") or "data:").startswith("data:") for part in contents)
    )


def add_programs(usr: Path, configs: Iterable[IgnitionConfig]) -> None:
    """Put what their units start or need, and the stand-in does not have, into its /usr: it runs, and does nothing."""
    for config in configs:
        for unit in config.get("systemd", {}).get("units", []):
            system = usr / "lib/systemd/system" / unit["name"]
            if not unit.get("contents") and unit["name"].endswith(".service") and not system.exists():
                system.write_text(f"{SERVICE}[Install]\nWantedBy=multi-user.target\n")
            for text in (unit.get("contents") or "", *(part.get("contents") or "" for part in unit.get("dropins", []))):
                for name in re.findall(r"\b[\w-]+\.service\b", " ".join(NEEDED.findall(text))):
                    if not (usr / "lib/systemd/system" / name).exists():
                        (usr / "lib/systemd/system" / name).write_text(SERVICE)
                for name in re.findall(r"^Exec\w+=[-@:+!]*(?:/usr)?/(s?bin/[\w.-]+)", text, re.MULTILINE):
                    program = usr / name
                    if not program.exists():
                        program.write_text(PROGRAM)
                        program.chmod(0o755)


def edits(config: IgnitionConfig) -> Iterator[tuple[str, IgnitionConfig]]:
    """One change each, as people make them: what it is, and the config with it."""
    for kind in ("files", "links", "directories"):
        for number in range(len(config.get("storage", {}).get(kind, []))):
            yield from _of_a_node(config, kind, number)
    for number in range(len(config.get("systemd", {}).get("units", []))):
        yield from _of_a_unit(config, number)
    for number in range(len(config.get("passwd", {}).get("users", []))):
        other = copy.deepcopy(config)
        other["passwd"]["users"][number].setdefault("sshAuthorizedKeys", []).append(KEY)
        yield "a key is added", other
        other = copy.deepcopy(config)
        other["passwd"]["users"][number]["passwordHash"] = "$6$salt$hash"
        yield "a password changes", other
    other = copy.deepcopy(config)
    other.setdefault("passwd", {}).setdefault("users", []).append({"name": "added", "sshAuthorizedKeys": [KEY]})
    yield "a user is added", other


def whole(config: IgnitionConfig) -> tuple[str, IgnitionConfig]:
    """The config id and the object, with what this program adds to each."""
    config_id = hashlib.sha512(json.dumps(config).encode()).hexdigest()
    stamp: IgnitionConfig = {"storage": {"files": [text_file(STAMP, config_id + "\n")]}}
    return config_id, merged(config, merged(retry_fragment(config), merged(rollback_fragment(300), stamp)))


def _of_a_node(config: IgnitionConfig, kind: str, number: int) -> Iterator[tuple[str, IgnitionConfig]]:
    word = {"files": "file", "links": "link", "directories": "directory"}[kind]
    changes: dict[str, dict[str, dict[str, Any]]] = {
        "files": {
            "has another content": {"contents": {"source": "data:,other%0A"}},
            "has another mode": {"mode": 0o640},
            "has another owner": {"user": {"name": "core"}},
        },
        "links": {"has another target": {"target": "/usr/share"}},
        "directories": {"has another mode": {"mode": 0o750}},
    }
    for what, change in changes[kind].items():
        other = copy.deepcopy(config)
        other["storage"][kind][number].update(change)
        yield f"a {word} {what}", other
    other = copy.deepcopy(config)
    del other["storage"][kind][number]
    yield f"a {word} goes", other
    if kind == "files":
        other = copy.deepcopy(config)
        path = other["storage"][kind][number]["path"].rpartition("/")[0] + "/added"
        other["storage"][kind].append({"path": path, "contents": {"source": "data:,added"}})
        yield "a file is added beside one", other


def _of_a_unit(config: IgnitionConfig, number: int) -> Iterator[tuple[str, IgnitionConfig]]:
    unit = config["systemd"]["units"][number]
    if unit.get("contents"):
        other = copy.deepcopy(config)
        other["systemd"]["units"][number]["contents"] += "\n# edited\n"
        yield "a unit's text changes", other
    for part in range(len(unit.get("dropins", []))):
        other = copy.deepcopy(config)
        dropin = other["systemd"]["units"][number]["dropins"][part]
        dropin["contents"] = (dropin.get("contents") or "") + "\n# edited\n"
        yield "a drop-in changes", other
    other = copy.deepcopy(config)
    del other["systemd"]["units"][number]
    yield "a unit goes", other
    other = copy.deepcopy(config)
    other["systemd"]["units"][number]["enabled"] = not unit.get("enabled")
    yield "a unit is enabled" if not unit.get("enabled") else "a unit is not enabled any more", other
    if not unit.get("mask"):
        other = copy.deepcopy(config)
        other["systemd"]["units"][number]["mask"] = True
        yield "a unit is masked", other
