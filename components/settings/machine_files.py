"""Machines that stand in files of their own, beside the stack's config.

The engine hands the whole config of a stack to the program in one environment variable, and Linux ends those at 128 KiB
(MAX_ARG_STRLEN, execve(2)): some hundred machines, beyond which `pulumi` fails with "argument list too long".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def with_files(config: Mapping[str, Any], root: Path, problems: list[str]) -> Mapping[str, Any]:
    """The config with the machines of the files that `machine_files` names among its `machines`.

    Paths are relative to `root`; a file holds what `flatcar:machines` would. What is wrong goes to `problems`, but for
    values of another shape, which are left to the getters.
    """
    names, machines = config.get("machine_files"), config.get("machines") or {}
    if not isinstance(names, list) or not isinstance(machines, dict):
        return config
    merged = dict(machines)
    for name in names:
        for machine, settings in _read(root, name, problems).items() if isinstance(name, str) else ():
            if machine in merged:
                problems.append(f"{name}: machine {machine!r} stands elsewhere, too")
            merged[machine] = settings
    return {**config, "machines": merged}


def _read(root: Path, name: str, problems: list[str]) -> dict[str, Any]:
    try:
        machines = yaml.load((root / name).read_text(encoding="utf-8"), yaml.CSafeLoader)  # a safe one
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"flatcar:machine_files: {name} can't be read: {error}")
        return {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        problems.append(f"{name}{place}: is not YAML: {getattr(error, 'problem', None) or error}")
        return {}
    if not isinstance(machines, dict) or not all(isinstance(machine, str) for machine in machines):
        problems.append(f"{name}: has to be a mapping of machines by name, as flatcar:machines is")
        return {}
    return machines
