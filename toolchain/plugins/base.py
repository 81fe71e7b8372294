"""What every stand-in provider plugin shares: the gRPC service, checks, diffs and previews.

A plugin is a `Provider` with one `ResourceType` for each resource it knows. The engine starts the
plugin with its own address as the only argument, reads the port that the plugin prints, and calls
the service `pulumirpc.ResourceProvider` (`pulumi/proto/provider.proto`). Semantics follow the
pulumi-go-provider library (`infer`), on which the real command plugin stands.

The plugin says that it does not accept secrets: the engine then sends plain values and marks every
output as secret whose input of the same name is one, which is what `infer` does by itself.

Not made of `pulumi.provider.experimental.Provider`, whose service (pulumi 3.272) keeps three things from a provider:
the inputs of the last run, which are what is compared (a droplet's state has the hash of its user data); the hash of a
file among the inputs, without which a new content is no change; and an error's text, to which it adds a traceback. To
give these back takes as many lines as it saves. It starts as quickly: 0.52 s to the first answered check, here 0.53 s.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)
from pulumi.runtime.proto.provider_pb2 import CheckFailure

SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 # the mark of a secret, no secret
ASSET = "c44067f5952c0a294b673a41bacd8c17"
SIGNATURE = "4dabf18193072939515e22adb298388d"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# The engine's marks for a value that is not known before `up`, one for each kind of value
# (`pulumi/sdk/go/common/resource/plugin/rpc.go`).
UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
DEFAULTS = "__defaults"
"""The input under which a bridged provider notes which inputs it gave a value itself."""
GRPC_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Value: TypeAlias = "bool | float | str | list[Value] | dict[str, Value] | None"
Properties: TypeAlias = "dict[str, Value]"


class ProviderError(Exception):
    """An operation failed; the text is what `pulumi up` prints after `error:`."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One running operation: whose it is, where its progress goes, and whether to stop it."""

    urn: str
    timeout: float
    """Seconds the operation may take; 0 means no limit (`custom_timeouts`)."""
    cancelled: threading.Event
    engine: engine_pb2_grpc.EngineStub | None

    @property
    def name(self) -> str:
        """The resource's name: what stands behind the last `::` of its URN."""
        return self.urn.rsplit("::", 1)[-1]

    def progress(self, line: str) -> None:
        """Show one line of progress at the resource (an ephemeral message, as `InfoStatus`)."""
        if self.engine is None:
            return
        try:
            self.engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=self.urn, ephemeral=True))
        except grpc.RpcError:  # an engine that is gone must not stop a running command
            self.engine = None


class ResourceType(ABC):
    """One type of resource of a stand-in: its inputs and what is done for it."""

    inputs: frozenset[str]
    """Names of all inputs; state keeps them beside the outputs."""
    outputs: frozenset[str]
    """Names of the outputs that are not inputs: unknown in a preview that changes something."""
    replace_on: frozenset[str] = frozenset()
    """Inputs whose change replaces the resource, or parts of one: `rootBlockDevice.encrypted`."""

    def schema(self) -> dict[str, object]:
        """The type in the plugin's schema, which programs in YAML are read by: names alone, of any type."""
        anything = {"$ref": "pulumi.json#/Any"}
        return {
            "description": "stand-in",
            "inputProperties": dict.fromkeys(sorted(self.inputs), anything),
            "properties": dict.fromkeys(sorted(self.inputs | self.outputs), anything),
        }

    @abstractmethod
    def check(self, inputs: Properties) -> Sequence[CheckFailure]:
        """What is wrong with the inputs; a value may still be unknown (`is_unknown`)."""

    @abstractmethod
    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Make the resource: its id and outputs. Raises ProviderError; then nothing is in state."""

    @abstractmethod
    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        """Change the resource: its outputs. Raises ProviderError; then the old state stays."""

    @abstractmethod
    def delete(self, call: Call, id_: str, state: Properties) -> None:
        """Take the resource down. Raises ProviderError; then it stays in state."""

    def read(self, id_: str, state: Properties) -> Properties | None:
        """The resource's present state, None when it is gone. By default: what state says."""
        return state

    def compared(self, old: Properties, new: Properties) -> tuple[Properties, Properties]:
        """Old and new inputs as they are compared."""
        return old, new

    def previewed_id(self, name: str) -> str:
        """The id that a preview shows of a resource that is to be made; "" for one that is not known."""
        return ""

    def previewed(self, inputs: Properties) -> Properties:
        """State as a preview shows it: inputs as they are, outputs unknown."""
        return {**inputs, **dict.fromkeys(self.outputs, UNKNOWN)}

    def previewed_update(self, state: Properties, before: Properties, inputs: Properties) -> Properties:
        """State as the preview of an update shows it; `before` are the old inputs."""
        return self.previewed(inputs)

    def inputs_read(self, state: Properties, before: Properties) -> Properties:
        """The inputs behind a state that was read; `before` are those of the last run, {} at an import."""
        return {key: value for key, value in state.items() if key in self.inputs}


def is_unknown(value: Value) -> bool:
    """Whether a value, or any value in it, is known only after `up`."""
    match value:
        case str():
            return value in UNKNOWNS
        case list():
            return any(map(is_unknown, value))
        case dict():
            return any(map(is_unknown, value.values()))
        case _:
            return False


def decode(struct: struct_pb2.Struct) -> Properties:
    """Plain values of a protocol struct; secrets are opened, properties of the engine left out."""
    document = {
        key: _plain(value)
        for key, value in json_format.MessageToDict(struct).items()
        if not key.startswith("__") and key != "version"
    }
    # A null and an absent property are one and the same to Pulumi.
    return {key: value for key, value in document.items() if value is not None}


def encode(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """The protocol struct of plain values."""
    return json_format.ParseDict(dict(properties), struct_pb2.Struct())


def _plain(value: Value) -> Value:
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return _plain(value.get("value"))
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def changes(old: Mapping[str, Value], new: Mapping[str, Value], prefix: str = "") -> Iterator[tuple[str, str]]:
    """All differences between two maps, leaf by leaf, in order of their names.

    Each is a property path as Pulumi writes it (`a.b[0]`), and what happened there: `ADD`, `DELETE` or `UPDATE`.
    """
    for key in sorted({*old, *new}):
        name = key if key.replace("_", "").replace("-", "").isalnum() else f"[{json.dumps(key)}]"
        path = f"{prefix}{'.' if prefix and not name.startswith('[') else ''}{name}"
        if key not in new:
            yield path, "DELETE"
        elif key not in old:
            yield path, "ADD"
        else:
            yield from _value_changes(old[key], new[key], path)


def _value_changes(old: Value, new: Value, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from changes(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = f"{path}[{index}]"
            if index >= len(new):
                yield here, "DELETE"
            elif index >= len(old):
                yield here, "ADD"
            else:
                yield from _value_changes(old[index], new[index], here)
    elif old != new or is_unknown(new):
        yield path, "UPDATE"


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The gRPC service of a stand-in plugin.

    `types` maps type tokens (`command:local:Command`) to what is done for them. `engine` is the
    address the engine gave, None in tests without one.
    """

    def __init__(self, name: str, version: str, types: Mapping[str, ResourceType], engine: str | None) -> None:
        self.name = name
        self.version = version
        self.types = types
        self.cancelled = threading.Event()
        self.engine: engine_pb2_grpc.EngineStub | None = None
        if engine:
            channel = grpc.insecure_channel(engine, options=GRPC_OPTIONS)
            self.engine = engine_pb2_grpc.EngineStub(channel)

    # --- the plugin itself

    def GetPluginInfo(self, request: object, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: object, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:
        resources = {token: kind.schema() for token, kind in self.types.items()}
        schema = {"name": self.name, "version": self.version, "resources": resources}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        same = decode(request.olds) == decode(request.news)
        none, some = provider_pb2.DiffResponse.DIFF_NONE, provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=none if same else some)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, acceptResources=False, acceptOutputs=False, supportsPreview=True
        )

    def Cancel(self, request: object, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.cancelled.set()
        return empty_pb2.Empty()

    # --- resources

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        resource = self._type(request.urn, context)
        return provider_pb2.CheckResponse(inputs=request.news, failures=resource.check(decode(request.news)))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        resource = self._type(request.urn, context)
        response = provider_pb2.DiffResponse(hasDetailedDiff=True, changes=provider_pb2.DiffResponse.DIFF_NONE)
        parts = [name.split(".") for name in resource.replace_on]
        for path, kind in changes(*resource.compared(decode(request.old_inputs), decode(request.news))):
            top, *_ = names = re.sub(r"\[\d+\]", "", path).replace("[", ".").split(".")
            replace = any(names[: len(part)] == part for part in parts)
            response.changes = provider_pb2.DiffResponse.DIFF_SOME
            kind = f"{kind}_REPLACE" if replace else kind
            response.detailedDiff[path].kind = provider_pb2.PropertyDiff.Kind.Value(kind)
            if top not in response.diffs:
                response.diffs.append(top)
            if replace and top not in response.replaces:
                response.replaces.append(top)
        return response

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        resource = self._type(request.urn, context)
        inputs = decode(request.properties)
        if request.preview:
            id_ = resource.previewed_id(self._call(request.urn, 0).name)
            return provider_pb2.CreateResponse(id=id_, properties=encode(resource.previewed(inputs)))
        with operation(context):
            id_, outputs = resource.create(self._call(request.urn, request.timeout), inputs)
        return provider_pb2.CreateResponse(id=id_, properties=encode({**inputs, **outputs}))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        resource = self._type(request.urn, context)
        state, inputs = decode(request.olds), decode(request.news)
        if request.preview:
            previewed = resource.previewed_update(state, decode(request.old_inputs), inputs)
            return provider_pb2.UpdateResponse(properties=encode(previewed))
        call = self._call(request.urn, request.timeout)
        with operation(context):
            outputs = resource.update(call, request.id, state, inputs)
        return provider_pb2.UpdateResponse(properties=encode({**inputs, **outputs}))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        resource = self._type(request.urn, context)
        call = self._call(request.urn, request.timeout)
        with operation(context):
            resource.delete(call, request.id, decode(request.properties))
        return empty_pb2.Empty()

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        resource = self._type(request.urn, context)
        with operation(context):
            state = resource.read(request.id, decode(request.properties))
        if state is None:
            return provider_pb2.ReadResponse()
        inputs = encode(resource.inputs_read(state, decode(request.inputs)))
        if DEFAULTS in request.inputs:
            inputs[DEFAULTS] = request.inputs[DEFAULTS]
        return provider_pb2.ReadResponse(id=request.id, properties=encode(state), inputs=inputs)

    def _call(self, urn: str, timeout: float) -> Call:
        return Call(urn=urn, timeout=timeout, cancelled=self.cancelled, engine=self.engine)

    def _type(self, urn: str, context: grpc.ServicerContext) -> ResourceType:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        if token not in self.types:
            known = ", ".join(sorted(self.types))
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{token}: the stand-in for the {self.name} plugin knows only {known}; "
                f"install the real plugin: pulumi plugin install resource {self.name} {self.version}",
            )
        return self.types[token]


@contextmanager
def operation(context: grpc.ServicerContext) -> Iterator[None]:
    """Do what may fail for the call: a ProviderError ends the call with its text."""
    try:
        yield
    except ProviderError as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def new_id(name: str) -> str:
    """A resource id as the real plugins make it: the name and 8 random hex digits."""
    return f"{name}{secrets.token_hex(4)}"


def serve(provider: Provider) -> None:
    """Answer the engine until it is gone; prints the port, as the engine expects of a plugin."""
    parent = os.getppid()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=256), options=GRPC_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # An engine that was killed can't say so: stop what runs for it, and end.
    while server.wait_for_termination(timeout=1.0):
        if os.getppid() != parent:
            provider.cancelled.set()
            server.stop(grace=10).wait()
            return
