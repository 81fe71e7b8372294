"""Provider plugins into PULUMI_HOME: the real one, else this project's stand-in.

Looked for in this order: a real plugin on PATH, where Pulumi itself looks first, in PULUMI_HOME, or in ~/.pulumi; a
download by `pulumi plugin install`; the stand-in, which says on the screen that it is one. Which one it is, the program
itself tells: whoever puts a real one over a stand-in's program has a real one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from importlib import metadata
from pathlib import Path

from toolchain import download, pulumi_cli
from toolchain.places import PLUGINS, ROOT, environment
from toolchain.steps import SetupError, digest, not_in_use, run, say, step

SOURCES = Path(__file__).resolve().parent
STAND_INS = ("command",)
"""Plugins whose stand-in is good enough to work with. Those for clouds are for tests: they know no real cloud."""
STAND_IN = "# Stand-in for the plugin "
"""How the second line of a stand-in's program begins."""
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
    if program_of(name).exists() and not is_stand_in(name):
        return
    installed = Path.home() / ".pulumi" / "plugins" / folder.name
    if (installed / program).exists() and not _is_stand_in(installed / program):
        _remove(folder)
        PLUGINS.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(installed)
        return
    if stand_in and is_stand_in(name):
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


def program_of(name: str) -> Path:
    """The program that Pulumi starts, if it is there: one on PATH goes first."""
    program = f"pulumi-resource-{name}"
    return Path(shutil.which(program) or folder_of(name) / program)


def is_stand_in(name: str) -> bool:
    """Whether the plugin that Pulumi starts is this project's."""
    return _is_stand_in(program_of(name))


def _is_stand_in(program: Path) -> bool:
    return any(line.startswith(STAND_IN) for line in _first_lines(program))


def _first_lines(program: Path) -> list[str]:
    """The first three lines of a program: of a stand-in `#!`, what it is and of which sources, and its Python."""
    try:
        with program.open("rb") as file:
            return file.read(1024).decode("utf-8", "replace").splitlines()[:3]
    except OSError:
        return []


def _stand_in(name: str, version: str, folder: Path) -> None:
    """Copy the stand-in's code into the plugin's folder, where it needs no checkout to run."""
    sources = digest(*(SOURCES / part for part in (*SHARED, "install.py")), SOURCES / name, version)
    mark = f"{STAND_IN}pulumi-resource-{name} {version}, {sources}"
    match _first_lines(folder / f"pulumi-resource-{name}"):
        case [_, found, python] if found == mark and os.access(shlex.split(python)[0].removeprefix("python="), os.X_OK):
            return
    if folder.exists():
        not_in_use(f"the stand-in for the {name} plugin has to be made anew")
    fresh = folder.with_name(f".{folder.name}.part")
    _remove(fresh)
    package = fresh / "toolchain" / "plugins"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCES / name, package / name, ignore=ignore)
    for part in SHARED:
        shutil.copyfile(SOURCES / part, package / part)
    shutil.copyfile(ROOT / "toolchain" / "__init__.py", package.parent / "__init__.py")
    # Which Python it was set up with, else the one of the environment that runs `pulumi`. Its code is not on
    # PYTHONPATH, which the commands that it runs would get.
    script = fresh / f"pulumi-resource-{name}"
    script.write_text(
        "#!/bin/sh\n"
        f"{mark}\n"
        f"python={shlex.quote(sys.executable)}\n"
        '[ -x "$python" ] || python=python3\n'
        "# No looking for garbage: it takes a fifth of the time in which the SDK is read.\n"
        "run='import gc, runpy, sys; gc.disable(); sys.path.insert(0, sys.argv.pop(1))'\n"
        f"run=\"$run; runpy.run_module('toolchain.plugins.{name}', run_name='__main__', alter_sys=True)\"\n"
        'exec "$python" -P -c "$run" "$(dirname "$0")" "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    (fresh / "STAND-IN").touch()  # by which older checkouts that share this folder know it
    _remove(folder)
    fresh.rename(folder)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
