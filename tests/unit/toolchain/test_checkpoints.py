"""Which runs of `make up` skip the engine's checkpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from toolchain import checkpoints

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "command:local:Command"


def step(op: str, kind: str = COMMAND) -> dict[str, Any]:
    return {"op": op, "urn": f"urn:pulumi:dev::flatcar::flatcar:index:Machine${kind}::web"}


@pytest.mark.parametrize(
    ("steps", "safe"),
    [
        ([step("update"), step("same"), step("same", "aws:ec2/instance:Instance")], True),
        ([step("update", "aws:s3/bucketObjectv2:BucketObjectv2")], True),
        ([step("update", "digitalocean:index/spacesBucketObject:SpacesBucketObject")], True),
        ([{"op": "update", "urn": "urn:pulumi:dev::flatcar::flatcar:index:Machine::web"}], True),
        ([{"op": "update", "urn": "urn:pulumi:dev::flatcar::pulumi:pulumi:Stack::flatcar-dev"}, step("same")], True),
        ([step("same")], False),  # there is nothing to skip
        ([step("update") | {"newState": {"inputs": {"stdin": '{"path": "x", "written": "2026"}'}}}], False),  # no plan
        ([step("update") | {"newState": {"inputs": {"stdin": '{"path": "x"}'}}}], True),
        ([step("update"), step("create")], False),
        ([step("update"), step("delete")], False),
        ([step("update"), step("replace")], False),
        ([step("update"), step("create-replacement")], False),
        ([step("update"), step("import")], False),
        ([step("update"), step("update", "aws:ec2/instance:Instance")], False),
        ([step("update"), step("update", "digitalocean:index/droplet:Droplet")], False),
        ([], False),
    ],
)
def test_a_run_that_comes_out_the_same_when_it_is_done_twice_needs_none(steps: list[Any], *, safe: bool) -> None:
    assert checkpoints.may_skip(steps) is safe


PROVIDER = "urn:pulumi:dev::flatcar::pulumi:providers:pulumi::default"


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a stand-in for `pulumi` answers, by its first word; it notes what it was asked in `asked`."""
    answers: dict[str, Any] = {
        "whoami": {"url": "s3://states"},
        "stack": [{"name": "organization/flatcar/dev", "resourceCount": 400}, {"name": "other", "resourceCount": 9}],
        "preview": {"steps": [step("update"), step("update"), step("same")]},
        "plan": {"config": {}, "resourcePlans": {"urn::flatcar::command:local:Command::web": 1, PROVIDER: 2}},
        "asked": tmp_path / "asked",
    }
    program = tmp_path / "pulumi"
    program.write_text(
        f"""#!/bin/sh
        echo "$@" >>{tmp_path}/asked
        cat {tmp_path}/$1.json
        case "$3" in --save-plan=*) cp {tmp_path}/plan.json "${{3#*=}}" 2>/dev/null ;; esac
        :"""
    )
    program.chmod(0o755)

    def environment(_stack: str) -> dict[str, str]:
        for word, answer in answers.items():
            if word != "asked":
                (tmp_path / f"{word}.json").write_text(answer if isinstance(answer, str) else json.dumps(answer))
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", **answers.get("env", {})}

    monkeypatch.setattr(checkpoints, "environment", environment)
    monkeypatch.setattr(checkpoints, "MACHINES", tmp_path / "machines")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return answers


def test_it_is_said_aloud_and_asked_of_a_preview_with_the_same_arguments(
    pulumi: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "machines/dev/plan.json"
    assert checkpoints.skipped("me/flatcar/dev", ["--yes", "--target", "web"]) == (
        {"PULUMI_SKIP_CHECKPOINTS": "true"},
        [f"--plan={plan}"],
    )
    assert list(json.loads(plan.read_text())["resourcePlans"]) == ["urn::flatcar::command:local:Command::web"]
    said = capsys.readouterr()
    assert "not after each of its 2 updates" in said.out + said.err
    (preview,) = (line for line in pulumi["asked"].read_text().splitlines() if line.startswith("preview"))
    assert preview == (
        f"preview --json --save-plan={plan} --stack me/flatcar/dev --target web --non-interactive --color=never"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"whoami": {"url": "https://app.pulumi.com/me"}},  # keeps a journal
        {"whoami": "no JSON"},
        {"stack": [{"name": "dev", "resourceCount": 99}]},
        {"stack": [{"name": "other", "resourceCount": 400}]},
        {"preview": {"steps": [step("update"), step("create")]}},
        {"preview": "error"},
        {"plan": "no JSON"},
        {"env": {"PULUMI_SKIP_CHECKPOINTS": "false"}},  # who sets it has decided
    ],
)
def test_otherwise_nothing_is_skipped_or_said(
    pulumi: dict[str, Any], changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pulumi |= changes
    assert checkpoints.skipped("dev", []) == ({}, [])
    said = capsys.readouterr()
    assert said.out + said.err == ""
