"""Objects in a local folder: whole or not at all, with the right mode, and secrets never in messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from components.commands import write_object
from components.commands.objects.content import Content
from components.commands.write_object import time_of_write

PROJECT = Path(__file__).resolve().parents[4]
TIME = "2025-01-31T12:00:00.123456Z"


def command(verb: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "components.commands.write_object", verb],
        input=text, capture_output=True, text=True, check=False, cwd=PROJECT,
    )  # fmt: skip


def document(path: Path, content: str, folder: Path, **changes: str) -> str:
    """What is on stdin; the content lies in `folder`."""
    held = Content.of(content)
    file = folder / "texts" / "web.ign"
    held.keep(file)
    fields = {"path": str(path), "file": str(file), "sha512": held.sha512, "written": TIME}
    return json.dumps({**fields, **changes})


def test_write_and_delete(tmp_path: Path) -> None:
    path = tmp_path / "objects" / "web" / "config.ign"
    done = command("write", document(path, '{"ä": 1}', tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"path": str(path)}
    assert path.read_bytes() == '{"ä": 1}'.encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mtime_ns == 1738324800_123456_000
    assert os.listdir(path.parent) == ["config.ign"]
    assert not (tmp_path / "texts").exists(), "the text is in the object now"
    assert command("delete", document(path, "", tmp_path)).returncode == 0
    assert not (tmp_path / "objects").exists() and tmp_path.exists()
    assert command("delete", document(path, "", tmp_path)).returncode == 0, "deleting twice is harmless"


def test_a_time_that_is_left_out_is_now_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.ign"
    before = time.time()
    fields = json.loads(document(path, "text", tmp_path))
    del fields["written"]
    done = command("write", json.dumps(fields))
    written = json.loads(done.stdout)["written"]
    assert before - 1 < datetime.fromisoformat(written).timestamp() <= time.time()
    assert time_of_write(path, Content.of("text").sha512) == written
    done = command("write", json.dumps({**fields, "file": str(path)}))
    assert json.loads(done.stdout)["written"] == written, "the same content is no other write"


def test_a_reader_never_sees_half_an_object(tmp_path: Path) -> None:
    path = tmp_path / "config.ign"
    contents = ["a" * 300_000, "b" * 300_000]
    write_object.write(path, contents[0], written=TIME)
    done = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        write_object.write(path, contents[turn % 2], written=TIME)
    done.set()
    reader.join()
    assert seen and seen <= set(contents)


def test_a_failed_write_keeps_the_old_object_and_leaves_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "config.ign"
    write_object.write(path, "old", written=TIME)
    with pytest.raises(UnicodeEncodeError):
        write_object.write(path, "new \ud800", written=TIME)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.ign"]


def test_an_impossible_place_is_named_without_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("write", document(tmp_path / "file" / "config.ign", "s3cret", tmp_path))
    assert done.returncode == 1
    assert "config.ign can't be written: " in done.stderr
    assert "s3cret" not in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_a_text_that_is_not_as_it_was_written_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "config.ign"
    for change in ({"sha512": "0" * 128}, {"file": str(tmp_path / "none")}):
        done = command("write", document(path, "s3cret", tmp_path, **change))
        assert done.returncode == 1 and not path.exists()
        assert "which holds the text, is not as it was written" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text", ['{"content": "s3cret"}', '{"path": "o", "content": "s3cret", "written": ""}', '["s3cret"]', '"s3cret', ""]
)
def test_a_bad_document_is_refused_without_repeating_it(text: str) -> None:
    done = command("write", text)
    assert done.returncode == 1
    assert "needs path, file, sha512 and written" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout and "Traceback" not in done.stderr
