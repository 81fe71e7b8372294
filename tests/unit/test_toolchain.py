"""The toolchain's own rules: what counts as made, which stacks need an image, how tests are counted."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components import sdk
from toolchain import clean, packages, places, pulumi_cli, stack, steps, tiers
from toolchain.image import chosen
from toolchain.plugins import install
from toolchain.plugins.base import changes, decode, encode, is_unknown

ROOT = Path(__file__).resolve().parents[2]


# --- steps


def test_digest_follows_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("one")
    first = steps.digest(folder)
    assert steps.digest(folder) == first
    (folder / "a").write_text("two")
    second = steps.digest(folder)
    (folder / "a").rename(folder / "b")
    third = steps.digest(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "b.pyc").write_text("compiled")
    assert len({first, second, third}) == 3
    assert steps.digest(folder) == third


def test_failed_program_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    with pytest.raises(steps.SetupError) as caught:
        steps.run(["sh", "-c", "seq 100; exit 3"], log="count", failure="counting failed", hint="count again")
    assert str(caught.value).startswith("counting failed (exit 3)")
    assert str(tmp_path / "count.log") in str(caught.value)
    assert "| 100" in str(caught.value) and "| 50\n" not in str(caught.value)
    assert caught.value.hint == "count again"


def test_missing_and_endless_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    with pytest.raises(steps.SetupError, match="No such file"):
        steps.run([str(tmp_path / "nothing")], log="x", failure="it failed")
    with pytest.raises(steps.SetupError, match="no end after"):
        steps.run(["sleep", "600"], log="x", failure="it failed", timeout=0.2)


def test_stamp_holds_for_one_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STAMPS", tmp_path / "stamps")
    assert not steps.is_made("thing", "a")
    steps.made("thing", "a")
    assert steps.is_made("thing", "a") and not steps.is_made("thing", "b")


# --- stacks and their environment


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("config:\n  flatcar:platform: qemu\n", "qemu"),
        ('config:\n  "flatcar:platform": "qemu"\n', "qemu"),
        ("config:\n  flatcar:platform: droplet # not qemu\n", "droplet"),
        ("config:\n  # flatcar:platform: qemu\n", ""),
        ("config:\n  flatcar:platforms: qemu\n  other:platform: qemu\n", ""),
        ('config:\n  flatcar:platform: ""\n', ""),
        ("config:\n  flatcar:platform:\n  flatcar:other: x\n", ""),
        (None, ""),
    ],
)
def test_setting_of_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str | None, wanted: str) -> None:
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    if settings is not None:
        (tmp_path / "stacks" / "Pulumi.one.yaml").write_text(settings)
    assert stack.setting("one", "platform") == wanted


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ("", ["qemu-system-x86", "image "]),
        (
            "  flatcar:platform: qemu\n  flatcar:image: /some/flatcar.img\n",
            ["qemu-system-x86", "image /some/flatcar.img"],
        ),
        ("  flatcar:platform: droplet\n", []),
        ("  flatcar:platform: host\n", []),
        ("  flatcar:platform: digitalocean\n", ["plugin digitalocean"]),
        ("  flatcar:platform: aws\n", ["plugin aws"]),
    ],
)
def test_set_up_makes_what_a_stack_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, calls: list[str]
) -> None:
    done: list[str] = []
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    monkeypatch.setattr(pulumi_cli, "ensure", lambda: None)
    monkeypatch.setattr(install, "ensure", lambda name: done.append(f"plugin {name}"))
    monkeypatch.setattr(packages, "install", lambda names: done.append(names[1]))
    monkeypatch.setattr(chosen, "ensure", lambda setting, machines: done.append(f"image {setting}"))
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.one.yaml").write_text(f"config:\n{settings}")
    stack.set_up("one")
    assert done == ["plugin command", *calls]
    done.clear()
    stack.set_up("one", image=False)
    assert done == [call for call in ["plugin command", *calls] if not call.startswith("image")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("config:\n  flatcar:platform: qemu\n", "config:\n  flatcar:image: 1.2.3\n  flatcar:platform: qemu\n"),
        (
            "a: b\nconfig: # mine\n\n    # one\n    b:c: d\n",
            "a: b\nconfig: # mine\n    flatcar:image: 1.2.3\n\n    # one\n    b:c: d\n",
        ),
        ("config:\n  x:y: z\n  flatcar:image: beta # newest\n", "config:\n  x:y: z\n  flatcar:image: 1.2.3 # newest\n"),
        ("config:\n  'flatcar:image': \"stable\"\n", "config:\n  'flatcar:image': \"1.2.3\"\n"),
        ("config: {}\n", "config:\n  flatcar:image: 1.2.3\n"),
        ("encryptionsalt: v1", "encryptionsalt: v1\nconfig:\n  flatcar:image: 1.2.3\n"),
        (None, "config:\n  flatcar:image: 1.2.3\n"),
    ],
)  # fmt: skip
def test_a_version_is_added_to_a_stacks_config_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    file = tmp_path / "stacks" / "Pulumi.one.yaml"
    if before is not None:
        file.write_text(before)
    stack.pin_image("one", "1.2.3")
    assert file.read_text() == after
    assert stack.setting("one", "image") == "1.2.3"


def test_a_config_in_another_form_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    file = tmp_path / "stacks" / "Pulumi.one.yaml"
    file.write_text("config: {flatcar:platform: qemu}\n")
    with pytest.raises(steps.SetupError, match="can't add to") as caught:
        stack.pin_image("one", "1.2.3")
    assert caught.value.hint == "pulumi config set --stack one flatcar:image 1.2.3"
    assert file.read_text() == "config: {flatcar:platform: qemu}\n"


def test_what_a_stacks_file_does_not_tell_pulumi_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    monkeypatch.setattr(pulumi_cli, "ensure", lambda: None)
    monkeypatch.setattr(install, "ensure", done.append)
    (tmp_path / "pulumi").write_text('#!/bin/sh\n[ "$3 $5" = "flatcar:platform one" ] && echo aws\n')
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(places, "BIN", tmp_path)
    monkeypatch.setattr(places, "VENV", tmp_path)
    (tmp_path / "stacks").mkdir()
    stack.set_up("one")  # its config is the backend's
    (tmp_path / "stacks/Pulumi.one.yaml").write_text("environment:\n  - flatcar/production\nconfig: {}\n")
    stack.set_up("one")
    (tmp_path / "stacks/Pulumi.one.yaml").write_text("environment: [a]\nconfig:\n  flatcar:platform: digitalocean\n")
    stack.set_up("one")
    (tmp_path / "other.yaml").write_text("config:\n  flatcar:platform: host\n")
    stack.set_up("one", ["--config-file", "other.yaml"])
    assert done == ["command", "aws", "command", "aws", "command", "digitalocean", "command"]


@pytest.mark.parametrize(
    ("verb", "yes", "arguments", "said"),
    [
        ("preview", False, [], []),
        ("up", True, [], ["--yes"]),
        ("destroy", True, ["--diff"], ["--yes"]),
        ("up", False, ["--yes"], []),
        ("up", False, ["--skip-preview"], []),
    ],
)
def test_yes_is_said_by_the_user_alone(verb: str, yes: bool, arguments: list[str], said: list[str]) -> None:
    assert stack.agreement(verb, "dev", yes=yes, arguments=arguments) == said


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize("verb", ["up", "destroy"])
def test_where_nobody_can_be_asked_nobody_has_said_yes(monkeypatch: pytest.MonkeyPatch, verb: str, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: bool(ci))  # in CI even at a terminal
    with pytest.raises(steps.SetupError, match=f"`pulumi {verb}` asks") as refused:
        stack.agreement(verb, "dev", yes=False, arguments=["--diff"])
    assert f"make {verb} STACK=dev YES=1" in refused.value.hint


def test_at_a_terminal_pulumi_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert stack.agreement("up", "dev", yes=False, arguments=[]) == []


def test_what_the_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    acquisition = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", acquisition):
        monkeypatch.delenv(name, raising=False)
    assert places.exports("local")["PULUMI_CONFIG_PASSPHRASE"] == ""
    assert places.exports("local")["PULUMI_BACKEND_URL"].startswith("file://")
    assert "PULUMI_CONFIG_PASSPHRASE" not in places.exports("production")
    assert acquisition in places.exports("local") and acquisition not in places.exports("production")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/some/file")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://somewhere")
    assert not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_BACKEND_URL"} & places.exports("local").keys()


def test_other_stacks_have_the_users_own_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (places.MADE, "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    mine = places.exports("dev")
    assert mine["PULUMI_CREDENTIALS_PATH"] == str(tmp_path / ".pulumi") and "PULUMI_BACKEND_URL" not in mine
    assert mine["PULUMI_HOME"] == str(places.PULUMI_HOME), "plugins are the project's"
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "mine"))
    assert places.exports("dev")["PULUMI_CREDENTIALS_PATH"] == str(tmp_path / "mine")
    assert "PULUMI_HOME" not in places.exports("dev")


def test_the_shell_of_one_stack_becomes_that_of_another(tmp_path: Path) -> None:
    show = 'echo "${PULUMI_BACKEND_URL-none} ${PULUMI_CONFIG_PASSPHRASE-none} ${PULUMI_CREDENTIALS_PATH-none}"'
    make_env = f'eval "$("{sys.executable}" -m toolchain env --stack STACK)"\n{show}\n'
    script = "\n".join(
        [*(make_env.replace("STACK", name) for name in ("local", "dev")), "PULUMI_CONFIG_PASSPHRASE=mine"]
    )
    script += "\nexport PULUMI_CONFIG_PASSPHRASE\n" + "".join(
        make_env.replace("STACK", name) for name in ("local", "dev")
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    shown = subprocess.run(["sh", "-euc", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    local, users = places.STATE.as_uri(), f"{tmp_path}/.pulumi"
    assert shown.splitlines() == [
        f"{local}  none", f"none none {users}", f"{local} mine none", f"none mine {users}",
    ]  # fmt: skip


def test_exports_survive_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/a folder/with 'quotes' and $signs")
    script = places.shell("local") + '\nprintf %s "$PATH"'
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed == places.exports("local")["PATH"]
    assert printed.split(":")[0] == str(places.VENV / "bin")


@pytest.mark.parametrize(
    ("content", "alive"),
    [
        ('{"checkpoint": {"latest": {"resources": [{"urn": "a"}]}}}', ["one"]),
        ('{"checkpoint": {"latest": {"resources": []}}}', []),
        ('{"checkpoint": {"latest": null}}', []),
        ('{"checkpoint": {}}', []),
        ("cut off {", ["one"]),
        ("[]", ["one"]),
    ],
)
def test_state_with_resources_is_not_thrown_away(tmp_path: Path, content: str, alive: list[str]) -> None:
    file = tmp_path / ".pulumi" / "stacks" / "flatcar" / "one.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert clean.stacks_with_resources(tmp_path) == alive


# --- Pulumi


@pytest.mark.parametrize(
    ("printed", "version"),
    [("v3.259.0\n", (3, 259, 0)), ("v3.300.1-dev.4\n", (3, 300, 1)), ("v0.0.0-unset", (0, 0, 0)), ("oops", None)],
)
def test_version_of_pulumi(tmp_path: Path, printed: str, version: tuple[int, ...] | None) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    program.chmod(0o755)
    assert pulumi_cli.version_of(program) == version
    assert pulumi_cli.version_of(tmp_path / "none") is None


def test_installed_pulumi_counts_when_new_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pulumi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program.write_text("#!/bin/sh\necho v3.200.0\n")
    program.chmod(0o755)
    assert pulumi_cli.installed() is None
    program.write_text("#!/bin/sh\necho v3.999.0\n")
    assert pulumi_cli.installed() is None  # no language host
    (tmp_path / "pulumi-language-python").write_text("#!/bin/sh\n")
    (tmp_path / "pulumi-language-python").chmod(0o755)
    assert pulumi_cli.installed() == program


# --- tiers


@pytest.mark.parametrize("names", [["units"], ["unit", "vms"], []])
def test_unknown_tier_is_refused(names: list[str]) -> None:
    with pytest.raises(steps.SetupError, match="no such tier"):
        tiers.run(names)


def test_tests_are_counted_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="9" failures="2" errors="1" skipped="1"/></testsuites>')
    assert tiers.counted(report) == tiers.Outcome(passed=5, failed=3, skipped=1)


@pytest.mark.parametrize(("ci", "failed", "skipped"), [("true", 1, 0), ("", 0, 1)])
def test_missing_tool_skips_on_a_laptop_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, failed: int, skipped: int
) -> None:
    def prepare() -> None:
        raise steps.SetupError("no tool")

    monkeypatch.setenv("CI", ci)
    tier = tiers.Tier(name="unit", folders=("tests/unit",), prepare=prepare)
    outcome = tiers._run_tier(tier, ())
    assert (outcome.failed, outcome.skipped) == (failed, skipped)


def test_shell_programs_are_found_by_name_and_first_line() -> None:
    found = {str(path) for path in tiers.shell_files()}
    assert {"toolchain/apt", "toolchain/bootstrap", "toolchain/lock", ".ci/run"} <= found
    assert not any(name.endswith(".py") for name in found)


# --- set-up on a computer that lacks something


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with a PATH of its own, on which only plain tools are found."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("sh", "uname", "dirname", "cat", "id", "env", "mktemp", "rm", "tail", "dpkg-query", "true"):
        if (found := Path("/usr/bin", name)).exists():
            (folder / name).symlink_to(found)
    return {"PATH": str(folder)}


def fake(environment: dict[str, str], name: str, script: str) -> None:
    path = Path(environment["PATH"], name)
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_setup(program: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["/bin/sh", str(ROOT / "toolchain" / program), *arguments]
    return subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_missing_packages_without_root_and_sudo_are_named(bare: dict[str, str]) -> None:
    fake(bare, "dpkg-query", "exit 1")
    fake(bare, "apt-get", "exit 1")
    fake(bare, "id", "echo 1000")
    result = run_setup("apt", bare, "one-package", "another")
    assert result.returncode == 1
    assert "neither root nor sudo" in result.stderr and "one-package another" in result.stderr
    assert "as root: apt-get update && apt-get install --no-install-recommends one-package another" in result.stderr


def test_packages_that_are_there_need_nothing(bare: dict[str, str]) -> None:
    fake(bare, "dpkg-query", "echo 'ii '")
    assert run_setup("apt", bare, "one-package").returncode == 0


def test_failed_apt_shows_its_output(bare: dict[str, str]) -> None:
    fake(bare, "dpkg-query", "exit 1")
    fake(bare, "apt-get", "echo E: Unable to locate package; exit 100")
    fake(bare, "id", "echo 0")
    result = run_setup("apt", bare, "one-package")
    assert result.returncode == 1
    assert "Unable to locate package" in result.stderr and "one-package" in result.stderr


def test_too_old_python_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "toolchain").mkdir()
    fake(bare, "python3", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    shutil.copy(ROOT / "toolchain/bootstrap", tmp_path / "toolchain")  # where no .venv is yet
    argv = ["/bin/sh", str(tmp_path / "toolchain/bootstrap")]
    result = subprocess.run(argv, env=bare, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed; found: Python 3.9.2" in result.stderr


@pytest.fixture
def computer(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A folder with set-up's first program and an empty list of packages; runs the program."""
    (tmp_path / "toolchain").mkdir()
    shutil.copy(ROOT / "toolchain/bootstrap", tmp_path / "toolchain/bootstrap")
    (tmp_path / "requirements.txt").write_text("# none\n")

    def run(**env: str) -> subprocess.CompletedProcess[str]:
        plain = {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
        argv = ["toolchain/bootstrap", "run"]
        return subprocess.run(argv, cwd=tmp_path, env=plain | env, capture_output=True, text=True, check=False)

    return run


def test_set_up_keeps_its_python_and_what_is_in_use(
    tmp_path: Path, computer: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    made = computer()
    assert made.returncode == 0, made.stderr
    (tmp_path / ".venv/mine").touch()
    own = {"PATH": f"{tmp_path}/.venv/bin:/usr/bin:/bin"}
    for env in (own, {}, {"PATH": "/usr/bin:/bin"}):  # in a shell of `make env`, back, and with another Python on PATH
        again = computer(**env)
        assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / ".venv/mine").exists()

    folder = os.open(tmp_path / ".venv", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_SH)  # as a running program of Pulumi's
    (tmp_path / "requirements.txt").write_text("# none, edited\n")
    stamp = (tmp_path / ".venv/stamp-run").read_text()
    refused = computer(**own)
    assert refused.returncode == 1
    assert "error: .venv is used by a running `pulumi`, and its packages have to change" in refused.stderr
    (tmp_path / ".venv/stamp-python").unlink()
    refused = computer(**own)
    assert refused.returncode == 1 and "and it has to be made anew" in refused.stderr
    assert (tmp_path / ".venv/stamp-run").read_text() == stamp and (tmp_path / ".venv/mine").exists()
    os.close(folder)
    assert computer(**own).returncode == 0
    assert (tmp_path / ".venv/stamp-run").read_text() != stamp and not (tmp_path / ".venv/mine").exists()


def test_what_runs_keeps_the_packages_until_all_it_started_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "VENV", tmp_path)
    script = "import os; from pathlib import Path; from toolchain import steps; steps.VENV = Path(os.environ['V'])\n"
    script += "steps.hold(); os.execvp('sh', ['sh', '-c', 'echo on; read line'])"
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, "V": str(tmp_path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as held:
        assert held.stdout and held.stdout.readline() == b"on\n"
        with pytest.raises(steps.SetupError, match="it goes, and a running `pulumi` uses it"):
            steps.not_in_use("it goes")
        with pytest.raises(steps.SetupError, match="what set-up made is to be removed, and a running"):
            clean.clean()
        held.communicate(b"end\n")
    steps.not_in_use("it goes")


def test_a_program_keeps_its_packages_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "VENV", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    sdk.hold_packages()
    with pytest.raises(steps.SetupError, match="it goes"):
        steps.not_in_use("it goes")
    for held in set(os.listdir("/proc/self/fd")) - before:
        if os.path.lexists(f"/proc/self/fd/{held}"):
            os.close(int(held))


def test_other_systems_are_refused(bare: dict[str, str]) -> None:
    fake(bare, "uname", "echo MINGW64_NT")
    result = run_setup("bootstrap", bare)
    assert result.returncode == 1 and "WSL" in result.stderr


def test_packages_are_installed_by_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "ROOT", Path("/nowhere"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    packages.install(["anything"])  # no apt-get: a word, not a failure


# --- the plugins' base


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, [("a", "UPDATE")]),
        ({}, {"a": "2"}, [("a", "ADD")]),
        ({"a": "1"}, {}, [("a", "DELETE")]),
        ({"a": {"b": "1"}}, {"a": {"b": "2", "c": "3"}}, [("a.b", "UPDATE"), ("a.c", "ADD")]),
        ({"a": ["1", "2"]}, {"a": ["1", "3", "4"]}, [("a[1]", "UPDATE"), ("a[2]", "ADD")]),
        ({"a": ["1", "2"]}, {"a": ["1"]}, [("a[1]", "DELETE")]),
        ({"a": ["1"]}, {"a": "1"}, [("a", "UPDATE")]),
        ({"a": {"b.c": "1"}}, {"a": {"b.c": "2"}}, [('a["b.c"]', "UPDATE")]),
        ({"a": "1"}, {"a": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}, [("a", "UPDATE")]),
    ],
)
def test_differences_are_named_by_path(old: dict[str, object], new: dict[str, object], wanted: list[object]) -> None:
    assert list(changes(decode(encode(old)), decode(encode(new)))) == wanted  # type: ignore[arg-type]


def test_secrets_are_opened_and_absent_values_left_out() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": {"in": "hush"}}
    assert decode(encode({"a": secret, "b": None, "version": "1", "__internal": "x"})) == {"a": {"in": "hush"}}  # type: ignore[dict-item]


def test_unknown_is_found_at_any_depth() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert is_unknown({"a": [{"b": unknown}]}) and not is_unknown({"a": [{"b": "known"}]})


@pytest.mark.parametrize(
    ("text", "goes_on"),
    [
        ("config:\n  flatcar:rollout:\n    max_failures: 3\n", True),
        ("config:\n  flatcar:rollout: {canary: 1, 'unreachable': skip}\n", True),
        ("config:\n  flatcar:rollout:\n    # max_failures: 3\n    canary: 1\n", False),
        ("config:\n  flatcar:rollout:\n    max_unavailable: 3\n", False),
    ],
)
def test_a_rollout_that_takes_failures_goes_on_after_one(text: str, goes_on: bool) -> None:
    assert bool(stack.GOES_ON.search(text)) is goes_on


# --- make


@pytest.mark.parametrize(
    ("words", "handed_on"),
    [
        (
            ["exec", "MACHINE=web db", """COMMAND=echo "a  $HOME" 'b'; ls | wc -l"""],
            ["exec", "--stack", "local", "--", "web", "db", "--", """echo "a  $HOME" 'b'; ls | wc -l"""],
        ),
        (
            ["exec", "GROUP=front", "STACK=dev", "COMMAND=uptime"],
            ["exec", "--stack", "dev", "--", "--group", "front", "--", "uptime"],
        ),
        (
            ["logs", "MACHINE=web", """ARGS=-u web.service --since '1 hour ago'"""],
            ["logs", "--stack", "local", "--", "web", "--", "-u", "web.service", "--since", "1 hour ago"],
        ),
        (["history"], ["history", "--stack", "local", "--"]),
        (["history", "MACHINES=web-* toolch*"], ["history", "--stack", "local", "--", "web-*", "toolch*"]),
        (
            ["status", "GROUP=front", "ARGS=--html x"],
            ["status", "--stack", "local", "--", "--group", "front", "--", "--html", "x"],
        ),
        (["audit", "MACHINE=web", "ARGS=--json"], ["audit", "--stack", "local", "--", "web", "--", "--json"]),
        (["up", "ARGS=--diff"], ["up", "--stack", "local", "--", "--diff"]),
        (["up", "MACHINES=web-1 toolch*"], ["up", "--stack", "local", "--machines", "web-1 toolch*", "--"]),
        (["preview", "GROUP=front"], ["preview", "--stack", "local", "--group", "front", "--"]),
        (["destroy", "MACHINE=web"], ["destroy", "--stack", "local", "--machines", "web", "--"]),
        (["reprovision", "MACHINE=web"], ["reprovision", "--stack", "local", "--", "web", "--"]),
    ],
)
def test_make_hands_the_operators_words_on(tmp_path: Path, words: list[str], handed_on: list[str]) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name, text in (("toolchain/bootstrap", ""), (".venv/bin/python", "printf '%s\\n' \"$@\"")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    plain = {"PATH": os.environ["PATH"]}  # `make test ARGS=…` hands its words to each make below it
    done = subprocess.run(["make", *words], cwd=tmp_path, capture_output=True, text=True, check=True, env=plain)
    assert done.stdout.splitlines() == ["-m", "toolchain", *handed_on]


@pytest.mark.parametrize("some", [["--machines", "web-*"], ["--group", "front"]])
def test_a_stack_is_taken_down_as_a_whole(some: list[str]) -> None:
    argv = [sys.executable, "-m", "toolchain", "destroy", "--stack", "dev", "--yes", *some, "--"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "`make destroy` takes the whole stack down, not some of its machines" in done.stderr
