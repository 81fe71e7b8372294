"""Objects in a folder: when they are written."""

from __future__ import annotations

from pathlib import Path

from components.commands import write_object
from components.commands.objects.folder import FolderWriter


def test_an_object_is_written_again_only_when_it_is_another(tmp_path: Path) -> None:
    writer = FolderWriter(path=str(tmp_path / "config.ign"), written="2025-01-31T12:00:00.000000Z")
    assert writer.put("new") is True
    assert writer.put("new") is False
    written = (tmp_path / "config.ign").stat().st_mtime
    writer.roll_back("old")
    assert (tmp_path / "config.ign").read_text() == "old"
    assert (tmp_path / "config.ign").stat().st_mtime != written, "Pulumi's next run has to notice"


def test_former_contents_stay_for_a_while_where_no_machine_is_served_from(tmp_path: Path) -> None:
    served = tmp_path / "objects/web"
    writer = FolderWriter(path=str(served / "config.ign"), written="2025-01-31T12:00:00.000000Z")
    assert [*writer.versions()] == []
    for number in range(12):
        write_object.write(Path(writer.path), str(number), written=f"2025-01-31T12:00:{number:02}.000000Z")
        write_object.write(Path(writer.path), str(number), written=f"2025-01-31T12:00:{number:02}.000000Z")
    found = [*writer.versions()]
    assert [version.content for version in found] == [str(number).encode() for number in range(11, 2, -1)]
    assert [version.written for version in found[:2]] == ["2025-01-31T12:00:11Z", "2025-01-31T12:00:10Z"]
    assert [path.name for path in served.iterdir()] == ["config.ign"]
    assert {path.stat().st_mode & 0o777 for path in write_object.versions(served / "config.ign")} == {0o600}
    write_object.delete(served / "config.ign")
    assert [*tmp_path.iterdir()] == []
