"""The stand-in aws plugin as a program: `python -m toolchain.plugins.aws ENGINE_ADDRESS`."""

from __future__ import annotations

import os
import sys

from toolchain.plugins.aws.attached import attached_types
from toolchain.plugins.aws.buckets import bucket_types
from toolchain.plugins.aws.clients import Clients
from toolchain.plugins.aws.instances import ami_ids, instance_types
from toolchain.plugins.aws.roles import role_types
from toolchain.plugins.base import serve
from toolchain.plugins.bridge import BridgeProvider, on_this_computer

VERSION = "7.51.1"

if __name__ == "__main__":
    endpoint = on_this_computer("AWS_ENDPOINT_URL")
    # Read by boto3 itself; an address per service would go around the check above.
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")]:
        del os.environ[name]
    clients = Clients(endpoint)
    provider = BridgeProvider(
        "aws",
        VERSION,
        [*bucket_types(clients), *instance_types(clients), *attached_types(clients), *role_types(clients)],
        {"aws:ec2/getAmiIds:getAmiIds": lambda arguments: ami_ids(clients, arguments)},
        sys.argv[1] if len(sys.argv) > 1 else None,
        endpoint,
    )
    clients.settings = provider.settings
    serve(provider)
