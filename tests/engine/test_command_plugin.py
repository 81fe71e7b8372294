"""What this project relies on in the command plugin, asked of the one that is installed: Pulumi's, or the stand-in.

Source: pulumi-command 1.2.1, `provider/pkg/provider/local`. Every run is a real `pulumi up`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from loopback.pulumi import Pulumi
from tests.conftest import Project
from toolchain.plugins import install

DEADLINE_S = 120.0
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's mark for a text that is not known before `up`."""

# The inputs of the Command are in a file that a test rewrites between two runs. `secret:` marks secrets.
PROGRAM = """
import json, pathlib
import pulumi
from pulumi_command import local

def value(item):
    if isinstance(item, str) and item.startswith("secret:"):
        return pulumi.Output.secret(item.removeprefix("secret:"))
    if isinstance(item, dict):
        return {key: value(inner) for key, inner in item.items()}
    return item

inputs = json.loads(pathlib.Path("inputs.json").read_text())
options = pulumi.ResourceOptions(**inputs.pop("options", {}))
command = local.Command("it", **{key: value(item) for key, item in inputs.items()}, opts=options)
pulumi.export("stdout", command.stdout)
pulumi.export("stderr", command.stderr)
"""


def stand_in_only() -> None:
    if not install.is_stand_in("command"):
        pytest.skip("better than the real plugin: only the stand-in does this")


def write(stack: Pulumi, **inputs: object) -> None:
    (stack.directory / "inputs.json").write_text(json.dumps(inputs))


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while not (path.is_file() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)
    return path.read_text().strip()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def test_life_of_a_command(pulumi: Project, tmp_path: Path) -> None:
    stack, log = pulumi(PROGRAM), tmp_path / "log"
    create = f"echo create >> {log}; echo out; echo; echo err >&2"
    update = f'echo "update, was $PULUMI_COMMAND_STDOUT/$PULUMI_COMMAND_STDERR" >> {log}; echo changed'
    delete = f'echo "delete, was $PULUMI_COMMAND_STDOUT" >> {log}'
    inputs = {"create": create, "update": update, "delete": delete, "triggers": ["a", 1]}

    write(stack, **inputs)
    assert stack.preview().ops() == {"it": "create"}
    assert not log.exists()  # a preview runs nothing

    assert stack.up().ops() == {"it": "create"}
    assert stack.outputs() == {"stdout": "out\n", "stderr": "err"}  # without the last newline
    assert stack.up().ops() == {"it": "same"}
    assert log.read_text() == "create\n"

    write(stack, **inputs, environment={"A": "b"})
    assert stack.preview().ops() == {"it": "update"}
    assert stack.up().ops() == {"it": "update"}
    assert stack.outputs() == {"stdout": "changed", "stderr": ""}

    write(stack, **{**inputs, "triggers": ["b", 1]}, environment={"A": "b"})
    preview = stack.preview()
    assert preview.ops() == {"it": "replace"}
    assert preview.replacing_keys() == {"it": None}  # the SDK asks for it, not the plugin
    stack.up()  # the new one first, then the old one goes
    assert log.read_text().splitlines()[1:] == ["update, was out", "/err", "create", "delete, was changed"]

    stack.destroy()
    assert log.read_text().endswith("delete, was out\n\n")
    assert stack.resources() == {}


def test_create_runs_again_where_there_is_no_update(pulumi: Project, tmp_path: Path) -> None:
    stack, log = pulumi(PROGRAM), tmp_path / "log"
    create = f'echo "$STEP, was $PULUMI_COMMAND_STDOUT" >> {log}; echo $STEP'
    write(stack, create=create, environment={"STEP": "one"})
    stack.up()
    write(stack, create=create, environment={"STEP": "two"})
    assert stack.up().ops() == {"it": "update"}
    write(stack, create=create, environment={"STEP": "three"}, add_previous_output_in_env=False)
    stack.up()
    assert log.read_text().splitlines() == ["one, was ", "two, was one", "three, was "]
    assert stack.outputs()["stdout"] == "three"


def test_failed_create_leaves_nothing_and_is_tried_again(pulumi: Project, tmp_path: Path) -> None:
    stack, door = pulumi(PROGRAM), tmp_path / "door"
    write(stack, create=f"echo knocking; echo louder >&2; test -e {door} || exit 7; echo in")
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "exit status 7" in failed.output
    assert "knocking" in failed.output and "louder" in failed.output
    assert stack.resources() == {}
    door.touch()
    assert stack.up().ops() == {"it": "create"}
    assert stack.outputs()["stdout"] == "knocking\nin"


def test_failed_update_keeps_the_old_inputs_and_is_tried_again(pulumi: Project, tmp_path: Path) -> None:
    stack, door = pulumi(PROGRAM), tmp_path / "door"
    write(stack, create="echo made", update=f"test -e {door} && echo changed")
    stack.up()
    write(stack, create="echo made", update=f"test -e {door} && echo changed", environment={"A": "b"})
    assert stack.up(code=None).code != 0
    assert "environment" not in stack.resources()["it"]["inputs"]
    assert stack.outputs()["stdout"] == "made"
    door.touch()
    assert stack.up().ops() == {"it": "update"}
    assert stack.outputs()["stdout"] == "changed"
    assert stack.up().ops() == {"it": "same"}


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, {"to stdout", "to stderr"}),
        ("stdoutAndStderr", {"to stdout", "to stderr"}),
        ("stdout", {"to stdout"}),
        ("stderr", {"to stderr"}),
        ("none", set()),
    ],
)
def test_logging_shows_the_chosen_streams(pulumi: Project, logging: str | None, shown: set[str]) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="echo to stdout; echo to stderr >&2", **({"logging": logging} if logging else {}))
    run = stack.up()
    assert set(run.progress("it")) & {"to stdout", "to stderr"} == shown
    assert stack.outputs() == {"stdout": "to stdout", "stderr": "to stderr"}


def test_nothing_is_logged_of_a_stream_that_there_is_not(pulumi: Project) -> None:
    """The SDK takes no such value from its own state, so its program fails afterwards."""
    stack = pulumi(PROGRAM)
    write(stack, create="echo to stdout; echo to stderr >&2", logging="nonsense")
    run = stack.up(code=None)
    assert not set(run.progress("it")) & {"to stdout", "to stderr"}
    assert stack.resources()["it"]["outputs"]["stdout"] == "to stdout"


def test_what_is_no_utf_8_fails_the_command_after_it_has_run(pulumi: Project, tmp_path: Path) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create=f"printf 'a\\377b\\n'; touch {tmp_path}/has-run")
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "string field contains invalid UTF-8" in failed.output
    assert (tmp_path / "has-run").exists() and stack.resources() == {}


@pytest.mark.parametrize("length", [65_535, 65_536])
def test_a_logged_line_of_64_kib_stands_still(pulumi: Project, tmp_path: Path, length: int) -> None:
    """Nobody reads on: the command ends, `pulumi up` does not."""
    stack, end = pulumi(PROGRAM), tmp_path / "end"
    write(stack, create=f"head -c {length} /dev/zero | tr '\\0' x >&2; echo >&2; echo end > {end}", logging="stderr")
    with stack.running("up", "--yes", "--skip-preview") as process:
        wait_for(end)
        if length < 65_536:
            process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 0
            return
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=8)
        waiting = children(process.pid)
    for pid in waiting:  # the plugin would wait on
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    stack.run("cancel", "--yes")  # the lock that the killed engine left


def test_a_long_line_that_is_not_logged_is_kept(pulumi: Project) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="head -c 100000 /dev/zero | tr '\\0' x", logging="stderr")
    stack.up()
    assert stack.outputs()["stdout"] == "x" * 100_000


@pytest.mark.parametrize(
    ("create", "reason"),
    [
        ("head -c 140000 /dev/zero | tr '\\0' x", "argument list too long"),
        ("printf 'a\\000b'", "environment variable contains NUL"),
    ],
)
def test_what_was_printed_before_has_to_fit_into_the_environment(pulumi: Project, create: str, reason: str) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create=create, logging="none")
    stack.up()
    write(stack, create="echo other", logging="none")
    failed = stack.up(code=None)
    assert failed.code != 0
    assert f'{reason}: running "echo other"' in failed.output


def test_a_command_has_nothing_of_the_plugin_in_its_environment(pulumi: Project) -> None:
    stack = pulumi(PROGRAM, env={"PYTHONPATH": ""})
    write(stack, create='echo "<$PYTHONPATH>"')
    stack.up()
    assert stack.outputs()["stdout"] == "<>"


def test_lines_are_shown_while_the_command_runs(pulumi: Project, tmp_path: Path) -> None:
    stack, go_on = pulumi(PROGRAM), tmp_path / "go-on"
    write(stack, create=f"echo ready; while ! test -e {go_on}; do sleep 0.1; done; echo done")
    with stack.running("up", "--yes", "--skip-preview") as process:
        deadline = time.monotonic() + DEADLINE_S
        while "ready" not in stack.seen().progress("it"):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        go_on.touch()
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def test_environment_folder_interpreter_and_input(pulumi: Project, tmp_path: Path) -> None:
    stack = pulumi(PROGRAM)
    program = "import os, sys; print(os.getcwd(), os.environ['GREETING'], sys.stdin.read())"
    write(
        stack,
        create=program,
        interpreter=["python3", "-c"],
        dir=str(tmp_path),
        environment={"GREETING": "good day"},
        stdin="a line\nand more",
    )
    stack.up()
    assert stack.outputs()["stdout"] == f"{tmp_path.resolve()} good day a line\nand more"


def test_input_that_is_not_read_does_no_harm(pulumi: Project) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="exec 0<&-; echo fine", stdin="x" * 1_000_000)
    stack.up()
    assert stack.outputs()["stdout"] == "fine"


def test_daemon_with_its_own_streams_outlives_the_command(pulumi: Project, tmp_path: Path) -> None:
    stack, pid_file = pulumi(PROGRAM), tmp_path / "pid"
    daemon = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' </dev/null >/dev/null 2>&1 &"
    write(stack, create=daemon)
    stack.up()
    pid = int(wait_for(pid_file))
    try:
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_secrets_stay_secret(pulumi: Project) -> None:
    stack = pulumi(PROGRAM)
    secret = {"stdin": "secret:hush-in", "environment": {"TOKEN": "secret:hush-env", "PLAIN": "seen"}}
    write(stack, create="cat >/dev/null; echo out", logging="none", **secret)
    created = stack.up()
    write(stack, create="cat >/dev/null; echo other", logging="none", **secret)
    preview = stack.preview("--diff")
    updated = stack.up("--diff")
    state = json.dumps(stack.export())
    for text in (created.output, preview.output, updated.output, state):
        assert "hush-" not in text
    resource = stack.resources()["it"]
    assert resource["outputs"]["environment"]["PLAIN"] == "seen"
    assert "ciphertext" in resource["outputs"]["environment"]["TOKEN"]
    assert "ciphertext" in resource["outputs"]["stdin"]
    assert resource["outputs"]["stdout"] == "other"  # outputs are secret only when the program says so


def test_outputs_are_secret_when_the_program_says_so(pulumi: Project) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="echo hush-out", logging="none", options={"additional_secret_outputs": ["stdout"]})
    run = stack.up()
    # The text of the command itself is no secret: look at the output alone.
    assert "ciphertext" in stack.resources()["it"]["outputs"]["stdout"]
    assert "stdout: [secret]" in run.output


def test_outputs_are_unknown_in_a_preview(pulumi: Project) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="echo out")
    preview = stack.preview()
    assert "stdout: [unknown]" in preview.output
    assert preview.id("it").startswith("it")  # known, and another one in each run
    stack.up()
    write(stack, create="echo other")
    assert stack.preview().outputs("it")["stdout"] == UNKNOWN  # the screen shows no line for it


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"dir": "/no/such/folder"}, "chdir /no/such/folder: no such file or directory"),
        ({"interpreter": ["/no/such/program"]}, "fork/exec /no/such/program: no such file or directory"),
    ],
)
def test_what_can_not_start_is_named(pulumi: Project, inputs: dict[str, object], reason: str) -> None:
    stack = pulumi(PROGRAM)
    write(stack, create="true", **inputs)
    failed = stack.up(code=None)
    assert failed.code != 0
    assert f'{reason}: running "true"' in failed.output
    assert stack.resources() == {}


def test_command_that_takes_too_long_is_ended(pulumi: Project, tmp_path: Path) -> None:
    stack, pid_file = pulumi(PROGRAM), tmp_path / "pid"
    options = {"custom_timeouts": {"create": "2s"}}
    write(stack, create=f"echo $$ > {pid_file}; exec sleep 600", options=options)
    assert stack.up(code=None).code != 0
    wait_until_gone(int(wait_for(pid_file)))
    assert stack.resources() == {}


def test_interrupted_up_ends_the_command_and_the_next_one_converges(pulumi: Project, tmp_path: Path) -> None:
    stack, pid_file, door = pulumi(PROGRAM), tmp_path / "pid", tmp_path / "door"
    write(stack, create=f"test -e {door} && exit; echo $$ > {pid_file}; exec sleep 600")
    with stack.running("up", "--yes", "--skip-preview") as process:
        pid = int(wait_for(pid_file))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode != 0
    wait_until_gone(pid)
    assert stack.resources() == {}
    door.touch()
    assert stack.up().ops() == {"it": "create"}


def test_what_an_interrupted_command_has_started_runs_on(pulumi: Project, tmp_path: Path) -> None:
    stack, pid_file = pulumi(PROGRAM), tmp_path / "pid"
    write(stack, create=f"sh -c 'echo $$ > {pid_file}; exec sleep 600 > {os.devnull} 2>&1' & wait")
    with stack.running("up", "--yes", "--skip-preview") as process:
        pid = int(wait_for(pid_file))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    os.kill(pid, signal.SIGKILL)  # raises ProcessLookupError were it gone


def test_killed_engine_ends_the_command(pulumi: Project, tmp_path: Path) -> None:
    stand_in_only()
    stack, pid_file = pulumi(PROGRAM), tmp_path / "pid"
    write(stack, create=f"echo $$ > {pid_file}; exec sleep 600")
    with stack.running("up", "--yes", "--skip-preview") as process:
        pid = int(wait_for(pid_file))
        process.kill()
        wait_until_gone(pid)
    stack.run("cancel", "--yes")  # the lock that the killed engine left
    assert stack.resources() == {}
