"""`command:local:Command`: a command on this computer as a resource.

Source of the behaviour: pulumi-command 1.2.1, `provider/pkg/provider/local` (`commandController.go`,
`commandOutputs.go`, `logging.go`), and the built plugin itself in the same runs: the first process of a cancelled or
timed-out command gets SIGKILL, whoever else holds its output open is waited for, a logged line of 64 KiB is waited for
without end, and output that is no UTF-8 fails the command at its end. One thing differs, on purpose: `assetPaths` and
`archivePaths` are refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import IO

from pulumi.runtime.proto.provider_pb2 import CheckFailure

from toolchain.plugins.base import (
    Call,
    Properties,
    ProviderError,
    ResourceType,
    Value,
    is_unknown,
    new_id,
)

LOGGED_STREAMS = {
    "stdout": {"stdout"},
    "stderr": {"stderr"},
    "stdoutAndStderr": {"stdout", "stderr"},
    "none": set[str](),
}
DEFAULT_INTERPRETER = ["/bin/sh", "-c"]
LONGEST_LOGGED = 65_535
"""Bytes of a line that is logged: Go's `bufio.Scanner` ends at a longer one, and nobody reads on."""
NOT_UTF_8 = "grpc: error while marshaling: string field contains invalid UTF-8"


class Command(ResourceType):
    """Runs `create`, `update` (or `create` again) and `delete` by an interpreter, /bin/sh -c."""

    inputs = frozenset(
        {
            "create", "update", "delete", "triggers", "stdin", "logging", "interpreter", "dir",
            "environment", "addPreviousOutputInEnv", "assetPaths", "archivePaths",
        }
    )  # fmt: skip
    outputs = frozenset({"stdout", "stderr"})
    # `triggers` replace by the SDK's own option replace_on_changes

    def check(self, inputs: Properties) -> Sequence[CheckFailure]:
        """Types and closed sets of values, and what this stand-in can't do."""
        return [
            CheckFailure(property=name, reason=reason)
            for name, value in inputs.items()
            if (reason := _wrong(name, value)) is not None
        ]

    def previewed_id(self, name: str) -> str:
        """A new one, as if it were known."""
        return new_id(name)

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Run `create`, if there is one."""
        return new_id(call.name), _run(call, inputs.get("create"), inputs, {})

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        """Run `update`, or `create` where there is none."""
        return _run(call, inputs.get("update", inputs.get("create")), inputs, state)

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        """Run `delete`, if there is one, as the state has it."""
        _run(call, state.get("delete"), state, state)


def _wrong(name: str, value: Value) -> str | None:
    if is_unknown(value):
        return None
    match name:
        case "create" | "update" | "delete" | "stdin" | "dir" if not isinstance(value, str):
            wanted = "string"
        case "logging" if not isinstance(value, str):  # of another text, nothing is logged
            wanted = "local.Logging"
        case "addPreviousOutputInEnv" if not isinstance(value, bool):
            wanted = "bool"
        case "triggers" if not isinstance(value, list):
            wanted = "[]interface {}"
        case "interpreter" if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            wanted = "[]string"
        case "environment" if not (isinstance(value, dict) and all(isinstance(item, str) for item in value.values())):
            wanted = "map[string]string"
        case "assetPaths" | "archivePaths":
            return "the stand-in for the command plugin has no assets; install the real plugin"
        case _:
            return None
    got = {bool: "bool", float: "float64", str: "string", list: "[]interface {}"}.get(
        type(value), "map[string]interface {}"
    )
    return f"Field '{name}' on 'local.CommandInputs' must be a '{wanted}'; got '{got}' instead"


def _run(call: Call, command: Value, inputs: Properties, previous: Properties) -> Properties:
    """Run a command to its end; its outputs, without the last newline.

    Raises ProviderError with the command and what it printed, when it can't start, fails, or is killed since the
    run was cancelled or its time is up.
    """
    if not isinstance(command, str):
        return {name: previous.get(name, "") for name in ("stdout", "stderr")}
    running = f"running {json.dumps(command, ensure_ascii=False)}:\n"
    if call.cancelled.is_set():
        raise ProviderError(f"context canceled: {running}")
    streams = _Streams(call, LOGGED_STREAMS.get(str(inputs.get("logging", "stdoutAndStderr")), set()))
    argv = [*(_strings(inputs.get("interpreter")) or DEFAULT_INTERPRETER), command]
    try:
        process = subprocess.Popen(
            argv,
            cwd=str(inputs["dir"]) if "dir" in inputs else None,
            env=_environment(inputs, previous),
            stdin=subprocess.PIPE if inputs.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        is_folder = error.errno == errno.ENOENT and error.filename == inputs.get("dir")
        what = f"chdir {error.filename}" if is_folder else f"fork/exec {argv[0]}"
        raise ProviderError(f"{what}: {(error.strerror or '').lower()}: {running}") from error
    except ValueError as error:
        raise ProviderError(f"exec: environment variable contains NUL: {running}") from error
    threading.Thread(target=_feed, args=(process, str(inputs.get("stdin", ""))), daemon=True).start()
    readers = streams.start(process)
    verdict = _wait(call, process, readers)
    if verdict:
        raise ProviderError(f"{verdict}: {running}{streams.text('both', errors='replace')}")
    try:
        return {name: streams.text(name).removesuffix("\n") for name in ("stdout", "stderr")}
    except UnicodeDecodeError as error:
        raise ProviderError(NOT_UTF_8) from error


def _strings(value: Value) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _environment(inputs: Properties, previous: Properties) -> dict[str, str]:
    environment = dict(os.environ)
    wanted = inputs.get("environment")
    if isinstance(wanted, dict):
        environment.update({name: str(value) for name, value in wanted.items()})
    if inputs.get("addPreviousOutputInEnv", True):
        for name in ("stdout", "stderr"):
            if previous.get(name):
                environment[f"PULUMI_COMMAND_{name.upper()}"] = str(previous[name])
    return environment


def _feed(process: subprocess.Popen[bytes], text: str) -> None:
    if process.stdin is not None:
        # A command may end, or close its input, without having read it all.
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(text.encode())


def _wait(call: Call, process: subprocess.Popen[bytes], readers: Sequence[threading.Thread]) -> str | None:
    """Wait until the command has ended and its output is read; what went wrong, None for nothing.

    Like Go's `Cmd.Wait`, this waits for whoever still holds the command's output open: a daemon
    must redirect all its streams.
    """
    deadline = time.monotonic() + call.timeout if call.timeout else None
    killed = False
    while process.poll() is None or any(reader.is_alive() for reader in readers):
        if killed:
            time.sleep(0.05)
        elif call.cancelled.wait(0.05) or (deadline and time.monotonic() > deadline):
            process.kill()  # it alone, without a word before: what it has started runs on
            killed = True
    code = process.returncode
    if code < 0:
        return f"signal: {(signal.strsignal(-code) or '').lower()}"
    return f"exit status {code}" if code else None


class _Streams:
    """What a command prints: kept by stream and in order of arrival, shown line by line."""

    def __init__(self, call: Call, logged: set[str]) -> None:
        self.call = call
        self.logged = logged
        self.kept: dict[str, list[bytes]] = {"stdout": [], "stderr": [], "both": []}

    def start(self, process: subprocess.Popen[bytes]) -> list[threading.Thread]:
        """Read both streams, each in a thread of its own, until their end."""
        pairs = (("stdout", process.stdout), ("stderr", process.stderr))
        threads = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs if pair[1] is not None]
        for thread in threads:
            thread.start()
        return threads

    def text(self, name: str, errors: str = "strict") -> str:
        """All that was printed to `stdout`, `stderr` or `both`. Raises UnicodeDecodeError, unless `errors`."""
        return b"".join(self.kept[name]).decode(errors=errors)

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self.kept[name].append(line)
                self.kept["both"].append(line)
                if name in self.logged and len(line.rstrip(b"\n")) > LONGEST_LOGGED:
                    threading.Event().wait()
                if name in self.logged:
                    self.call.progress(line.decode(errors="replace").rstrip("\r\n"))
