"""The real program until its first resource, on each platform: how long it takes, which clouds' SDKs it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from toolchain import needs
from toolchain.places import ROOT

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bench"
"""Opens nothing: nobody has its other half."""

SDKS = {f"pulumi_{plugin}": platform for platform, plugin in needs.plugins().items()}

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


def argv(platform: str, program: Path) -> list[str]:
    """The command line that runs a program of a stack on `platform` until its first resource."""
    settings = {
        "flatcar:platform": platform,
        "flatcar:ssh": {"public_key": KEY},
        "flatcar:machines": {"web": {"config": "cl/machine-web.yaml"}},
        **SETTINGS[platform],
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return [sys.executable, "-c", UNTIL_FIRST, json.dumps(texts), json.dumps(list(SDKS)), str(program)]


def imported(platform: str) -> list[str]:
    """The SDKS that the real program has imported at its first resource. Raises RuntimeError when it makes none."""
    done = subprocess.run(argv(platform, Path("__main__.py")), cwd=ROOT, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("first resource: "):
            names: list[str] = json.loads(line.removeprefix("first resource: "))
            return names
    raise RuntimeError(f"the program on {platform} made no resource\n{done.stdout}{done.stderr}"[-3000:])
