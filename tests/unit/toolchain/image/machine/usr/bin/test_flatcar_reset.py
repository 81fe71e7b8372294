"""flatcar-reset and selective-reset of the stand-in: the real scripts, in a root of their own.

A user namespace and copies of the programs they call; nothing of this computer can be reached from in there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components.settings.keep import composed
from tests.conftest import missing

SCRIPTS = Path(__file__).resolve().parents[7] / "toolchain" / "image" / "machine" / "usr"
LOOPBACK = SCRIPTS.parents[3] / "loopback/parts/bin/flatcar-reset"
KEEP = SCRIPTS.parents[3] / "components/scripts/keep.sh"
PROGRAMS = (
    "basename", "bash", "cat", "chroot", "cp", "find", "getopt", "id", "mkdir", "mktemp", "mountpoint", "rm", "rmdir",
    "sed", "sh", "touch", "tr", "umount", "unshare", "wc",
)  # fmt: skip
# $1 an empty folder, $2 the tree of programs, $3 the root under test. The outer root stands for the initramfs, its
# /sysroot for the machine; /usr is a file system of its own in both. /etc of a machine that runs is a mount point.
SANDBOX = r"""
set -eu
outer=$1 programs=$2 root=$3 where=$4; shift 4
fill() {
  mkdir -p "$1/usr" "$1/dev" "$1/proc"
  mount -t tmpfs tmpfs "$1/usr"
  cp -a "$programs/." "$1/usr/"
  for link in bin sbin lib lib64; do ln -sfn "usr/$link" "$1/$link"; done
  mount -t tmpfs tmpfs "$1/dev"
  touch "$1/dev/null"
  mount --bind /dev/null "$1/dev/null"
  ln -s /proc/self/fd "$1/dev/fd"
  mount --rbind /proc "$1/proc"
}
mount -t tmpfs tmpfs "$outer"
fill "$outer"
mkdir "$outer/sysroot"
mount --bind "$root" "$outer/sysroot"
fill "$outer/sysroot"
if [ "$where" = machine ]; then
  mount --bind "$outer/sysroot/etc" "$outer/sysroot/etc"
  exec chroot "$outer/sysroot" "$@"
fi
exec chroot "$outer" "$@"
"""
Sandbox = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small root file system."""
    made = tmp_path / "root"
    for path, text in {
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "etc/ssh/ssh_host_ed25519_key": "key",
        "etc/ssh/sshd_config": "config",
        "var/log/journal/a": "log",
        "var/lib/data/with space": "data",
        "oem/grub.cfg": "",
        "boot/flatcar/grub": "",
    }.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    (made / "tmp").mkdir()
    return made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A /usr with the programs that the scripts call, their libraries, and the scripts."""
    usr = tmp_path_factory.mktemp("programs")

    def copy(source: str) -> None:
        target = usr / source.removeprefix("/").removeprefix("usr/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    for folder in ("bin", "sbin", "lib", "lib64"):
        (usr / folder).mkdir()
    for name in PROGRAMS:
        found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        if found is None:
            missing(name)
            raise AssertionError
        copy(found)
        linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", linked):
            copy(library)
    for script in ("bin/flatcar-reset", "sbin/selective-reset"):
        shutil.copy(SCRIPTS / script, usr / script)
    shutil.copy(LOOPBACK, usr / "bin/loopback-flatcar-reset")
    shutil.copy(KEEP, usr / "bin/keep.sh")
    return usr


@pytest.fixture
def sandbox(root: Path, programs: Path, tmp_path: Path) -> Sandbox:
    """Runs a program in the "machine" or the "initramfs", as the root user of a user namespace."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, check=False).returncode:
        missing("user namespaces")
    outer = tmp_path / "outer"
    outer.mkdir()

    def run(where: str, *command: str) -> subprocess.CompletedProcess[str]:
        argv = [*own, "sh", "-c", SANDBOX, "sh", str(outer), str(programs), str(root), where, *command]
        env = {"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "LC_ALL": "C"}
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)

    return run


@pytest.fixture
def reset(sandbox: Sandbox) -> Sandbox:
    return lambda *options: sandbox("machine", "/usr/bin/flatcar-reset", *options)


@pytest.fixture
def wipe(sandbox: Sandbox) -> Sandbox:
    return lambda: sandbox("initramfs", "/usr/sbin/selective-reset", "/sysroot")


@pytest.mark.parametrize(
    ("entries", "regex"),
    [
        ([], ""),
        (["/var/log"], "/var/log/.*|/var/log|"),
        (["/var/log/"], "/var/log/.*|/var/log|"),
        (["/etc/ssh/ssh_host_.*"], "/etc/ssh/ssh_host_.*|"),
        (["/etc/mypath$", "/etc/mypat[h]", "/etc/(mypath)", "/a?"], "/etc/mypath$|/etc/mypat[h]|/etc/(mypath)|/a?|"),
        (["^/etc/mypath", "(/a|/b)"], "^/etc/mypath|(/a|/b)|"),
        (["/it's here"], "/it's here/.*|/it's here|"),
    ],
)
def test_stages_one_expression_of_all_entries(
    root: Path, reset: Sandbox, sandbox: Sandbox, entries: list[str], regex: str
) -> None:
    options = ["--keep-paths", *entries] if entries else []
    done = reset(*options)
    assert done.returncode == 0, done.stderr
    expected = f"({regex}/flatcar-backup|/flatcar-backup/.*|/selective-os-reset)"
    assert (root / "selective-os-reset").read_text() == expected + "\n"
    assert composed(entries) == expected, "settings/keep.py"
    keep = sandbox("machine", "/usr/bin/bash", "-c", '. /usr/bin/keep.sh; KEEP=("$@"); all_kept', "bash", *entries)
    assert keep.stdout == expected, "scripts/keep.sh"
    assert (root / "boot/flatcar/first_boot").exists()
    assert "Staged OS reset, you can reboot now" in done.stdout
    (root / "selective-os-reset").unlink()
    assert sandbox("machine", "/usr/bin/loopback-flatcar-reset", *options).returncode == 0
    assert (root / "selective-os-reset").read_text() == expected + "\n", "the machine on loopback"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--help"], "Usage:"),
        (["--nonsense"], "unrecognized option"),
        (["/var/log"], "Found unused arguments: /var/log"),
        (["--keep-paths"], "No paths to keep specified"),
        (["-K", "var/log"], "Invalid path to keep"),
        (["-K", "./var"], "Invalid path to keep"),
        (["-P", "-W"], "Only one exclusive action allowed"),
        (["-F", "a", "-U", "b"], "Can't specify both"),
        (["--restore-backup"], "/flatcar-backup/ does not exist"),
    ],
)
def test_wrong_use_exits_1_and_stages_nothing(root: Path, reset: Sandbox, options: list[str], message: str) -> None:
    done = reset(*options)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
    assert not (root / "selective-os-reset").exists() and not (root / "boot/flatcar/first_boot").exists()


def test_keeps_the_machine_id_on_the_kernel_command_line_once(root: Path, reset: Sandbox) -> None:
    line = 'set linux_append="$linux_append systemd.machine_id=0123456789abcdef0123456789abcdef"\n'
    (root / "oem/grub.cfg").write_text('set linux_append="$linux_append quiet"\n')
    for _ in range(2):
        assert reset("-M").returncode == 0
        assert (root / "oem/grub.cfg").read_text() == 'set linux_append="$linux_append quiet"\n' + line
    assert reset().returncode == 0
    assert (root / "oem/grub.cfg").read_text() == 'set linux_append="$linux_append quiet"\n'


def test_a_url_and_a_file_replace_each_other(root: Path, reset: Sandbox) -> None:
    (root / "tmp/new.ign").write_text("{}")
    assert reset("--ignition-file", "/tmp/new.ign").returncode == 0
    assert (root / "oem/config.ign").read_text() == "{}"
    assert reset("--ignition-url", "https://config.example/a?b=c").returncode == 0
    assert not (root / "oem/config.ign").exists()
    appended = 'set linux_append="$linux_append ignition.config.url=https://config.example/a?b=c"\n'
    assert (root / "oem/grub.cfg").read_text() == appended
    assert reset("-F", "/tmp/new.ign").returncode == 0
    assert (root / "oem/grub.cfg").read_text() == ""


def test_stop_unstages(root: Path, reset: Sandbox) -> None:
    assert reset("-K", "/var/log").returncode == 0
    assert "staged already" in reset("-K", "/var/log").stdout
    assert reset("--stop").returncode == 0
    assert not (root / "selective-os-reset").exists() and not (root / "boot/flatcar/first_boot").exists()


def test_previews_share_all_paths_between_them(reset: Sandbox) -> None:
    keep = ["--keep-path", "/var/log", "/etc/ssh/ssh_host_.*", "/it's"]  # abbreviated, as getopt allows
    deleted, kept = (reset(action, *keep).stdout.splitlines() for action in ("-P", "-W"))
    assert "/var/lib/data/with space" in deleted and "/etc/ssh/sshd_config" in deleted
    assert set(kept) == {"/var/log", "/var/log/journal", "/var/log/journal/a", "/etc/ssh/ssh_host_ed25519_key"}
    assert not set(deleted) & set(kept)


def test_the_wipe_keeps_what_the_expression_says(root: Path, reset: Sandbox, wipe: Sandbox) -> None:
    assert reset("-K", "/var/log", "/etc/ssh/ssh_host_.*", "/etc/machine-id").returncode == 0
    wiped = wipe()
    assert wiped.returncode == 0, wiped.stderr
    assert wiped.stdout == "", "Flatcar's says nothing either"
    left = {str(path.relative_to(root)) for path in root.rglob("*")}
    stays = {"usr", "dev", "proc", "bin", "sbin", "lib", "lib64"}  # mount points, and links to directories
    kept = {"var", "var/log", "var/log/journal", "var/log/journal/a", "etc", "etc/ssh", "etc/ssh/ssh_host_ed25519_key"}
    assert left - stays == kept, "machine-id goes even when it is to be kept"


def test_the_wipe_leaves_links_to_what_is_a_directory_in_the_initramfs(
    root: Path, reset: Sandbox, wipe: Sandbox
) -> None:
    links = {
        "relative": "var/log",
        "absolute": "/usr/bin",
        "machine-s": "/var/log",
        "file": "usr/bin/find",
        "broken": "x",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert reset("-K", "/var/log").returncode == 0
    assert wipe().returncode == 0
    assert {name for name in links if (root / name).is_symlink()} == {"relative", "absolute"}


def test_without_the_file_nothing_is_wiped(root: Path, wipe: Sandbox) -> None:
    before = {path for path in root.rglob("*") if path.is_file()}
    assert wipe().stdout == ""
    (root / "selective-os-reset").touch()
    assert wipe().returncode == 0
    assert before <= {path for path in root.rglob("*") if path.is_file()}
    assert (root / "etc/machine-id").exists()
