"""Files are written whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.commands.files import write_atomically


def test_several_processes_write_one_file_at_a_time(tmp_path: Path) -> None:
    write = (
        "import sys; from pathlib import Path; from components.commands.files import write_atomically\n"
        "sys.stdin.readline()\n"
        "for number in range(300): write_atomically(Path(sys.argv[1]), sys.argv[2] * 1000)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", write, str(tmp_path / "file"), letter],
            stdin=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert (tmp_path / "file").read_text() in ("a" * 1000, "b" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_file_is_for_its_owner_unless_others_may_read_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "own", "text")
    write_atomically(tmp_path / "page", "text", 0o644)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "page")] == [0o600, 0o644]
