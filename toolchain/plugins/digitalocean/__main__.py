"""The stand-in digitalocean plugin as a program: `python -m toolchain.plugins.digitalocean ENGINE_ADDRESS`."""

from __future__ import annotations

import os
import sys

from toolchain.plugins.base import serve
from toolchain.plugins.bridge import BridgeProvider, on_this_computer
from toolchain.plugins.digitalocean.api import Api
from toolchain.plugins.digitalocean.droplets import droplet_types, region
from toolchain.plugins.digitalocean.spaces import spaces_types

VERSION = "4.84.1"

if __name__ == "__main__":
    endpoint = on_this_computer("DIGITALOCEAN_API_URL")
    spaces = on_this_computer("SPACES_ENDPOINT_URL") if os.environ.get("SPACES_ENDPOINT_URL") else ""
    api = Api(endpoint)
    types = [*droplet_types(api), *(spaces_types(spaces) if spaces else [])]
    functions = {"digitalocean:index/getRegion:getRegion": lambda arguments: region(api, arguments)}
    address = sys.argv[1] if len(sys.argv) > 1 else None
    serve(BridgeProvider("digitalocean", VERSION, types, functions, address, endpoint))
