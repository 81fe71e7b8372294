"""The commands that documents show: each is run as far as it can be here, or stands in a list with its reason.

What `make` and `pulumi` would change is not changed: `make -n` and `pulumi … --help` say whether there are such
targets, variables, commands and flags. That they do what they should is in the tests of each.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.places import ROOT

DOCUMENTS = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("[!.]*/**/README.md"))]
PROGRAMS = r"(?:make|python3? -m|pulumi|git|eval|source|export|aws|ssh|sudo)"
NOT_RUN = {
    "git clone … && cd …": "the address is the reader's",
    "ssh -F …/.machines/STACK/.ssh/web web": "tests/engine/test_machine.py: test_the_printed_ssh_command_works",
    "sudo mv /oem/config.ign.previous /oem/config.ign && sudo flatcar-reset --keep-machine-id --keep-paths … && "
    "sudo reboot": "for a host that somebody else has",
    "sudo cat /run/flatcar-pull/status.json /oem/.flatcar-history": "for a machine that pulls: tests/long/test_pull.py",
    "aws configure export-credentials": "AWS's own command line is not part of this project",
    "export FLATCAR_RELEASES=https://mirror.example/flatcar/{channel}": "tests/vm/test_image_release.py has a mirror",
    "export FLATCAR_IMAGE_KEY=key.asc": "tests/vm/test_image_release.py has a key",
    "git mv stacks/Pulumi.production.yaml stacks/Pulumi.fleet.yaml": "it is git's, of a file that the reader has",
    "python -m bench.recording": "it measures, and takes no arguments",
    "python -m bench.pull_fleet": "it measures, and takes no arguments",
}
OF_THE_SHELL = {"YES", "CI"}
"""Variables that `make`'s programs read from their environment."""


def commands(document: Path) -> list[str]:
    """What a document shows as a command: lines of its own, with or without a prompt, and words in a sentence."""
    found = []
    for line in document.read_text().splitlines():
        alone = re.match(rf"^    (?:\$ )?({PROGRAMS} .*)$", line)
        found += [re.split(r"\s{2,}#", alone[1])[0]] if alone else []
        found += re.findall(rf"`({PROGRAMS} [^`]+)`", line)
    return list(dict.fromkeys(command.strip() for command in found))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_can_be_run(document: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    if document.name == "CHANGELOG.md":
        pytest.skip("it tells of versions that are past")
    for command in commands(document):
        if command not in NOT_RUN:
            assert run(command, tmp_path_factory.getbasetemp()) == "", command


def test_the_list_of_those_that_are_not_run_has_no_others() -> None:
    shown = {command for document in DOCUMENTS for command in commands(document)}
    assert len(shown) > 70
    assert NOT_RUN.keys() - shown == set()
    for reason in NOT_RUN.values():
        for file, test in re.findall(r"(tests/\S+\.py)(?:: (\w+))?", reason):
            assert f"def {test}" in (ROOT / file).read_text(), reason


@functools.cache
def run(command: str, scratch: Path) -> str:
    """What is wrong with a command, "" for nothing."""
    if (inner := re.fullmatch(r'eval "\$\((.*)\)"(?:; (.*))?', command)) is not None:
        return run(inner[1], scratch) or (run(inner[2], scratch) if inner[2] else "")
    words = shlex.split(command)
    if words[0] == "make":
        return make(words[1:])
    if words[0] == "pulumi":
        return pulumi(words[1:])
    if words[0] == "source":
        return said(["bash", "--norc", "-euc", f"{command}; complete -p make"], ROOT)
    if words[:3] == ["python", "-m", "cl.transpiler"]:
        project = scratch / "transpiled"
        if not project.exists():
            project.mkdir()
            shutil.copytree(ROOT / "cl", project / "cl")
            (project / "old-clc.yaml").write_text("systemd:\n  units:\n    - name: a.service\n      enabled: true\n")
        return said(["bash", "-euc", f"{shlex.quote(sys.executable)} {command.removeprefix('python')}"], project)
    if words[:2] == ["python", "-m"]:
        help_of = [sys.executable, "-m", words[2], "--help"]
        flags = [word.strip("[]") for word in words[3:] if word.strip("[]").startswith("--") and word != "--"]
        return said(help_of, ROOT, needs=() if words[2] == "components.operate" else flags)
    return "nobody knows how to run it: add that, or put it into the list with its reason"


def make(words: list[str]) -> str:
    """Whether there are such targets and variables."""
    known = OF_THE_SHELL | set(
        re.findall(r"^(?:override )?(\w+) (?:\?|:)=", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    given = [word.partition("=")[0] for word in words if "=" in word]
    if unknown := [name for name in given if name not in known]:
        return f"no such variable: {unknown}"
    return said(["make", "--dry-run", *words], ROOT)


def pulumi(words: list[str]) -> str:
    """Whether Pulumi knows the command and its flags."""
    verbs = list[str]()
    for word in words:
        if not re.fullmatch(r"[a-z]+", word) or len(verbs) == 2:
            break
        verbs.append(word)
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    return said(["pulumi", *verbs, "--help"], ROOT, needs=flags)


def said(argv: list[str], folder: Path, needs: list[str] | tuple[str, ...] = ()) -> str:
    """What a program says that fails, or the words that it doesn't say."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        return f"exit {done.returncode}: {done.stdout}{done.stderr}"
    missing = [word for word in needs if not re.search(rf"(?<!\S){re.escape(word)}\b", done.stdout)]
    return f"it does not know {missing}" if missing else ""
