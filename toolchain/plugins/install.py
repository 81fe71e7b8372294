"""Provider plugins into PULUMI_HOME: the real one, else this project's stand-in.

Looked for in this order: what is in PULUMI_HOME already; a real plugin in ~/.pulumi; a download by
`pulumi plugin install`; the stand-in, which says on the screen that it is one and carries a file
named STAND-IN.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from importlib import metadata
from pathlib import Path

from toolchain import download, pulumi_cli
from toolchain.places import PLUGINS, ROOT, environment
from toolchain.steps import SetupError, digest, run, say, step

SOURCES = Path(__file__).resolve().parent
STAND_INS = ("command",)
"""Plugins whose stand-in is good enough to work with. Those for clouds are for tests: they know no real cloud."""
MARK = "STAND-IN"
SHARED = ("__init__.py", "base.py", "bridge.py", "objects.py")


def ensure(name: str, *, for_tests: bool = False) -> None:
    """Make sure that the plugin of the installed SDK `pulumi-NAME` is there, real or stand-in.

    Raises SetupError when the real one can't be had and there is no stand-in for it. `for_tests` takes the stand-ins
    for clouds too.
    """
    stand_in = for_tests or name in STAND_INS
    version = metadata.version(f"pulumi-{name}")
    folder = folder_of(name)
    program = f"pulumi-resource-{name}"
    if (folder / program).exists() and not (folder / MARK).exists():
        return
    installed = Path.home() / ".pulumi" / "plugins" / folder.name
    if (installed / program).exists() and installed != folder:
        _remove(folder)
        PLUGINS.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(installed)
        return
    if stand_in and (folder / MARK).exists():
        _stand_in(name, version, folder)
        return
    if download.checksums(pulumi_cli.VERSION):
        with step(f"the {name} plugin {version}"):
            try:
                run(
                    ["pulumi", "plugin", "install", "resource", name, version],
                    log=f"plugin-{name}",
                    failure=f"the {name} plugin {version} can't be installed",
                    env=environment(""),
                    timeout=600,
                )
                return
            except SetupError as error:
                if not stand_in:
                    raise
                say(str(error))
    elif not stand_in:
        raise SetupError(
            f"the {name} plugin {version} can't be downloaded: this computer is offline",
            f"install it yourself: pulumi plugin install resource {name} {version}",
        )
    say(f"STAND-IN: the {name} plugin {version} can't be downloaded; this project's own takes its place")
    say("  `make clean` and set-up again try the download again")
    _stand_in(name, version, folder)


def folder_of(name: str) -> Path:
    """Where the plugin of the SDK's version lies once it is installed."""
    return PLUGINS / f"resource-{name}-v{metadata.version(f'pulumi-{name}')}"


def is_stand_in(name: str) -> bool:
    """Whether the installed plugin is this project's."""
    return (folder_of(name) / MARK).exists()


def _stand_in(name: str, version: str, folder: Path) -> None:
    """Copy the stand-in's code into the plugin's folder, where it needs no checkout to run."""
    wanted = digest(*(SOURCES / part for part in (*SHARED, "install.py")), SOURCES / name, version)
    mark = folder / MARK
    python = Path(sys.executable)
    if mark.is_file() and mark.read_text().splitlines()[:1] == [wanted]:
        recorded = Path(mark.read_text().splitlines()[1])
        if os.access(recorded, os.X_OK):
            return
    fresh = folder.with_name(f".{folder.name}.part")
    _remove(fresh)
    package = fresh / "toolchain" / "plugins"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCES / name, package / name, ignore=ignore)
    for part in SHARED:
        shutil.copyfile(SOURCES / part, package / part)
    shutil.copyfile(ROOT / "toolchain" / "__init__.py", package.parent / "__init__.py")
    # Which Python it was set up with, else the one of the environment that runs `pulumi`.
    script = fresh / f"pulumi-resource-{name}"
    script.write_text(
        "#!/bin/sh\n"
        f"# Stand-in for the plugin pulumi-resource-{name} {version}.\n"
        f"python={python}\n"
        '[ -x "$python" ] || python=python3\n'
        "# No looking for garbage: it takes a fifth of the time in which the SDK is read.\n"
        "run='import gc, runpy; gc.disable()'\n"
        f"run=\"$run; runpy.run_module('toolchain.plugins.{name}', run_name='__main__', alter_sys=True)\"\n"
        'PYTHONPATH=$(dirname "$0") exec "$python" -P -c "$run" "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    (fresh / MARK).write_text(f"{wanted}\n{python}\n")
    _remove(folder)
    fresh.rename(folder)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
