"""Pulumi's state has no content of any config: not in plain, not encoded, not compressed, and not as a secret."""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from components.commands.objects.packing import packed
from components.commands.reprovision.request import PRIVATE_VARIABLE
from loopback.pulumi import Run
from tests.engine.test_machine import SECRET, changes, lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine.test_machine import Lab

__all__ = ["lab"]

MORE = """\
systemd:
  units:
    - name: web.service
      contents: |
        [Service]
        ExecStart=/opt/what-this-unit-runs
"""
CONTENTS = ("first line", "another line", "of the second line", "token=", SECRET, "what-this-unit-runs")
_MARK = "4dabf18193072939515e22adb298388d"


def forms(data: bytes, depth: int = 8) -> Iterator[str]:
    """What can be read in some bytes: themselves, each text in JSON, and what is encoded or compressed in those."""
    text = data.decode("utf-8", "replace")
    yield text
    yield unquote(text)
    if depth == 0:
        return
    inner: list[bytes] = []
    for unpack in (gzip.decompress, zlib.decompress, _from_base64):
        try:
            inner.append(unpack(data))
        except (OSError, EOFError, zlib.error, ValueError):
            continue
    with contextlib.suppress(ValueError):
        inner += [found.encode() for found in _texts(json.loads(text)) if found != text]
    for found in inner:
        yield from forms(found, depth - 1)


def _from_base64(data: bytes) -> bytes:
    if len(data) < 16:
        raise binascii.Error
    return base64.b64decode(data, validate=True)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def found(data: bytes) -> set[str]:
    return {content for form in forms(data) for content in CONTENTS if content in form}


def opened(lab: Lab) -> bytes:
    """The state with its secrets in plain; without the stack's own config, which is not a part of it."""
    return lab.stack.run("stack", "export", "--show-secrets").output.encode()


def test_what_is_searched_for_would_be_found() -> None:
    object_ = json.dumps({"source": "data:," + quote("first line\n"), "unit": "token=x"})
    for data in (
        object_.encode(),
        packed(object_).encode(),
        base64.b64encode(gzip.compress(object_.encode())),
        json.dumps({_MARK: "1", "plaintext": json.dumps(json.dumps({"content": packed(object_)}))}).encode(),
    ):
        assert found(json.dumps({"stdin": data.decode()}).encode()) == {"first line", "token="}


def test_no_content_of_a_config_is_in_the_state_or_beside_it(lab: Lab, tmp_path: Path) -> None:
    lab.config.write_text(lab.config.read_text() + MORE)
    states = []
    lab.stack.preview()
    for number, check in enumerate(("true", "false", "true")):
        lab.stack.set("check", check)
        lab.stack.up(code=None)
        states.append(opened(lab))
        lab.edit("of the second line", f"of the second line {number}")
        lab.config.write_text(lab.config.read_text().replace("first line", "another line"))
    lab.stack.run("refresh", "--yes", "--skip-preview")
    states.append(opened(lab))
    assert lab.machine.path("/etc/token").read_text() == f"token={SECRET}", "it was all there"
    assert lab.machine.text("/etc/motd").startswith("another line")
    assert [found(state) for state in states] == [set()] * 4
    folder = lab.stack.scratch / "state" / ".pulumi"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {file.relative_to(folder).parts[0] for file in files} >= {"stacks", "history", "backups"}
    assert {str(file): found(file.read_bytes()) for file in files if found(file.read_bytes())} == {}
    assert not (tmp_path / "machines" / "test" / ".objects").exists(), "nor is it left on this computer"


def yesterdays(lab: Lab) -> str:
    """The state as the version before this one wrote it: with contents, and all of a request as one secret."""
    exported = json.loads(opened(lab))
    resources = {one["urn"].rsplit("::", 1)[-1]: one for one in exported["deployment"]["resources"]}
    content = packed((lab.objects / "web" / "config.ign").read_text())
    for properties in (resources["web-object"]["inputs"], resources["web-object"]["outputs"]):
        document = json.loads(properties["stdin"])
        properties["stdin"] = _secret(
            json.dumps({"path": document["path"], "written": document["written"], "content": content})
        )
    for properties in (resources["web-reprovision"]["inputs"], resources["web-reprovision"]["outputs"]):
        request = json.loads(properties["stdin"])
        private = json.loads(json.loads(properties["environment"][PRIVATE_VARIABLE]["plaintext"]))
        for name in ("object_sha512", "object_bytes", "manifest", "unsalted"):
            del request[name]
        document = {"health": [], "drain": "", "restore": "", "report": "", **request, "content": content, **private}
        properties["stdin"] = _secret(json.dumps({**document, "unsalted_id": "0" * 128}))
        properties["environment"] = {"CONFIG_ID": request["config_id"]}
    resources["web"]["inputs"]["files"] = {
        "/etc/motd": {"contents": "first line\n50% of the second line\n", "mode": "0644"},
        "/etc/token": {"contents": "token=[masked]", "mode": "0644"},
    }
    return json.dumps(exported)


def _secret(text: str) -> dict[str, str]:
    return {_MARK: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(text)}


def words(run: Run) -> str:
    messages = [event["diagnosticEvent"]["message"] for event in run.events if "diagnosticEvent" in event]
    return str(next(text for text in messages if "reboots" in text.splitlines()[-1]))


def test_an_upgrade_takes_the_contents_out_of_the_state_and_reboots_nothing(lab: Lab) -> None:
    lab.stack.up()
    before = lab.stack.outputs()
    object_, written = (lab.objects / "web" / "config.ign").read_bytes(), lab.stack.resources()["web-reprovision"]
    lab.stack.run("stack", "import", stdin=yesterdays(lab))
    assert found(opened(lab)) == {"first line", "of the second line", "token=", SECRET}

    preview = lab.stack.preview()
    assert words(preview).strip() == "nothing reboots"
    wanted = {"web": "update", "web-object": "update", "web-reprovision": "update"}
    assert changes(preview) == wanted
    done = lab.stack.up()
    assert changes(done) == wanted
    assert (lab.machine.boots, lab.stack.outputs()) == (1, before), done.output
    assert (lab.objects / "web" / "config.ign").read_bytes() == object_
    assert lab.stack.resources()["web-reprovision"]["outputs"]["stdout"] == written["outputs"]["stdout"]
    assert found(opened(lab)) == set()
    assert changes(lab.stack.up()) == {}


def test_an_edit_of_a_state_with_contents_is_shown_as_one_and_runs_once(lab: Lab) -> None:
    lab.stack.up()
    lab.stack.run("stack", "import", stdin=yesterdays(lab))
    lab.edit("first line", "another line")
    preview = lab.stack.preview()
    assert words(preview).startswith("web: /etc/motd changes; reset: reboots")
    assert "- first line" in preview.output and "+ another line" in preview.output
    lab.stack.up()
    assert (lab.machine.boots, lab.machine.text("/etc/motd").splitlines()[0]) == (2, "another line")
    assert found(opened(lab)) == set()
