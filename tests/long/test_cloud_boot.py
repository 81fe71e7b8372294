"""Cloud machines that really boot: Ignition's own `digitalocean` and `aws` platforms, in QEMU with a cloud's network.

Real: GRUB, Ignition, systemd, SSH, the Command's program. Stand-ins: the image (as everywhere), the metadata service,
and moto for the S3 server. Ignition sends `s3://` to Amazon's own addresses over TLS, whatever it is told
(internal/resource/url.go), and Spaces has a name that no resolver knows here: both read over plain http instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.commands.environment import PREVIOUS_OUTPUT
from components.commands.qemu import state as qemu_state
from components.payload.machine_config import MachineConfig, pointer
from components.settings.keep import kept_paths
from tests.fakes.aws import CREDENTIALS, REGION, Aws, running_moto
from tests.fakes.metadata import HOST, Metadata, cloud_network
from tests.support.machine_configs import made_config
from tests.vm.machines import VM, base_image, machine, needs_image

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BUCKET, KEY = "configs", "machines/web.ign"
KEEP = kept_paths(["logs", "/var/lib/data"])
OEM_IDS = {"digitalocean": "digitalocean", "aws": "ec2"}
USER_DATA = {"digitalocean": "/metadata/v1/user-data", "aws": "/2019-10-01/user-data"}
TOKEN = ("PUT", "/latest/api/token", 200)

pytestmark = needs_image


class Cloud:
    """A machine of one platform, its metadata service and its object."""

    def __init__(self, platform: str, vm: VM, aws: Aws, metadata: Metadata) -> None:
        self.platform, self.vm, self.aws, self.metadata = platform, vm, aws, metadata
        self._outputs = ""

    def config(self, generation: int) -> MachineConfig:
        return made_config(
            ROOT / "cl/machine-web.yaml",
            files_dir=ROOT / "cl/files",
            platform=self.platform,
            shared={"ssh_public_key": self.vm.public_key, "machine_name": "web"},
            keep=KEEP,
            generation=generation,
            rollback_after=3600,
        )

    def publish(self, text: str) -> str:
        """Write the object as Pulumi would; its version."""
        written = self.aws.s3.put_object(Bucket=BUCKET, Key=KEY, Body=text.encode(), ACL="public-read")
        return str(written["VersionId"])

    def reprovision(self, config_id: str, text: str) -> tuple[int, str]:
        """Run the program of the `Reprovision` resource: its exit code and progress."""
        place = {"kind": "s3", "bucket": BUCKET, "key": KEY, "region": REGION, "acl": "public-read"}
        console = str(self.vm.directory / qemu_state.CONSOLE)
        request = self.vm.request(config_id, text, source=self.source, place=place, keep=KEEP, console_log=console)
        done = subprocess.run(
            [sys.executable, "-m", "components.commands.reprovision"],
            input=request, capture_output=True, text=True, cwd=ROOT, check=False,
            env={**os.environ, PREVIOUS_OUTPUT: self._outputs},  # as the engine hands over what the last good run said
        )  # fmt: skip
        print(done.stderr)
        self._outputs = done.stdout or self._outputs
        return done.returncode, done.stderr

    @property
    def source(self) -> str:
        """The object's address, as the machine sees this computer."""
        return f"{self.aws.endpoint.replace('127.0.0.1', HOST)}/{BUCKET}/{KEY}"

    def has_asked(self) -> bool:
        """Whether Ignition was given the user data since the last look: on EC2 not without a token."""
        asked, self.metadata.asked = self.metadata.asked, []
        given = ("GET", USER_DATA[self.platform], 200)
        return given in asked and (self.platform != "aws" or asked.index(TOKEN) < asked.index(given))


@pytest.fixture(params=OEM_IDS)
def cloud(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    if base_image()[2] != "stand-in":
        pytest.skip("writes settings to the stand-in image's OEM partition")
    metadata = Metadata()
    with running_moto() as endpoint, metadata.running() as port:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", cloud_network(tmp_path / "bin", port))
        aws = Aws(endpoint)
        aws.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        image = tmp_path / "disk.raw"
        with_oem_settings(image, f'set oem_id="{OEM_IDS[request.param]}"\nset emergency_wait="5"\n')
        with machine(tmp_path, image=image, user_data="", started=False) as vm:
            cloud = Cloud(request.param, vm, aws, metadata)
            metadata.user_data = pointer(cloud.source)
            yield cloud


def with_oem_settings(image: Path, settings: str) -> None:
    """Make `image` the stand-in image with a grub.cfg on its OEM partition."""
    subprocess.run(["qemu-img", "convert", "-O", "raw", base_image()[0], image], check=True)
    table = subprocess.run(["sfdisk", "--json", image], check=True, capture_output=True, text=True).stdout
    (oem,) = [part for part in json.loads(table)["partitiontable"]["partitions"] if part.get("name") == "OEM"]
    partition, file = image.with_name("oem.part"), image.with_name("oem-grub.cfg")
    file.write_text(settings)
    with image.open("r+b") as disk:
        disk.seek(oem["start"] * 512)
        partition.write_bytes(disk.read(oem["size"] * 512))
        for command in ("rm /grub.cfg", f"write {file} grub.cfg"):
            subprocess.run(["debugfs", "-w", "-R", command, partition], check=True, capture_output=True)
        disk.seek(oem["start"] * 512)
        disk.write(partition.read_bytes())
    partition.unlink()


def test_a_machine_is_provisioned_changed_and_healed_on_its_cloud(cloud: Cloud) -> None:
    vm = cloud.vm
    first = cloud.config(0)
    cloud.publish(first.text)
    vm.start()
    code, progress = cloud.reprovision(first.config_id, first.text)
    assert code == 0 and "no reboot" in progress, progress + vm.tail()
    assert cloud.has_asked()
    vm.ssh("sudo mkdir /var/lib/data; echo mine | sudo tee /var/lib/data/kept /etc/by-hand")
    machine_id = vm.ssh("cat /etc/machine-id")

    second = cloud.config(1)
    version = cloud.publish(second.text)
    code, progress = cloud.reprovision(second.config_id, second.text)
    assert code == 0, progress + vm.tail()
    assert cloud.has_asked(), "again, for the same user data"
    seen = vm.ssh("cat /etc/flatcar/config-id /var/lib/data/kept /etc/machine-id; ls /etc/by-hand 2>&1 || true")
    assert seen.startswith(f"{second.config_id}\nmine\n{machine_id}ls: ")
    if cloud.platform == "aws":  # what follows doesn't depend on the platform
        return

    # A config that stops Ignition: the machine waits in its initramfs, and finds the last good one at its next try.
    cloud.publish("{not json")
    code, progress = cloud.reprovision("0" * 128, "{not json")
    assert code == 1 and "Ignition failed in the initramfs" in progress, progress + vm.tail()
    assert f"it is back on its last good config ({second.config_id[:12]})" in progress, progress + vm.tail()
    held = cloud.aws.s3.get_object(Bucket=BUCKET, Key=KEY)
    assert held["Body"].read().decode() == second.text and held["VersionId"] != version
    assert vm.ssh("cat /etc/flatcar/config-id /var/lib/data/kept") == f"{second.config_id}\nmine\n"
