"""What `flatcar:image` stands for on the operator's computer."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi
import pytest

from components.config.local_files import MachineImage, machine_image


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-up has made an image, the stand-in, and a release of Flatcar."""
    (tmp_path / "image").mkdir()
    for name, memory in (("image", 1), ("stand-in", 2), ("4593.2.0", 3)):
        document = {"path": f"/images/{name}", "memory": memory}
        (tmp_path / "image" / f"{name}.json").write_text(json.dumps(document))
    monkeypatch.setenv("TOOLCHAIN_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("chosen", "image"),
    [
        ("", MachineImage(path=Path("/images/image"), memory_mib=1)),
        ("stand-in", MachineImage(path=Path("/images/stand-in"), memory_mib=2)),
        ("4593.2.0", MachineImage(path=Path("/images/4593.2.0"), memory_mib=3, version="4593.2.0")),
        ("some/flatcar.img", MachineImage(path=Path("some/flatcar.img"), memory_mib=2048)),
        ("./stable", MachineImage(path=Path("stable"), memory_mib=2048)),
        ("~/flatcar.img", MachineImage(path=Path.home() / "flatcar.img", memory_mib=2048)),
    ],
)
@pytest.mark.usefixtures("described")
def test_an_image_is_a_file_or_what_set_up_made(chosen: str, image: MachineImage) -> None:
    assert machine_image(chosen) == image


@pytest.mark.parametrize("chosen", ["stable", "4593.2.1"])
@pytest.mark.usefixtures("described")
def test_what_set_up_has_not_got_is_said(chosen: str) -> None:
    with pytest.raises(pulumi.RunError, match=rf"the machine image {chosen} isn't there[^$]*`make up` gets it"):
        machine_image(chosen)
