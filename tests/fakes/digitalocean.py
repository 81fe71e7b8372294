"""DigitalOcean's HTTP API on loopback, as far as droplets, images, keys, tags, firewalls, volumes and reserved IPs go.

Written after docs.digitalocean.com/reference/api and what godo and the real provider ask for, so that the real
digitalocean plugin can be pointed at it with DIGITALOCEAN_API_URL. Kept in memory; it enforces what users trip over:
names and keys that exist once, a volume at one droplet, things that are gone, a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import itertools
import json
import re
import threading
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from loopback.serving import serving_thread

Json = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
REGIONS = ("fra1", "nyc3")
SIZES = ("s-1vcpu-1gb", "s-2vcpu-2gb", "s-4vcpu-8gb")
IMPORT_S = 0.5
"""How long an image is imported; the real provider looks after 1 s, and then only after a minute again."""


class ApiError(Exception):
    """An answer other than success: its status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class DigitalOceanApi:
    """The account's things by kind and id. `switch_on` and `switch_off` are told of each droplet that comes and goes.

    `power` is told of one that is powered off or on, `reserve` of an address that a droplet has now.
    """

    address_of: Callable[[str], str]
    """The public IPv4 address for a new droplet of a name."""
    switch_on: Callable[[Json], None]
    switch_off: Callable[[Json], None]
    power: Callable[[Json, bool], None]
    reserve: Callable[[Json, str], None]
    token: str = "token"
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    """Method, path and body of all requests that change something, in order."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.numbers = itertools.count(1001)
        self.droplets: dict[str, Json] = {}
        self.images: dict[str, Json] = {}
        self.imported: dict[str, float] = {}
        self.ssh_keys: dict[str, Json] = {}
        self.firewalls: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.reserved_ips: dict[str, Json] = {}
        self.tags: dict[str, Json] = {}
        self.actions: dict[str, Json] = {}

    def left(self) -> dict[str, list[str]]:
        """What the account holds, by kind; kinds without anything are left out."""
        kinds = ("droplets", "images", "ssh_keys", "firewalls", "volumes", "reserved_ips", "tags")
        return {kind: sorted(getattr(self, kind)) for kind in kinds if getattr(self, kind)}

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve it; yields what DIGITALOCEAN_API_URL should be."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        with serving_thread(server) as port:
            yield f"http://127.0.0.1:{port}"

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """The status and the body of the answer to a request."""
        with self.lock:
            if method != "GET":
                self.requests.append((method, path, body))
            for wanted, pattern, respond in ROUTES:
                if method == wanted and (match := re.fullmatch(pattern, path)):
                    status, answer = respond(self, *match.groups(), body)
                    return status, answer
        raise ApiError(404, f"{method} {path}: The resource you were accessing could not be found.")

    # --- droplets

    def create_droplet(self, body: Json) -> tuple[int, Json]:
        if not body.get("ssh_keys"):
            raise ApiError(422, "SSH keys are required for custom images")
        if body.get("volumes"):
            raise ApiError(422, "this fake attaches no volumes at creation")
        if body["size"] not in SIZES:
            raise ApiError(422, "Size is not available in this region.")
        image = self._image(body["image"])
        for key in body["ssh_keys"]:
            if not any(str(key) in (str(known["id"]), known["fingerprint"]) for known in self.ssh_keys.values()):
                raise ApiError(422, f"{key} are invalid key identifiers for Droplet creation.")
        number = next(self.numbers)
        public = {"ip_address": self.address_of(body["name"]), "type": "public", "netmask": "255.0.0.0", "gateway": ""}
        private = {"ip_address": f"10.0.0.{number % 250}", "type": "private", "netmask": "255.0.0.0", "gateway": ""}
        droplet = {
            "id": number,
            "name": body["name"],
            "status": "new",
            "locked": False,
            "memory": 1024,
            "vcpus": 1,
            "disk": 25,
            "created_at": NOW,
            "features": ["private_networking", *(["monitoring"] if body.get("monitoring") else [])],
            "backup_ids": [],
            "snapshot_ids": [],
            "image": image,
            "size": {"slug": body["size"], "price_monthly": 6, "price_hourly": 0.009},
            "size_slug": body["size"],
            "region": {"slug": body.get("region") or "fra1", "name": "", "sizes": [], "features": []},
            "networks": {"v4": [public, private], "v6": []},
            "tags": sorted(body.get("tags") or []),
            "vpc_uuid": body.get("vpc_uuid") or str(uuid.uuid5(uuid.NAMESPACE_URL, "vpc")),
            "volume_ids": [],
        }
        self.droplets[str(number)] = droplet
        for tag in droplet["tags"]:
            self.tags.setdefault(tag, {"name": tag})
        # Kept beside the droplet: the API never tells user data again.
        self.switch_on({**droplet, "user_data": body.get("user_data", "")})
        action = self._action("create", number, "droplet")
        links = {"actions": [{"id": action["id"], "rel": "create", "href": ""}]}
        return 202, {"droplet": droplet, "links": links}

    def get_droplet(self, id_: str, body: Json) -> tuple[int, Json]:
        droplet = self._one(self.droplets, id_)
        answer = json.loads(json.dumps(droplet))
        answer["volume_ids"] = [
            volume["id"] for volume in self.volumes.values() if droplet["id"] in volume["droplet_ids"]
        ]
        if droplet["status"] == "new":
            droplet["status"] = "active"  # the next one who asks finds it running
        return 200, {"droplet": answer}

    def delete_droplet(self, id_: str, body: Json) -> tuple[int, Json]:
        droplet = self._one(self.droplets, id_)
        self.switch_off(droplet)
        del self.droplets[id_]
        for volume in self.volumes.values():
            volume["droplet_ids"] = [number for number in volume["droplet_ids"] if str(number) != id_]
        for reserved in self.reserved_ips.values():
            if reserved["droplet"] and str(reserved["droplet"]["id"]) == id_:
                reserved["droplet"] = None
        return 204, {}

    def act_on_droplet(self, id_: str, body: Json) -> tuple[int, Json]:
        droplet = self._one(self.droplets, id_)
        match body["type"]:
            case "shutdown" | "power_off":
                droplet["status"] = "off"
                self.power(droplet, False)
            case "rename":
                droplet["name"] = body["name"]
            case "resize":
                if droplet["status"] != "off":
                    raise ApiError(422, "Droplet must be powered off")
                droplet["size_slug"] = droplet["size"]["slug"] = body["size"]
            case "power_on":
                droplet["status"] = "active"
                self.power(droplet, True)
            case other:
                raise ApiError(422, f"unknown action {other}")
        return 201, {"action": self._action(body["type"], droplet["id"], "droplet")}

    def droplet_actions(self, id_: str, body: Json) -> tuple[int, Json]:
        number = self._one(self.droplets, id_)["id"]
        found = [
            action
            for action in self.actions.values()
            if (action["resource_type"], action["resource_id"]) == ("droplet", number)
        ]
        return 200, {"actions": found, "links": {}, "meta": {"total": len(found)}}

    # --- what droplets start from

    def create_image(self, body: Json) -> tuple[int, Json]:
        image = {
            "id": next(self.numbers),
            "name": body["name"],
            "type": "custom",
            "distribution": body.get("distribution", "Unknown"),
            "slug": "",
            "public": False,
            "regions": [body["region"]],
            "min_disk_size": 8,
            "size_gigabytes": 0.5,
            "created_at": NOW,
            "description": body.get("description", ""),
            "tags": body.get("tags") or [],
            "status": "NEW",
            "error_message": "",
            "url": body["url"],
        }
        self.images[str(image["id"])] = image
        self.imported[str(image["id"])] = time.monotonic() + IMPORT_S
        return 202, {"image": image}

    def get_image(self, id_: str, body: Json) -> tuple[int, Json]:
        image = self._one(self.images, id_)
        image["status"] = "pending" if time.monotonic() < self.imported[id_] else "available"
        return 200, {"image": image}

    def update_image(self, id_: str, body: Json) -> tuple[int, Json]:
        image = self._one(self.images, id_)
        image.update({key: body[key] for key in ("name", "distribution", "description") if key in body})
        return 200, {"image": image}

    def delete_image(self, id_: str, body: Json) -> tuple[int, Json]:
        del self.images[str(self._one(self.images, id_)["id"])]
        return 204, {}

    def create_key(self, body: Json) -> tuple[int, Json]:
        public = body["public_key"]
        digest = hashlib.md5(b64decode(public.split()[1]), usedforsecurity=False).hexdigest()
        fingerprint = ":".join(digest[place : place + 2] for place in range(0, 32, 2))
        if any(known["fingerprint"] == fingerprint for known in self.ssh_keys.values()):
            raise ApiError(422, "SSH Key is already in use on your account")
        key = {"id": next(self.numbers), "name": body["name"], "public_key": public, "fingerprint": fingerprint}
        self.ssh_keys[str(key["id"])] = key
        return 201, {"ssh_key": key}

    def get_key(self, id_: str, body: Json) -> tuple[int, Json]:
        return 200, {"ssh_key": self._one(self.ssh_keys, id_)}

    def update_key(self, id_: str, body: Json) -> tuple[int, Json]:
        key = self._one(self.ssh_keys, id_)
        key["name"] = body["name"]
        return 200, {"ssh_key": key}

    def delete_key(self, id_: str, body: Json) -> tuple[int, Json]:
        del self.ssh_keys[str(self._one(self.ssh_keys, id_)["id"])]
        return 204, {}

    # --- tags and firewalls

    def create_tag(self, body: Json) -> tuple[int, Json]:
        self.tags.setdefault(body["name"], {"name": body["name"]})
        return 201, {"tag": self._tag(body["name"])}

    def get_tag(self, name: str, body: Json) -> tuple[int, Json]:
        self._one(self.tags, name)
        return 200, {"tag": self._tag(name)}

    def delete_tag(self, name: str, body: Json) -> tuple[int, Json]:
        self._one(self.tags, name)
        del self.tags[name]
        return 204, {}

    def tag_resources(self, name: str, body: Json) -> tuple[int, Json]:
        self._one(self.tags, name)
        for resource in body["resources"]:
            droplet = self._one(self.droplets, str(resource["resource_id"]))
            droplet["tags"] = sorted({*droplet["tags"], name})
        return 204, {}

    def untag_resources(self, name: str, body: Json) -> tuple[int, Json]:
        for resource in body["resources"]:
            droplet = self._one(self.droplets, str(resource["resource_id"]))
            droplet["tags"] = [tag for tag in droplet["tags"] if tag != name]
        return 204, {}

    def create_firewall(self, body: Json) -> tuple[int, Json]:
        self._check_firewall(body)
        id_ = str(uuid.uuid4())
        self.firewalls[id_] = {"id": id_, "status": "succeeded", "created_at": NOW, "pending_changes": [], **body}
        return 202, {"firewall": self.firewalls[id_]}

    def get_firewall(self, id_: str, body: Json) -> tuple[int, Json]:
        return 200, {"firewall": self._one(self.firewalls, id_)}

    def update_firewall(self, id_: str, body: Json) -> tuple[int, Json]:
        self._check_firewall(body)
        self._one(self.firewalls, id_).update(body)
        return 200, {"firewall": self.firewalls[id_]}

    def delete_firewall(self, id_: str, body: Json) -> tuple[int, Json]:
        self._one(self.firewalls, id_)
        del self.firewalls[id_]
        return 204, {}

    # --- volumes and reserved addresses

    def create_volume(self, body: Json) -> tuple[int, Json]:
        if any(known["name"] == body["name"] for known in self.volumes.values()):
            raise ApiError(409, "a volume with that name already exists in this region")
        id_ = str(uuid.uuid4())
        self.volumes[id_] = {
            "id": id_,
            "name": body["name"],
            "size_gigabytes": body["size_gigabytes"],
            "region": {"slug": body["region"]},
            "droplet_ids": [],
            "tags": body.get("tags") or [],
            "description": body.get("description", ""),
            "filesystem_type": "",
            "filesystem_label": "",
            "created_at": NOW,
        }
        return 201, {"volume": self.volumes[id_]}

    def get_volume(self, id_: str, body: Json) -> tuple[int, Json]:
        return 200, {"volume": self._one(self.volumes, id_)}

    def delete_volume(self, id_: str, body: Json) -> tuple[int, Json]:
        if self._one(self.volumes, id_)["droplet_ids"]:
            raise ApiError(409, "volume is attached")
        del self.volumes[id_]
        return 204, {}

    def act_on_volume(self, id_: str, body: Json) -> tuple[int, Json]:
        volume = self._one(self.volumes, id_)
        match body["type"]:
            case "attach":
                if volume["droplet_ids"]:
                    raise ApiError(422, "volume is already attached to a Droplet")
                volume["droplet_ids"] = [self._at(volume["region"], body["droplet_id"])["id"]]
            case "detach":
                if body["droplet_id"] not in volume["droplet_ids"]:
                    raise ApiError(422, "volume is not attached to this Droplet")
                volume["droplet_ids"] = []
            case "resize":
                volume["size_gigabytes"] = body["size_gigabytes"]
        return 202, {"action": self._action(body["type"], id_, "volume")}

    def create_reserved_ip(self, body: Json) -> tuple[int, Json]:
        address = self.address_of("reserved")
        region = {"slug": body["region"]}
        self.reserved_ips[address] = {"ip": address, "region": region, "droplet": None, "locked": False}
        return 202, {"reserved_ip": self.reserved_ips[address]}

    def get_reserved_ip(self, address: str, body: Json) -> tuple[int, Json]:
        return 200, {"reserved_ip": self._one(self.reserved_ips, address)}

    def delete_reserved_ip(self, address: str, body: Json) -> tuple[int, Json]:
        self._one(self.reserved_ips, address)
        del self.reserved_ips[address]
        return 204, {}

    def act_on_reserved_ip(self, address: str, body: Json) -> tuple[int, Json]:
        reserved = self._one(self.reserved_ips, address)
        if body["type"] == "unassign" and reserved["droplet"] is None:
            raise ApiError(422, "The reserved IP is not assigned to a Droplet")
        droplet = None if body["type"] == "unassign" else self._at(reserved["region"], body["droplet_id"])
        reserved["droplet"] = droplet
        if droplet is not None:
            self.reserve(droplet, address)
        return 201, {"action": self._action(f"{body['type']}_ip", address, "reserved_ip")}

    def list_regions(self, body: Json) -> tuple[int, Json]:
        regions = [
            {"slug": slug, "name": slug.upper(), "available": True, "features": ["metadata"], "sizes": list(SIZES)}
            for slug in REGIONS
        ]
        return 200, {"regions": regions, "links": {}, "meta": {"total": len(regions)}}

    def get_action(self, id_: str, body: Json) -> tuple[int, Json]:
        return 200, {"action": self._one(self.actions, id_)}

    # --- shared

    def _one(self, things: dict[str, Json], id_: str) -> Json:
        if id_ not in things:
            raise ApiError(404, "The resource you were accessing could not be found.")
        return things[id_]

    def _at(self, region: Json, droplet_id: int) -> Json:
        droplet = self._one(self.droplets, str(droplet_id))
        if droplet["region"]["slug"] != region["slug"]:
            raise ApiError(422, "The Droplet is in another region")
        return droplet

    def _image(self, wanted: int | str) -> Json:
        image = self.images.get(str(wanted))
        if image is None or image["status"] != "available":
            raise ApiError(422, "You specified an invalid image for Droplet creation.")
        return image

    def _tag(self, name: str) -> Json:
        count = sum(name in droplet["tags"] for droplet in self.droplets.values())
        kinds = ("droplets", "images", "volumes", "volume_snapshots", "databases")
        parts = {kind: {"count": count if kind == "droplets" else 0} for kind in kinds}
        return {"name": name, "resources": {"count": count, **parts}}

    def _check_firewall(self, body: Json) -> None:
        for tag in body.get("tags") or []:
            if tag not in self.tags:
                raise ApiError(422, f"tag {tag} does not exist")
        for rule in [*body["inbound_rules"], *body["outbound_rules"]]:
            if rule["protocol"] == "icmp":
                rule["ports"] = "0"
            elif not rule.get("ports"):
                raise ApiError(422, "ports are required")

    def _action(self, kind: str, id_: object, resource: str) -> Json:
        action = {
            "id": next(self.numbers),
            "status": "completed",
            "type": kind,
            "started_at": NOW,
            "completed_at": NOW,
            "resource_id": id_ if isinstance(id_, int) else 0,
            "resource_type": resource,
            "region_slug": "fra1",
        }
        self.actions[str(action["id"])] = action
        return action


Respond = Callable[..., tuple[int, Json]]
_Api = DigitalOceanApi
ROUTES: tuple[tuple[str, str, Respond], ...] = (
    ("POST", "/v2/droplets", _Api.create_droplet),
    ("GET", r"/v2/droplets/(\d+)", _Api.get_droplet),
    ("DELETE", r"/v2/droplets/(\d+)", _Api.delete_droplet),
    ("POST", r"/v2/droplets/(\d+)/actions", _Api.act_on_droplet),
    ("GET", r"/v2/droplets/(\d+)/actions", _Api.droplet_actions),
    ("POST", "/v2/images", _Api.create_image),
    ("GET", r"/v2/images/(\d+)", _Api.get_image),
    ("PUT", r"/v2/images/(\d+)", _Api.update_image),
    ("DELETE", r"/v2/images/(\d+)", _Api.delete_image),
    ("POST", "/v2/account/keys", _Api.create_key),
    ("GET", r"/v2/account/keys/(\d+)", _Api.get_key),
    ("PUT", r"/v2/account/keys/(\d+)", _Api.update_key),
    ("DELETE", r"/v2/account/keys/(\d+)", _Api.delete_key),
    ("POST", "/v2/tags", _Api.create_tag),
    ("GET", "/v2/tags/([^/]+)", _Api.get_tag),
    ("DELETE", "/v2/tags/([^/]+)", _Api.delete_tag),
    ("POST", "/v2/tags/([^/]+)/resources", _Api.tag_resources),
    ("DELETE", "/v2/tags/([^/]+)/resources", _Api.untag_resources),
    ("POST", "/v2/firewalls", _Api.create_firewall),
    ("GET", "/v2/firewalls/([^/]+)", _Api.get_firewall),
    ("PUT", "/v2/firewalls/([^/]+)", _Api.update_firewall),
    ("DELETE", "/v2/firewalls/([^/]+)", _Api.delete_firewall),
    ("POST", "/v2/volumes", _Api.create_volume),
    ("GET", "/v2/volumes/([^/]+)", _Api.get_volume),
    ("DELETE", "/v2/volumes/([^/]+)", _Api.delete_volume),
    ("POST", "/v2/volumes/([^/]+)/actions", _Api.act_on_volume),
    ("POST", "/v2/reserved_ips", _Api.create_reserved_ip),
    ("GET", r"/v2/reserved_ips/([\d.]+)", _Api.get_reserved_ip),
    ("DELETE", r"/v2/reserved_ips/([\d.]+)", _Api.delete_reserved_ip),
    ("POST", r"/v2/reserved_ips/([\d.]+)/actions", _Api.act_on_reserved_ip),
    ("GET", "/v2/regions", _Api.list_regions),
    ("GET", r"/v2/(?:[a-z_]+/[^/]+/)?actions/(\d+)", _Api.get_action),
)


def _handler(api: DigitalOceanApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}") if length else {}
            try:
                if self.headers.get("Authorization") != f"Bearer {api.token}":
                    raise ApiError(401, "Unable to authenticate you")
                status, answer = api.answer(self.command, self.path.partition("?")[0], body)
            except ApiError as error:
                status, answer = error.status, {"id": "error", "message": str(error)}
            data = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler
