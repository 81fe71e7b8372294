"""The audit on a real machine: clean when fresh, every kind of drift found, clean again after a reset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from components.audit.__main__ import Report, look, table
from components.audit.records import Record
from components.commands.reprovision.request import Request
from components.payload.machine_config import MachineConfig
from components.settings.keep import kept_paths
from tests.support.machine_configs import made_config
from tests.vm.machines import VM, machine, needs_image

ROOT = Path(__file__).resolve().parents[2]
KEEP = kept_paths(["logs"])
EXTRAS = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: deploy
      uid: 1500
      groups: [crew]
      shell: /bin/bash
      password_hash: $6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.
      ssh_authorized_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDeclaredKeyOfNobodyAtAll0000000000000000000 deploy"]
    - name: former
  groups:
    - {name: crew, gid: 1600}
    - {name: club, gid: 1700}
storage:
  files:
    - {path: /etc/content, mode: 0644, contents: {inline: "hush"}}
    - {path: /etc/mode, mode: 0600, contents: {inline: "a"}}
    - {path: /etc/owner, mode: 0644, contents: {inline: "a"}}
    - {path: /etc/gone, mode: 0644, contents: {inline: "a"}}
    - {path: /var/lib/type, mode: 0644, contents: {inline: "a"}}
    - {path: /etc/systemd/system-preset/10-image.preset, contents: {inline: "enable remote-fs.target"}}
    - {path: /etc/profile, append: [{inline: "# appended"}]}
  directories:
    - {path: /srv/shared, mode: 0770, group: {id: 100}}
    - {path: /srv/mine, user: {name: core}}
    - {path: /srv/gone}
  links:
    - {path: /etc/twin, target: /etc/mode, hard: true}
systemd:
  units:
    - name: steady.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
      dropins:
        - name: 10-more.conf
          contents: |
            [Service]
            Nice=1
    - name: shut.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
    - name: broken.service
      contents: |
        [Service]
        ExecStart=/bin/sh -c 'test ! -e /run/break'
    - name: idle.timer
      enabled: false
      contents: |
        [Timer]
        OnBootSec=1h
        Unit=steady.service
        [Install]
        WantedBy=timers.target
    - {name: systemd-timesyncd.service, mask: true}
"""
DRIFT = """
set -e
printf other >/etc/content
chown 7:7 /etc/owner; chmod 4755 /etc/owner
chmod 0644 /etc/mode; cp /etc/mode /etc/copy; rm /etc/twin; mv /etc/copy /etc/twin
rm /etc/gone /var/lib/type; mkdir /var/lib/type
echo '# more' >>/etc/profile
chmod 0777 /srv/shared; chgrp 0 /srv/shared; chown root /srv/mine; rmdir /srv/gone
ln -sfn /dev/null /etc/web/current.html
rm -r /etc/ssh/sshd_config
echo 'Wild West' >/etc/by-hand
useradd --create-home --shell /bin/bash intruder
useradd --non-unique --uid 0 --no-create-home --shell /usr/sbin/nologin toor
usermod --shell /bin/sh --uid 1555 --home /home/elsewhere deploy
usermod --password '$6$salt$other' deploy
usermod --password '$6$salt$none' core
gpasswd --delete deploy crew
userdel former
groupmod --gid 1601 crew; groupdel club
rm -r /home/deploy/.ssh
printf '%s\n' 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIntruder intruder' >>/home/core/.ssh/authorized_keys
ln -s /etc/shadow '/home/core/.ssh/authorized_keys.d/a|b
stamp=none'
printf '%s\n' [Service] ExecStart=/bin/true [Install] WantedBy=multi-user.target >/etc/systemd/system/mine.service
echo '# more' >>/etc/systemd/system/steady.service.d/10-more.conf
systemctl --quiet enable mine.service idle.timer
systemctl --quiet disable web.socket remote-fs.target
systemctl stop steady.service
rm /etc/systemd/system/shut.service; systemctl --quiet mask shut.service
rm /etc/systemd/system/systemd-timesyncd.service
touch /run/break; systemctl start broken.service || true
systemd-run --quiet --unit=nobodys --wait false || true
echo '# changed' >>/etc/systemd/system/broken.service
echo '{}' >/oem/config.ign
echo elsewhere >/etc/flatcar/config-id
mkdir -p /oem/.flatcar-reprovision; echo before >/oem/.flatcar-reprovision/went-back
touch /boot/flatcar/first_boot /selective-os-reset
"""
FOUND = {
    "config id": ["the machine rolled back by itself from before"],
    "/oem/config.ign": ["shadows the pointer in the user data"],
    "/boot/flatcar/first_boot": ["a re-run of Ignition is staged for the next boot"],
    "/selective-os-reset": ["a re-run of Ignition is staged for the next boot"],
    "/etc/content": ["has other content"],
    "/etc/mode": ["has mode 0644, declared is 0600"],
    "/etc/owner": ["has mode 4755, declared is 0644"],
    "/etc/gone": ["is missing"],
    "/etc/twin": ["is another file than /etc/mode, declared as a hard link to it"],
    "/etc/profile": ["does not end in the content to append"],
    "/var/lib/type": ["is a directory, declared as a file"],
    "/srv/shared": ["has mode 0777, declared is 0770", "belongs to group root, declared is 100"],
    "/srv/mine": ["belongs to user root, declared is core"],
    "/srv/gone": ["is missing"],
    "/etc/web/current.html": ["leads to /dev/null, declared is /etc/web/index.html"],
    "/etc/ssh/sshd_config": ["was deleted; the image ships it"],
    "/etc/by-hand": ["is a file that nobody declared"],
    "/etc/systemd/system/mine.service": ["is a file that nobody declared"],
    "/etc/systemd/system/multi-user.target.wants/mine.service": [
        "is a link to /etc/systemd/system/mine.service that nobody declared"
    ],
    "web.socket": ["is disabled, declared as enabled"],
    "remote-fs.target": ["is disabled; the image enables it"],
    "steady.service": ["is stopped, declared as enabled"],
    "/etc/systemd/system/steady.service.d/10-more.conf": ["has other content"],
    "shut.service": ["is masked by hand"],
    "/etc/systemd/system/shut.service": ["is a link, declared as a file"],
    "idle.timer": ["is enabled, declared as disabled"],
    "broken.service": ["has failed", "was changed on disk since systemd read it"],
    "nobodys.service": ["has failed"],
    "/etc/systemd/system/broken.service": ["has other content"],
    "systemd-timesyncd.service": ["is not masked, declared as masked"],
    "/etc/systemd/system/systemd-timesyncd.service": ["is missing"],
    "deploy": [
        "has id 1555, declared is 1500",
        "has shell /bin/sh, declared is /bin/bash",
        "has another password than the declared one",
        "is not in group crew",
        "lacks 1 of 1 declared SSH keys",
    ],
    "former": ["is missing"],
    "crew": ["has id 1601, declared is 1600"],
    "club": ["is missing"],
    "intruder": ["is an account that nobody declared"],
    "toor": ["is an account that nobody declared"],
    "core": ["can log in with 1 SSH keys that nobody declared", "has a password that nobody declared"],
}
"""What has to be found, by subject. More may be: one change by hand shows in several places."""


pytestmark = needs_image


def record(vm: VM, config: MachineConfig, boot_id: str) -> Record:
    text = vm.request(config.config_id, config.text, source="", keep=KEEP, timeout=600, rollback_after=0)
    request = Request.from_json(json.loads(text))
    return Record(request=request, proven_boot_id=boot_id, proven_os_version="")


def audited(record: Record) -> Report:
    """The audit of a machine that is up; one that is emulated on a busy computer may not greet in time."""
    for _ in range(10):
        report = look(record)
        if not report.trouble:
            break
    return report


def drift(report: Report) -> set[tuple[str, str]]:
    return {(finding.subject, finding.problem) for finding in report.findings if finding.is_drift}


def test_one_machine_fresh_then_drifted_in_every_way_then_reset(tmp_path: Path) -> None:
    extras = tmp_path / "extras.yaml"
    extras.write_text(EXTRAS)
    with machine(tmp_path, started=False) as vm:
        config = made_config(
            ROOT / "cl/machine-web.yaml",
            snippets=[extras],
            files_dir=ROOT / "cl/files",
            shared={"ssh_public_key": vm.public_key, "machine_name": "web"},
            keep=KEEP,
            rollback_after=3600,
        )
        vm.put(config.text)
        vm.start()
        first = vm.wait_for_ssh()
        vm.ssh("sudo touch /run/before")
        fresh = audited(record(vm, config, first))
        assert not fresh.findings and fresh.is_clean, table([fresh])
        assert fresh.compared > 30

        changed = vm.ssh("sudo find /etc /oem /boot /root /home /var/lib -xdev -newer /run/before")
        assert changed == "", "an audit changes nothing"

        url = 'set linux_append="$linux_append ignition.config.url=http://192.0.2.1/"'
        vm.ssh(f"echo '{url}' | sudo tee -a /oem/grub.cfg")
        vm.reboot()
        restarted = audited(replace(record(vm, config, first), proven_os_version="0"))
        assert drift(restarted) == {
            (place, "ignition.config.url= shadows the pointer in the user data")
            for place in ("/oem/grub.cfg", "/proc/cmdline")
        }, table([restarted])
        notes = [finding.problem for finding in restarted.findings if not finding.is_drift]
        assert notes == ["has restarted since it was proven", f"is {fresh.os_version}, was 0 when it was proven"]
        vm.ssh("sudo sed -i /ignition.config.url/d /oem/grub.cfg")

        vm.ssh(f"sudo bash -s <<'END'\n{DRIFT}END\n")
        report = audited(record(vm, config, first))
        found = drift(report)
        for subject, problems in FOUND.items():
            for problem in problems:
                assert (subject, problem) in found, f"{subject} {problem} is not in\n{table([report])}"
        assert ("config id", f"runs elsewhere, declared is {config.config_id[:12]}") in found
        assert any(subject == "/etc/owner" and "belongs to user" in problem for subject, problem in found)
        shown = table([report]) + json.dumps(sorted(found))
        assert "hush" not in shown and "Wild West" not in shown and "$6$" not in shown
        print(table([report]))

        vm.ssh(
            "sudo rm -r /oem/config.ign /oem/.flatcar-reprovision;"
            "sudo flatcar-reset --keep-machine-id --keep-paths " + " ".join(f"'{path}'" for path in KEEP)
        )
        second = vm.reboot()
        again = audited(record(vm, config, second))
        assert not again.findings and again.is_clean, table([again])
        unknown = audited(record(vm, config, first))
        assert drift(unknown) == {("boot id", "Ignition ran in this boot, and not by `pulumi up`")}, table([unknown])
