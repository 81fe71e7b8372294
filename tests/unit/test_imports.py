"""What is imported where: commands need nothing but Python (import-linter can't say "nothing else"), and a stack of one
cloud not the SDK of another.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback.first_resource import SDKS, SETTINGS, imported

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_FIRST = """
import sys
from components.settings import stack as settings
assert not {"pulumi_aws", "pulumi_digitalocean"} & set(sys.modules), "settings"
for module in sys.argv[1].split(","):
    __import__(module)
print(sorted({"pulumi_aws", "pulumi_digitalocean"} & set(sys.modules)))
"""
COMMANDS = sorted((ROOT / "components" / "commands").rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Full names of all modules that a text imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module == "components":
                yield from (f"components.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def is_allowed(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names or f"{module}.".startswith("components.commands.")


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_import_the_standard_library_and_each_other_alone(path: Path) -> None:
    assert [module for module in imports(path.read_text()) if not is_allowed(module)] == []


def test_there_are_commands() -> None:
    assert COMMANDS


def test_importing_components_costs_nothing() -> None:
    assert list(imports((ROOT / "components" / "__init__.py").read_text())) == []


@pytest.mark.parametrize("module", ["pulumi", "yaml", "components.settings.ssh", "components", "cl.transpiler"])
def test_other_modules_are_not_allowed(module: str) -> None:
    assert not is_allowed(module)


@pytest.mark.parametrize("platform", SETTINGS)
def test_the_program_imports_the_sdk_of_its_own_cloud_alone(platform: str) -> None:
    assert imported(platform) == [sdk for sdk, cloud in SDKS.items() if cloud == platform]


def test_a_local_stack_needs_no_sdk_and_each_cloud_has_one() -> None:
    assert set(SETTINGS) - set(SDKS.values()) == {"qemu"}


@pytest.mark.parametrize(
    ("modules", "wanted"),
    [
        ("components.platforms.qemu.machine,components.stores.local_folder", "[]"),
        ("components.platforms.digitalocean.machine,components.stores.spaces", "['pulumi_digitalocean']"),
        ("components.platforms.aws.machine,components.stores.s3", "['pulumi_aws']"),
    ],
)
def test_a_stack_imports_the_sdk_of_its_own_cloud_alone(modules: str, wanted: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS_FIRST, modules], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, wanted), done.stderr
