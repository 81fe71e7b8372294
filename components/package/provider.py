"""The plugin that holds the package's components."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.errors import InputPropertiesError
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError
from pulumi.provider.server import main as serve
from pulumi.runtime.rpc import register_resource_module

from components.package.fleet import Fleet
from components.package.halves import IgnitionObject, Reprovision
from components.package.inputs import Common, Config, OnPlatform
from components.package.machine import Machine
from components.package.shared import SHARED, AwsShared, DigitalOceanShared, References
from components.sdk import mute_sdk, share_channels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pulumi.provider.provider import ConstructResult

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
NAME = "flatcar"
COMPONENTS = [Machine, Fleet, AwsShared, DigitalOceanShared, IgnitionObject, Reprovision]


class FlatcarProvider(ComponentProvider):
    """Describes inherited properties too, and tells what is wrong with a config as a report.

    The SDK (3.272) leaves out the descriptions of a base class, and puts a traceback of its own below an error.
    """

    def __init__(self, version: str) -> None:
        super().__init__(list(COMPONENTS), NAME, version=version)
        schema = json.loads(self.schema or "")
        for definition in self._component_defs.values():
            properties = schema["resources"][f"{NAME}:index:{definition.name}"]["inputProperties"]
            for key in SHARED.keys() & properties.keys():  # the SDK takes a resource of another package alone
                properties[key]["$ref"] = f"#/resources/{NAME}:index:{SHARED[key].__name__}"
            self._describe(properties, definition.inputs_mapping)
        for kind in self._type_defs.values():
            self._describe(schema["types"][f"{NAME}:index:{kind.name}"]["properties"], kind.properties_mapping)
        # else the SDK for Go names, in a map of machines, arguments that it doesn't make (pkg/v3/codegen/go, 3.259)
        schema["language"]["go"]["generateExtraInputTypes"] = True
        self.schema = json.dumps(_cleaned(schema))

    def _describe(self, properties: dict[str, Any], names: Mapping[str, str]) -> None:
        """Describe what is inherited from a machine's inputs; `names` are theirs in Python."""
        for key, name in names.items():
            for base in (OnPlatform, Config, Common):
                text = self.analyzer.get_docstring(base, name)
                if text and "description" not in properties[key]:
                    properties[key]["description"] = text

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        before = asyncio.all_tasks()
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as error:
            for task in asyncio.all_tasks() - before:  # what it has declared until then is not registered
                task.cancel()
            if isinstance(error.inner, pulumi.RunError):
                raise InputPropertiesError(str(error.inner), []) from None
            raise


def main() -> None:
    """Serve the components to the engine whose address is the program's argument."""
    gc.disable()  # as in the project's own program: what a run makes lives until its end, and so does this process
    mute_sdk()
    share_channels()
    register_resource_module(NAME, "index", References())
    serve(FlatcarProvider(_version()), sys.argv[1:])


def _cleaned(schema: Any) -> Any:
    """The schema with docstrings as texts without their indentation."""
    if isinstance(schema, dict):
        return {
            key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _cleaned(value)
            for key, value in schema.items()
        }
    return [_cleaned(value) for value in schema] if isinstance(schema, list) else schema


def _version() -> str:
    """Of the checkout that Pulumi has made for the plugin."""
    version: str = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return version
