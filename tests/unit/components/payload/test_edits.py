"""What was edited in a config, as text, where this computer knows what it was before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from components.payload.edits import MOST_LINES, edits, remember
from components.payload.summary import digests

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "".join(f"number {number}\n" for number in range(300))
OLD: dict[str, Any] = {
    "files": {"/etc/numbers": {"mode": "0644", "contents": TEXT}, "/etc/gone": {"contents": "a\n"}},
    "units": {"web.service": {"enabled": True, "contents": "[Service]\nExecStart=/web --port 8080\n"}},
    "users": {"core": {"groups": ["docker", "wheel"]}},
    "storage": {"filesystems": [{"device": "/dev/vdb", "label": "data"}]},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    return tmp_path


def edited(**sections: Any) -> dict[str, Any]:
    return {**OLD, **{name: {**OLD[name], **section} for name, section in sections.items()}}


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD, []),
        (
            edited(files={"/etc/numbers": {"mode": "0644", "contents": TEXT.replace("r 157\n", "r 157.5\n")}}),
            ["/etc/numbers", "    number 155", "    number 156", "  - number 157", "  + number 157.5", "    number 158",
             "    number 159"],
        ),
        (
            edited(units={"web.service": {"enabled": True, "contents": "[Service]\nExecStart=/web --port 80\n"}}),
            ["web.service", "    [Service]", "  - ExecStart=/web --port 8080", "  + ExecStart=/web --port 80",
             "    enabled: True"],
        ),
        (
            edited(users={"core": {"groups": ["docker", "sudo"]}}),
            ["user core", "  - groups: docker, wheel", "  + groups: docker, sudo"],
        ),
        (
            edited(storage={"filesystems": [{"device": "/dev/vdb", "label": "more"}]}),
            ["the disk setup", "      -", "        device: /dev/vdb", "  -     label: data", "  +     label: more"],
        ),
        ({**OLD, "files": {"/etc/numbers": OLD["files"]["/etc/numbers"]}}, ["/etc/gone", "  - a"]),
        (edited(files={"/etc/new": {"mode": "0600", "contents": "b"}}), ["/etc/new", "  + b", "  + mode: 0600"]),
    ],
)  # fmt: skip
def test_what_was_edited_is_shown_with_what_is_around_it(new: dict[str, Any], told: list[str]) -> None:
    remember("web", OLD)
    assert edits("web", digests(OLD), new) == told
    assert edits("other", OLD, new) == told, "an earlier version has the texts in the state"


def test_between_two_edits_the_rest_is_left_out() -> None:
    remember("web", OLD)
    text = TEXT.replace("number 5\n", "number five\n").replace("number 200\n", "")
    lines = edits("web", digests(OLD), edited(files={"/etc/numbers": {"mode": "0644", "contents": text}}))
    assert lines.count("    …") == 1 and "  - number 200" in lines and "  + number five" in lines


def test_a_long_edit_has_an_end() -> None:
    remember("web", OLD)
    lines = edits("web", digests(OLD), edited(files={"/etc/numbers": {"mode": "0644", "contents": ""}}))
    assert len(lines) == MOST_LINES + 1 and lines[-1] == f"… and {302 - MOST_LINES} lines more"


@pytest.mark.parametrize("known", [None, {**OLD, "users": {"core": {"groups": ["sudo"]}}}, "no json"])
def test_without_the_text_before_a_change_is_named_alone(known: Any, folder: Path) -> None:
    if known == "no json":
        remember("web", OLD)
        for file in folder.rglob("web.json"):
            file.write_text("[")
    elif known is not None:
        remember("web", known)
    new = edited(users={"core": {"groups": ["docker"]}})
    assert edits("web", digests(OLD), new) == ["user core: what it was before is not known on this computer"]


def test_what_is_remembered_is_this_users_alone(folder: Path) -> None:
    remember("web", OLD)
    remember("web", OLD)
    (file,) = folder.rglob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_can_not_be_written_costs_the_text_alone(folder: Path) -> None:
    (folder / "stack").write_text("in the way")
    remember("web", OLD)
    assert edits("web", digests(OLD), OLD) == []
