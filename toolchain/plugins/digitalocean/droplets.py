"""Droplets and what belongs to them. Replacements and calls follow terraform-provider-digitalocean."""

from __future__ import annotations

import hashlib
from typing import Any

import pulumi_digitalocean as digitalocean

from toolchain.plugins.base import Call, Properties, ProviderError, Value
from toolchain.plugins.bridge import Bridged, listed, whole
from toolchain.plugins.digitalocean.api import Api, GoneError


def droplet_types(api: Api) -> list[Bridged]:
    """All types of this file."""
    kinds: list[type[_OnApi]] = [Tag, SshKey, CustomImage, Droplet, Firewall, ReservedIp, Volume, VolumeAttachment]
    return [kind(api) for kind in kinds]


def region(api: Api, arguments: Properties) -> Properties:
    """`digitalocean:index/getRegion:getRegion`."""
    regions = {found["slug"]: found for found in api.ask("GET", "regions?page=1&per_page=200")["regions"]}
    slug = str(arguments["slug"])
    if slug not in regions:
        raise ProviderError(f"Region does not exist: {slug}")
    names = ("slug", "name", "available", "features", "sizes")
    return {"id": slug, **{name: regions[slug][name] for name in names}}


class _OnApi(Bridged):
    path = ""
    kind = ""
    id_name = "id"

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.api = api

    def found(self, id_: str) -> dict[str, Any] | None:
        """The object as the API tells it."""
        try:
            found: dict[str, Any] = self.api.ask("GET", f"{self.path}/{id_}")[self.kind]
        except GoneError:
            return None
        return found

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        found = self.api.ask("POST", self.path, self.body(inputs))[self.kind]
        return str(found[self.id_name]), self.seen(found)

    def put(self, id_: str, body: dict[str, object]) -> Properties:
        """Change the object: what it then is, as properties."""
        return self.seen(self.api.ask("PUT", f"{self.path}/{id_}", body)[self.kind])

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = self.found(id_)
        return None if found is None else {**state, **self.seen(found)}

    def body(self, inputs: Properties) -> dict[str, object]:
        """What the API is asked to make."""
        raise NotImplementedError

    def seen(self, found: dict[str, Any]) -> Properties:
        """What the API's object means as properties."""
        raise NotImplementedError

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        try:
            self.api.ask("DELETE", f"{self.path}/{id_}")
        except GoneError:
            return


class Tag(_OnApi):
    """A tag; its id is its name."""

    sdk = digitalocean.Tag
    path, kind = "tags", "tag"
    id_name = automatic_name = "name"
    replace_on = frozenset({"name"})

    def body(self, inputs: Properties) -> dict[str, object]:
        return {"name": inputs["name"]}

    def seen(self, found: dict[str, Any]) -> Properties:
        return {"name": found["name"], "totalResourceCount": found["resources"]["count"]}


class SshKey(_OnApi):
    """A registered login key."""

    sdk = digitalocean.SshKey
    path, kind = "account/keys", "ssh_key"
    automatic_name = "name"
    replace_on = frozenset({"publicKey"})

    def body(self, inputs: Properties) -> dict[str, object]:
        return {"name": inputs["name"], "public_key": inputs["publicKey"]}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return self.put(id_, {"name": inputs["name"]})

    def seen(self, found: dict[str, Any]) -> Properties:
        return {"name": found["name"], "publicKey": found["public_key"], "fingerprint": found["fingerprint"]}


class CustomImage(_OnApi):
    """An image imported by URL; there once its status is `available`."""

    sdk = digitalocean.CustomImage
    path, kind = "images", "image"
    automatic_name = "name"
    # An image can be brought to more regions, but taken from none; this stand-in does neither.
    replace_on = frozenset({"url", "regions"})
    sets = frozenset({"regions", "tags"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        regions = inputs["regions"]
        region = regions[0] if isinstance(regions, list) else ""
        body = {
            "name": inputs["name"],
            "url": inputs["url"],
            "region": region,
            "distribution": inputs.get("distribution", "Unknown"),
            "tags": inputs.get("tags", []),
        }
        started = self.api.ask("POST", "images", body)["image"]
        found = self.api.wait(f"images/{started['id']}", "image", "status", "available", 3600)
        return str(found["id"]), self.seen(found)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return self.put(id_, {"name": inputs["name"], "distribution": inputs.get("distribution", "Unknown")})

    def seen(self, found: dict[str, Any]) -> Properties:
        return {
            "name": found["name"],
            "imageId": found["id"],
            "regions": found["regions"],
            "distribution": found["distribution"],
            "tags": found["tags"],
            "status": found["status"],
        }


class Droplet(_OnApi):
    """A droplet. State has the SHA-1 of its user data, and its image as the program gave it, as the real provider's."""

    sdk = digitalocean.Droplet
    path, kind = "droplets", "droplet"
    automatic_name = "name"
    replace_on = frozenset(
        {"image", "region", "sshKeys", "userData", "monitoring", "dropletAgent", "vpcUuid", "publicNetworking"}
    )
    sets = frozenset({"sshKeys", "tags", "volumeIds"})
    not_told = frozenset({"userData"})
    filled_in = frozenset({"vpcUuid", "volumeIds", "publicNetworking", "privateNetworking", "ipv6Address", "region"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        image = str(inputs["image"])
        body = {
            "name": inputs["name"],
            "region": inputs.get("region"),
            "size": inputs["size"],
            "image": int(image) if image.isdecimal() else image,
            "ssh_keys": [_key(key) for key in listed(inputs.get("sshKeys"))],
            "backups": inputs.get("backups", False),
            "ipv6": inputs.get("ipv6", False),
            "private_networking": False,
            "monitoring": inputs.get("monitoring", False),
            "user_data": inputs.get("userData", ""),
            "vpc_uuid": inputs.get("vpcUuid"),
            "volumes": inputs.get("volumeIds", []),
            "tags": inputs.get("tags", []),
        }
        started = self.api.ask("POST", "droplets", body)["droplet"]
        found = self.api.wait(f"droplets/{started['id']}", "droplet", "status", "active")
        return str(found["id"]), {**self.seen(found), **_hashed(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        path = f"droplets/{id_}"
        if state.get("size") != inputs["size"]:
            self.api.act(path, type="power_off")
            self.api.act(path, type="resize", size=inputs["size"], disk=inputs.get("resizeDisk", True))
            self.api.act(path, type="power_on")
        if state.get("name") != inputs["name"]:
            self.api.act(path, type="rename", name=inputs["name"])
        before, after = set(listed(state.get("tags"))), set(listed(inputs.get("tags")))
        resource = {"resources": [{"resource_id": id_, "resource_type": "droplet"}]}
        for tag in sorted(map(str, before - after)):
            self.api.ask("DELETE", f"tags/{tag}/resources", resource)
        for tag in sorted(map(str, after - before)):
            self.api.ask("POST", "tags", {"name": tag})
            self.api.ask("POST", f"tags/{tag}/resources", resource)
        found = self.found(id_) or {}
        return {**self.seen(found), **_hashed(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        if state.get("gracefulShutdown"):
            self.api.act(f"droplets/{id_}", type="shutdown")
        super().delete(call, id_, state)
        while self.found(id_) is not None:
            pass

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = self.found(id_)
        if found is None:
            return None
        # What only an import tells: the image, and defaults of what the API doesn't know.
        own: Properties = {"image": str(found["image"].get("slug") or found["image"]["id"]), "resizeDisk": True}
        return {**state, **self.seen(found), **({} if state else own)}

    def seen(self, found: dict[str, Any]) -> Properties:
        public = [net["ip_address"] for net in found["networks"]["v4"] if net["type"] == "public"]
        private = [net["ip_address"] for net in found["networks"]["v4"] if net["type"] == "private"]
        return {
            "name": found["name"],
            "region": found["region"]["slug"],
            "size": found["size_slug"],
            "disk": found["disk"],
            "memory": found["memory"],
            "vcpus": found["vcpus"],
            "status": found["status"],
            "locked": found["locked"],
            "createdAt": found["created_at"],
            "vpcUuid": found["vpc_uuid"],
            "ipv4Address": public[0] if public else "",
            "ipv4AddressPrivate": private[0] if private else "",
            "publicNetworking": bool(public),
            "privateNetworking": "private_networking" in found["features"],
            "volumeIds": found["volume_ids"],
            "tags": found["tags"],
            "dropletUrn": f"do:droplet:{found['id']}",
        }


class Firewall(_OnApi):
    """A firewall; rules and tags change in place."""

    sdk = digitalocean.Firewall
    path, kind = "firewalls", "firewall"
    automatic_name = "name"
    sets = frozenset({"tags", "dropletIds"})

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return self.put(id_, self.body(inputs))

    def seen(self, found: dict[str, Any]) -> Properties:
        return {
            "status": found["status"],
            "createdAt": found["created_at"],
            "name": found["name"],
            "tags": found["tags"],
            "inboundRules": [_rule(rule, "source") for rule in found["inbound_rules"]],
            "outboundRules": [_rule(rule, "destination") for rule in found["outbound_rules"]],
        }

    def body(self, inputs: Properties) -> dict[str, object]:
        def rules(name: str, side: str) -> list[dict[str, object]]:
            return [
                {
                    "protocol": rule["protocol"],
                    "ports": rule.get("portRange", ""),
                    side: {"addresses": rule.get(f"{'source' if side == 'sources' else 'destination'}Addresses", [])},
                }
                for rule in listed(inputs.get(name))
                if isinstance(rule, dict)
            ]

        return {
            "name": inputs["name"],
            "droplet_ids": [whole(id_) for id_ in listed(inputs.get("dropletIds"))],
            "tags": inputs.get("tags", []),
            "inbound_rules": rules("inboundRules", "sources"),
            "outbound_rules": rules("outboundRules", "destinations"),
        }


class ReservedIp(_OnApi):
    """A reserved address, which moves between droplets in place."""

    sdk = digitalocean.ReservedIp
    path, kind = "reserved_ips", "reserved_ip"
    replace_on = frozenset({"region"})
    filled_in = frozenset({"ipAddress"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        address = self.api.ask("POST", "reserved_ips", {"region": inputs["region"]})["reserved_ip"]["ip"]
        return address, self.update(call, address, {}, inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        if "dropletId" in inputs and state.get("dropletId") != inputs["dropletId"]:
            self.api.act(f"reserved_ips/{id_}", type="assign", droplet_id=whole(inputs["dropletId"]))
        elif "dropletId" in state and "dropletId" not in inputs:
            self.api.act(f"reserved_ips/{id_}", type="unassign")
        return self.seen(self.found(id_) or {})

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        if (self.found(id_) or {}).get("droplet"):
            self.api.act(f"reserved_ips/{id_}", type="unassign")
        super().delete(call, id_, state)

    def seen(self, found: dict[str, Any]) -> Properties:
        seen: Properties = {"ipAddress": found["ip"], "region": found["region"]["slug"]}
        if found["droplet"]:
            seen["dropletId"] = found["droplet"]["id"]
        return seen


class Volume(_OnApi):
    """A block volume; it can grow in place."""

    sdk = digitalocean.Volume
    path, kind = "volumes", "volume"
    automatic_name = "name"
    replace_on = frozenset(
        {"region", "name", "description", "snapshotId", "initialFilesystemType", "initialFilesystemLabel"}
    )
    sets = frozenset({"tags"})

    def body(self, inputs: Properties) -> dict[str, object]:
        return {
            "name": inputs["name"],
            "region": inputs["region"],
            "size_gigabytes": whole(inputs["size"]),
            "tags": inputs.get("tags", []),
        }

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        if state.get("size") != inputs["size"]:
            self.api.act(f"volumes/{id_}", type="resize", size_gigabytes=whole(inputs["size"]), region=inputs["region"])
        return self.seen(self.found(id_) or {})

    def seen(self, found: dict[str, Any]) -> Properties:
        return {
            "name": found["name"],
            "size": found["size_gigabytes"],
            "region": found["region"]["slug"],
            "dropletIds": found["droplet_ids"],
            "tags": found["tags"],
        }


class VolumeAttachment(_OnApi):
    """A volume at a droplet; a volume is at one droplet at most."""

    sdk = digitalocean.VolumeAttachment
    replace_on = frozenset({"dropletId", "volumeId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        droplet, volume = whole(inputs["dropletId"]), inputs["volumeId"]
        self.api.act(f"volumes/{volume}", type="attach", droplet_id=droplet)
        return f"{droplet}-{volume}-{call.name}", {}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        try:
            self.api.act(f"volumes/{state['volumeId']}", type="detach", droplet_id=whole(state["dropletId"]))
        except GoneError:
            return

    def read(self, id_: str, state: Properties) -> Properties | None:
        try:
            volume = self.api.ask("GET", f"volumes/{state['volumeId']}")["volume"]
        except GoneError:
            return None
        return state if whole(state["dropletId"]) in volume["droplet_ids"] else None


def _rule(rule: dict[str, Any], side: str) -> Properties:
    """A firewall's rule as a program gives it; the API tells port 0 for ICMP."""
    ports: Properties = {} if rule["protocol"] == "icmp" else {"portRange": rule["ports"]}
    return {"protocol": rule["protocol"], **ports, f"{side}Addresses": rule[f"{side}s"]["addresses"]}


def _key(key: Value) -> int | str:
    return int(str(key)) if str(key).isdecimal() else str(key)


def _hashed(inputs: Properties) -> Properties:
    """User data as state keeps it: its SHA-1. Only what the program gave is hashed; see `Droplet`."""
    text = inputs.get("userData")
    return {"userData": hashlib.sha1(str(text).encode()).hexdigest()} if text else {}  # noqa: S324
