"""Row 6: from the start of Python to the first resource of `__main__.py`, and which clouds' SDKs that imports."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from bench import configs
from bench.measure import BenchError, Side, in_turn, process, ratio, raw
from bench.programs import python
from bench.table import Line, Row, times
from toolchain.places import ROOT

SDKS = {"pulumi_aws": "aws", "pulumi_digitalocean": "digitalocean"}

LOGIN = ["203.0.113.7/32"]

SETTINGS: dict[str, dict[str, object]] = {
    "qemu": {"flatcar:image": "README.md"},
    "digitalocean": {
        "flatcar:digitalocean": {"region": "fra1", "image": {"id": "1"}, "ssh_from": LOGIN},
        "flatcar:store": {"kind": "spaces", "bucket": "bench-configs", "region": "fra1"},
        "digitalocean:token": "no cloud is asked for anything",
    },
    "aws": {
        "flatcar:aws": {"ami": {"id": "ami-0123456789abcdef0"}, "ssh_from": LOGIN},
        "flatcar:store": {"kind": "s3", "bucket": "bench-configs"},
        "aws:region": "eu-central-1",
    },
}

UNTIL_FIRST = """\
import json, os, runpy, sys
import pulumi
from pulumi.runtime import config

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        if args.typ.startswith(("pulumi:pulumi:", "pulumi:providers:")):
            return args.name, {}
        loaded = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
        sys.stdout.write("first resource: " + json.dumps(loaded) + chr(10))
        sys.stdout.flush()
        os._exit(0)
    def call(self, args):  # getRegion, which a program on DigitalOcean asks before anything else
        return {"available": True, "sizes": ["s-1vcpu-1gb"]}

pulumi.runtime.set_mocks(Mocks(), project="flatcar", stack="bench")
config.set_all_config(json.loads(sys.argv[1]))
sys.path.insert(0, ".")

@pulumi.runtime.test
def program():
    runpy.run_path(sys.argv[3], run_name="__main__")

program()
raise SystemExit("no resource was made")
"""

BARE = """\
import pulumi
from pulumi_command import local
local.Command("first", create=":")
"""


def measure(rounds: int) -> Row:
    """Each platform, against a program whose first resource is its first line."""
    row = Row(title="start-up to the first resource")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        sides: dict[str, Side] = {"bare": partial(process, _argv("qemu", bare), cwd=ROOT)}
        for platform in SETTINGS:
            sides[platform] = partial(process, _argv(platform, Path("__main__.py")), cwd=ROOT)
        samples = in_turn(sides, rounds)
    row.raw["start-up"] = raw(samples)
    for platform in SETTINGS:
        found = imported(platform)
        own = {sdk for sdk, name in SDKS.items() if name == platform}
        row.lines.append(
            Line(
                what=f"{platform}; imports {', '.join(found) or 'no cloud SDK'}",
                ours=times(samples[platform]),
                against="import pulumi, first resource",
                theirs=times(samples["bare"]),
                ratio=ratio(samples[platform], samples["bare"]),
                goal="its own SDK alone",
                met=set(found) <= own,
            )
        )
    return row


def _argv(platform: str, program: Path) -> list[str]:
    settings = {
        "flatcar:platform": platform,
        "flatcar:ssh": {"public_key": configs.KEY},
        "flatcar:machines": {"web": {"config": "cl/machine-web.yaml"}},
        **SETTINGS[platform],
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return python("-c", UNTIL_FIRST, json.dumps(texts), json.dumps(list(SDKS)), str(program))


def imported(platform: str) -> list[str]:
    """The SDKS that the real program has imported at its first resource. Raises BenchError when it makes none."""
    argv = _argv(platform, Path("__main__.py"))
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("first resource: "):
            names: list[str] = json.loads(line.removeprefix("first resource: "))
            return names
    raise BenchError(f"the program on {platform} made no resource\n{done.stdout}{done.stderr}"[-3000:])
