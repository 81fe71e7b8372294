"""What the stand-ins for cloud providers share: the ways of Pulumi's Terraform bridge, and names from the SDK.

The real plugins are Terraform providers behind `pulumi-terraform-bridge`. What is followed of it here: automatic
names, sets without order, outputs that stay known over an update unless the provider says otherwise, refreshes that
leave inputs alone which the program doesn't set, imports, and delete-before-create for a name that the program gave
itself. Names of properties, nested ones too, are checked against the installed SDK. What replaces a resource stands at
each type.

A stand-in only ever talks to an API on this computer: it is for tests, and refuses any other address.
"""

from __future__ import annotations

import inspect
import ipaddress
import os
import secrets
import tempfile
import typing
import urllib.parse
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import grpc
import pulumi
from google.protobuf import struct_pb2
from pulumi import _types as sdk_types  # where the SDK keeps each property's Pulumi name
from pulumi.runtime.proto import engine_pb2, provider_pb2
from pulumi.runtime.proto.provider_pb2 import CheckFailure

from toolchain.plugins.base import (
    ASSET,
    DEFAULTS,
    SIGNATURE,
    UNKNOWN,
    Properties,
    Provider,
    ProviderError,
    ResourceType,
    Value,
    decode,
    encode,
    operation,
)

Function = Callable[[Properties], Properties]


class Bridged(ResourceType):
    """A resource type of the SDK. Names of its inputs and outputs are the SDK's."""

    sdk: type[pulumi.CustomResource]
    automatic_name = ""
    """The input that gets a name with a random end when the program gives none; "" for none."""
    sets: frozenset[str] = frozenset()
    """Inputs whose order doesn't matter."""
    filled_in: frozenset[str] = frozenset()
    """Inputs that the cloud fills in when the program doesn't set them."""
    not_told: frozenset[str] = frozenset()
    """Inputs that the cloud never tells again: a refresh leaves them as they are."""

    def __init__(self) -> None:
        names = sdk_types.resource_py_to_pulumi_names(self.sdk)
        self._types = sdk_types.resource_types(self.sdk)
        internal = inspect.signature(getattr(self.sdk, "_internal_init"))  # noqa: B009  # the generated constructor; private by name alone
        self.inputs = frozenset(names.get(name, name) for name in internal.parameters if name in names)
        self.outputs = frozenset(names.values()) - self.inputs

    @property
    def token(self) -> str:
        """The type's token, such as `aws:ec2/instance:Instance`."""
        return str(self.sdk.pulumi_type)  # type: ignore[attr-defined]

    def check(self, inputs: Properties) -> Sequence[CheckFailure]:
        """Names that the SDK's schema doesn't have."""
        failures = []
        for name, value in inputs.items():
            if name not in self.inputs:
                failures.append(CheckFailure(property=name, reason=f"{self.token} has no input of this name"))
                continue
            failures += [
                CheckFailure(property=path, reason=f"{self.token} has no property of this name")
                for path in _unknown_names(value, self._types.get(name), name)
            ]
        return failures

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        """Outputs that a preview can't know when these inputs change."""
        return frozenset()

    def compared(self, old: Properties, new: Properties) -> tuple[Properties, Properties]:
        ignored = {key for key in self.filled_in if key not in new}
        return self._ordered(old, ignored), self._ordered(new, ignored)

    def _ordered(self, values: Properties, ignored: set[str]) -> Properties:
        return {
            key: sorted(value, key=str) if key in self.sets and isinstance(value, list) else value
            for key, value in values.items()
            if key not in ignored
        }

    def previewed_update(self, state: Properties, before: Properties, inputs: Properties) -> Properties:
        changed = frozenset(key for key in {*before, *inputs} if _known(before.get(key)) != _known(inputs.get(key)))
        kept = {key: value for key, value in state.items() if key in self.outputs or key in self.filled_in}
        return {**kept, **inputs, **dict.fromkeys(self.recomputed(changed), UNKNOWN)}

    def inputs_read(self, state: Properties, before: Properties) -> Properties:
        known = before or self.inputs  # an import takes all inputs
        inputs = {key: before.get(key) if key in self.not_told else state.get(key, before.get(key)) for key in known}
        return {key: value for key, value in inputs.items() if value is not None}

    def update(self, call: Any, id_: str, state: Properties, inputs: Properties) -> Properties:
        raise ProviderError(f"{self.token} has no update in this stand-in")

    @abstractmethod
    def read(self, id_: str, state: Properties) -> Properties | None:
        """The resource's present state from the cloud, None when it is gone; `state` is empty at an import."""


class BridgeProvider(Provider):
    """The service of a stand-in for a bridged provider. `functions` are the invokes that it knows."""

    def __init__(
        self,
        name: str,
        version: str,
        types: Sequence[Bridged],
        functions: Mapping[str, Function],
        engine: str | None,
        endpoint: str,
    ) -> None:
        super().__init__(name, version, {kind.token: kind for kind in types}, engine)
        self.functions = functions
        self.endpoint = endpoint
        self.settings: Properties = {}

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        self.settings.update(decode(request.args))
        if self.engine is not None:
            text = f"STAND-IN: the {self.name} plugin is this project's own, for tests; its API is at {self.endpoint}"
            self.engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text))
        return super().Configure(request, context)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        answer = super().Check(request, context)
        kind = self.bridged(request.urn, context)
        if kind.automatic_name and kind.automatic_name not in decode(request.news):
            named = struct_pb2.Struct()
            named.CopyFrom(answer.inputs)
            before = decode(request.olds).get(kind.automatic_name)
            name = before or f"{request.urn.rsplit('::', 1)[-1]}-{secrets.token_hex(4)[:7]}"
            named[kind.automatic_name] = name
            named[DEFAULTS] = [kind.automatic_name]
            answer.inputs.CopyFrom(named)
        for value in decode(request.news).values():
            if _is_asset(value):
                asset_file(value)
        return answer

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        answer = super().Diff(request, context)
        # As the bridge does it: two things of one name can't be there at once.
        old, new = decode(request.old_inputs).get("name"), decode(request.news).get("name")
        own_name = new is not None and "name" not in _defaults(request.news)
        answer.deleteBeforeReplace = bool(answer.replaces) and own_name and old == new
        return answer

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        if request.tok not in self.functions:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{request.tok}: not in the stand-in for {self.name}")
        with operation(context):
            answer = self.functions[request.tok](decode(request.args))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode(answer))  # `return` is a word of Python's own
        return response

    def bridged(self, urn: str, context: grpc.ServicerContext) -> Bridged:
        """The type of a resource, by its URN."""
        kind = self._type(urn, context)
        assert isinstance(kind, Bridged)  # noqa: S101  # `types` holds nothing else
        return kind


def asset_file(asset: Properties) -> Path:
    """Where an asset lies for the provider: in a copy in the temporary folder, which stays there.

    As `translateToFile` does it (pulumi-terraform-bridge 3.135, `pkg/tfbridge/info/assets.go`).
    """
    copy = Path(os.environ.get("TMPDIR") or "/tmp", f"pulumi-asset-{asset['hash']}")  # noqa: S108 - Go's os.TempDir
    if "path" in asset and not copy.is_file():
        content = Path(str(asset["path"])).expanduser().read_bytes()
        with tempfile.NamedTemporaryFile(prefix="pulumi-temp-asset", dir=copy.parent, delete=False) as made:
            made.write(content)
        Path(made.name).replace(copy)
    return copy


def on_this_computer(variable: str, default: str = "") -> str:
    """The API's address from the environment. Raises SystemExit for one that is not on this computer."""
    address = os.environ.get(variable) or default
    host = urllib.parse.urlsplit(address).hostname or ""
    proxy = urllib.parse.urlsplit(os.environ.get("HTTP_PROXY", "")).hostname or ""
    if not (_is_loopback(host) or (address.startswith("http://") and _is_loopback(proxy))):
        raise SystemExit(
            f"this plugin is a stand-in for tests, for an API on this computer alone; {variable} is {address!r}. "
            "For the real cloud install the real plugin with `pulumi plugin install`."
        )
    return address


def whole(value: Value) -> int:
    """A number as the protocol carries it (a float, or a text) as the whole number that it is."""
    return int(float(value)) if isinstance(value, float | str | int) else 0


def listed(value: object) -> list[Any]:
    """A list, [] for anything else."""
    return value if isinstance(value, list) else []


def _known(value: Value) -> Value:
    """What tells a value from another: of an asset the hash, as the engine leaves out where an old one lay."""
    return value["hash"] if _is_asset(value) else value


def _is_asset(value: Value) -> TypeGuard[Properties]:
    return isinstance(value, dict) and value.get(SIGNATURE) == ASSET


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _defaults(inputs: struct_pb2.Struct) -> list[str]:
    names = inputs[DEFAULTS] if DEFAULTS in inputs else None  # noqa: SIM401  # a Struct has no get()
    return [str(name) for name in names] if isinstance(names, struct_pb2.ListValue) else []


def _unknown_names(value: Value, type_: Any, path: str) -> Iterator[str]:
    type_ = _inner_type(type_)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_names(item, type_, f"{path}[{index}]")
    elif isinstance(value, dict) and type_ is not None and sdk_types.is_output_type(type_):
        known = sdk_types.output_type_types(type_)
        for key, item in value.items():
            if key not in known:
                yield f"{path}.{key}"
            else:
                yield from _unknown_names(item, known[key], f"{path}.{key}")


def _inner_type(type_: Any) -> Any:
    """The type inside of Optional and Sequence."""
    while typing.get_origin(type_) is not None:
        inner = [item for item in typing.get_args(type_) if item is not type(None)]
        if len(inner) != 1:
            return None  # a mapping: its keys are the user's
        type_ = inner[0]
    return type_
