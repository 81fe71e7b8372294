"""Our findings and JSON against those of the original butane, built from its Go module."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl.transpiler import Snippet, transpile
from cl.transpiler.fragments import merged
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_config import encode, keyed_lists, merge, nested_structs
from cl.transpiler.ignition.v3_json import read
from cl.transpiler.schema import Struct, struct_of
from tests.support.butane import compare
from tests.support.butane_configs import butane_config, mutate
from tests.support.butane_values import TOPICS, values_config
from tests.support.cases import FILES, case_paths, read_case
from tests.support.originals import SEED, each, generated, original

GENERATED = generated(1500)


@pytest.fixture(scope="module")
def butane() -> Path:
    return original("butane", "github.com/coreos/butane/internal", "butane")


@pytest.fixture(scope="module")
def merger() -> Path:
    return original("butane", "./merge", "butane-merge")


@pytest.fixture(scope="module")
def files_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the generated configs name as local files."""
    folder = tmp_path_factory.mktemp("files")
    for name, data in {
        "hello.txt": b"hello\n",
        "big.txt": b"a line of text\n" * 300,
        "bin.dat": bytes(range(256)),
        "id.pub": b"ssh-ed25519 AAAA a\nssh-ed25519 BBBB b\n",
        "id2.pub": b"ssh-rsa CCCC c\r\n",
        "u.service": b"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
        "tree/f": b"f",
        "tree/sub/x.sh": b"#!/bin/sh\n",
        "tree2/etc/hosts": b"h\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "tree/sub/x.sh").chmod(0o755)
    (folder / "tree/l").symlink_to("f")
    return folder


@pytest.mark.parametrize("path", case_paths("butane"), ids=lambda path: path.stem)
def test_a_golden_case_is_what_butane_makes_of_it(butane: Path, path: Path) -> None:
    assert compare(butane, read_case(path).config, FILES) is None


def agree(butane: Path, texts: list[str], files_dir: Path | None) -> None:
    wrong = [answer for answer in each(lambda text: compare(butane, text, files_dir), texts) if answer]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, the first:\n{wrong[0]}"


def test_generated_configs_agree(butane: Path, files_dir: Path) -> None:
    texts = [butane_config(seed) for seed in range(SEED, SEED + GENERATED)]
    refused = sum(transpile(text, dialect="butane", files_dir=files_dir).json is None for text in texts)
    assert len(texts) / 5 < refused < len(texts) * 4 / 5, "a fair share of them is invalid, and of them is valid"
    agree(butane, texts, files_dir)


def test_mutated_configs_agree(butane: Path, files_dir: Path) -> None:
    seeds = range(SEED, SEED + GENERATED // 2)
    agree(butane, [mutate(butane_config(seed), random.Random(seed)) for seed in seeds], files_dir)


def test_configs_agree_without_a_files_dir(butane: Path) -> None:
    seeds = range(SEED, SEED + GENERATED // 20)
    agree(butane, [text for seed in seeds for text in (butane_config(seed), values_config("trees", seed))], None)


@pytest.mark.parametrize("topic", TOPICS)
def test_values_agree(butane: Path, files_dir: Path, topic: str) -> None:
    texts = [values_config(topic, seed) for seed in range(SEED, SEED + GENERATED // 15)]
    agree(butane, texts, files_dir)


def test_contents_are_encoded_in_the_same_way(butane: Path, files_dir: Path) -> None:
    texts = []
    for seed in range(SEED, SEED + GENERATED // 15):
        source = random.Random(seed)
        files = [{"path": f"/{n}", "contents": {"inline": contents(source)}} for n in range(30)]
        texts.append(json.dumps({"variant": "flatcar", "version": "1.1.0", "storage": {"files": files}}))
    agree(butane, texts, files_dir)


def contents(source: random.Random) -> str:
    """A text that gains little by compression, or loses little."""
    words = ["".join(source.choices(string.ascii_letters + "=/ \n%é", k=source.randint(1, 9))) for _ in range(40)]
    return "".join(source.choices(words[: source.randint(1, 40)], k=source.randint(1, 400)))[: source.randint(30, 900)]


def test_the_corpus_agrees(butane: Path, tmp_path: Path) -> None:
    corpus = Path(__file__).parents[3] / "shared" / "corpus"
    if not (corpus / "butane.jsonl").exists():
        pytest.skip("the corpus is not beside the checkout")
    files = tmp_path / "files"
    shutil.copytree(corpus / "files", files)
    cases = [json.loads(line) for line in (corpus / "butane.jsonl").read_text().splitlines()]
    texts = [case["yaml"] for case in cases if supported(case["yaml"], files)]
    assert len(texts) > 600
    agree(butane, texts, files)


def supported(text: str, files: Path) -> bool:
    report = transpile(text, dialect="butane", files_dir=files).report
    return not any("is not supported" in entry.message for entry in report)


BASE = """\
variant: fcos
version: 1.5.0
"""
SNIPPETS = {
    "files by path": (
        "storage: {files: [{path: /a, mode: 0600, contents: {inline: a}}, {path: /b}]}",
        "storage: {files: [{path: /c}, {path: /a, overwrite: true, contents: {inline: b}, append: [{inline: c}]}]}",
    ),
    "kinds of nodes replace each other": (
        "storage: {files: [{path: /a}], directories: [{path: /b}], links: [{path: /c, target: x}]}",
        "storage: {links: [{path: /a, target: y}], files: [{path: /b}], directories: [{path: /c}]}",
    ),
    "units and drop-ins by name": (
        "systemd: {units: [{name: a.service, enabled: true, dropins: [{name: a.conf, contents: ''}]}]}",
        "systemd: {units: [{name: b.path}, {name: a.service, mask: true, dropins: [{name: b.conf}, {name: a.conf}]}]}",
    ),
    "users and groups by name, their keys and groups once": (
        "passwd: {users: [{name: core, ssh_authorized_keys: [a, b], groups: [g, i]}], groups: [{name: g, gid: 1}]}",
        "passwd: {users: [{name: core, ssh_authorized_keys: [b, c], uid: 0, groups: [h, i]}], groups: [{name: g}]}",
    ),
    "disks by device, partitions by number or label": (
        "storage: {disks: [{device: /dev/a, partitions: [{number: 1, label: x}, {label: y, size_mib: 5}]}]}",
        "storage: {disks: [{device: /dev/a, wipe_table: true, partitions: [{number: 1}, {label: y}, {label: z}]}]}",
    ),
    "file systems by device, options are joined": (
        "storage: {filesystems: [{device: /dev/a, format: ext4, options: [a], mount_options: [b]}]}",
        "storage: {filesystems: [{device: /dev/a, format: xfs, options: [a], mount_options: [b]}, {device: /dev/b}]}",
    ),
    "luks and raid by name": (
        (
            "storage: {luks: [{name: a, device: /dev/a, options: [x], open_options: [y]}],"
            " raid: [{name: r, level: raid1, devices: [/dev/b], options: [z]}]}"
        ),
        (
            "storage: {luks: [{name: a, device: /dev/b, options: [x], open_options: [y, w]}],"
            " raid: [{name: r, level: raid5, devices: [/dev/b, /dev/c], options: [z]}]}"
        ),
    ),
    "configs and certificates by source, headers by name": (
        (
            "ignition: {config: {merge: [{source: https://a, http_headers: [{name: A, value: a}, {name: B, value: b}]}"
            "]},"
            " security: {tls: {certificate_authorities: [{source: https://c}]}}, proxy: {no_proxy: [a]}}"
        ),
        (
            "ignition: {config: {merge: [{source: https://a, http_headers: [{name: A}, {name: B, value: c}]},"
            " {source: https://b}], replace: {source: https://d}}, timeouts: {http_total: 1},"
            " security: {tls: {certificate_authorities: [{source: https://c}, {source: https://e}]}},"
            " proxy: {http_proxy: http://p, no_proxy: [a, b]}}"
        ),
    ),
    "headers of what is fetched by name": (
        (
            "ignition: {config: {replace: {source: https://r, http_headers: [{name: A, value: a}, {name: B}]}},"
            " security: {tls: {certificate_authorities: [{source: https://c, http_headers: [{name: A, value: a}]}]}}}\n"
            "storage: {files: [{path: /f, contents: {source: https://f, http_headers: [{name: A, value: a}]},"
            " append: [{source: https://p, http_headers: [{name: A, value: a}]}]}],"
            " luks: [{name: l, device: /dev/l, key_file: {source: https://k, http_headers: [{name: A, value: a}]}}]}"
        ),
        (
            "ignition: {config: {replace: {source: https://s, http_headers: [{name: B}, {name: C, value: c}]}},"
            " security: {tls: {certificate_authorities: [{source: https://c, http_headers: [{name: A, value: b}]}]}}}\n"
            "storage: {files: [{path: /f, contents: {source: https://g, http_headers: [{name: A}, {name: D}]},"
            " append: [{source: https://p, http_headers: [{name: A}]}]}],"
            " luks: [{name: l, device: /dev/l, key_file: {source: https://k, http_headers: [{name: A, value: c}]}}]}"
        ),
    ),
    "partitions without number by label": (
        "storage: {disks: [{device: /dev/a, partitions: [{label: x, size_mib: 1}, {number: 2, label: y}]}]}",
        "storage: {disks: [{device: /dev/a, partitions: [{number: 2, size_mib: 2}, {label: x, start_mib: 9}]}]}",
    ),
    "tang servers by url": (
        (
            "storage: {luks: [{name: a, device: /dev/a, clevis: {tpm2: true, threshold: 2,"
            " tang: [{url: https://a, thumbprint: x}, {url: https://b, thumbprint: y}]}}]}"
        ),
        (
            "storage: {luks: [{name: a, device: /dev/a, clevis: {threshold: 1,"
            " tang: [{url: https://b, thumbprint: z, advertisement: '{}'}, {url: https://c, thumbprint: w}]}}]}"
        ),
    ),
    "a custom pin": (
        "storage: {luks: [{name: a, device: /dev/a, clevis: {custom: {pin: tpm2, config: x, needs_network: true}}}]}",
        "storage: {luks: [{name: a, device: /dev/a, clevis: {custom: {pin: sss, config: y}}}]}",
    ),
    "devices of a raid once": (
        "storage: {raid: [{name: r, level: raid1, devices: [/dev/a, /dev/b], spares: 1}]}",
        "storage: {raid: [{name: r, level: raid1, devices: [/dev/c, /dev/a]}]}",
    ),
    "kernel arguments change sides": (
        "kernel_arguments: {should_exist: [a, b], should_not_exist: [c]}",
        "kernel_arguments: {should_exist: [c], should_not_exist: [b, d]}",
    ),
}


def test_every_keyed_list_is_in_a_case() -> None:
    whole = struct_of(v3.Config, 4)
    expected = set(all_keyed_lists(whole))
    met: set[tuple[str, str]] = set()
    for texts in SNIPPETS.values():
        one, other = (read(json.loads(transpile(BASE + text + "\n").unwrap()), 4) for text in texts)
        met |= set(shared_keys(whole, one, other))
    assert expected - met == set()
    assert len(expected) > 20


@pytest.mark.parametrize("name", SNIPPETS)
def test_fragments_merge_as_snippets_do(name: str) -> None:
    one, other = (json.loads(transpile(BASE + text + "\n").unwrap()) for text in SNIPPETS[name])
    expected = encode(merge(read(one, 4), read(other, 4), 4), 4)
    assert encode(read(merged(one, other), 4), 4) == expected


def all_keyed_lists(struct: Struct) -> Iterator[tuple[str, str]]:
    """(struct, field) of every list whose entries merge by a key."""
    yield from ((struct.cls.__name__, name) for name, _, _ in keyed_lists(struct))
    for _, _, inner in nested_structs(struct):
        yield from all_keyed_lists(inner)


def shared_keys(struct: Struct, one: Any, other: Any) -> Iterator[tuple[str, str]]:
    """The keyed lists in which both have an entry of one key (or, for nodes and arguments, of one group of lists)."""
    for name, group, key in keyed_lists(struct):
        mine = {key(item): item for item in getattr(one, name)}
        theirs = {key(item): item for item in getattr(other, name)}
        elsewhere = {
            k(item) for field, also, k in keyed_lists(struct) if also == group for item in getattr(other, field)
        }
        if mine.keys() & (theirs.keys() | elsewhere):
            yield struct.cls.__name__, name
        inner = struct.fields[name].type.item
        if inner is not None and inner.struct is not None:
            for shared in mine.keys() & theirs.keys():
                yield from shared_keys(inner.struct, mine[shared], theirs[shared])
    for name, many, nested in nested_structs(struct):
        if not many and None not in (getattr(one, name), getattr(other, name)):
            yield from shared_keys(nested, getattr(one, name), getattr(other, name))


def without_empty(value: Any) -> Any:
    """The JSON without its empty objects, which plain Go JSON prints and butane leaves out."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, None)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", SNIPPETS)
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_snippets_merge_as_in_terraform(merger: Path, tmp_path: Path, name: str, turned: bool) -> None:
    texts = [BASE + text + "\n" for text in SNIPPETS[name]]
    check_merge(merger, tmp_path, texts[::-1] if turned else texts)


def test_generated_snippets_merge_as_well(merger: Path, tmp_path: Path) -> None:
    valid = []
    for seed in range(SEED, SEED + 600):
        text = butane_config(seed)
        if "local" not in text and transpile(text, dialect="butane").json is not None and "experimental" not in text:
            valid.append(text)
    merged = sum(check_merge(merger, tmp_path, list(pair)) for pair in itertools.pairwise(valid))
    assert merged > len(valid) / 4


def check_merge(merger: Path, tmp_path: Path, texts: list[str]) -> bool:
    """Compare; False when the merged config is no valid one, which the original doesn't look at."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    theirs = subprocess.run([merger, *paths], capture_output=True, text=True, check=True).stdout
    snippets = [Snippet(text, f"{number}.yaml") for number, text in enumerate(texts[1:], start=1)]
    ours = transpile(texts[0], snippets=snippets, dialect="butane")
    if ours.json is None:
        return False
    expected, found = json.loads(theirs), json.loads(ours.json)
    expected["ignition"].pop("version")  # the original's is always that of the newest spec it knows
    found["ignition"].pop("version")
    assert without_empty(found) == without_empty(expected), "\n---\n".join(texts)
    return True
