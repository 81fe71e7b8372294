"""Whether what opens a cloud is there at all, told at preview: its providers notice in the middle of an update.

Nothing of it is read further than that, or goes into a message. No cloud's SDK is imported here. AWS's own provider
looks for its credentials when it starts, in more places than can be looked at here, and says what is wrong.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence

import pulumi

TOKEN = ("digitalocean:token", ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"))
SPACES_KEY = (
    ("digitalocean:spacesAccessId", ("SPACES_ACCESS_KEY_ID",)),
    ("digitalocean:spacesSecretKey", ("SPACES_SECRET_ACCESS_KEY",)),
)
EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
"""Networks that are for documentation alone (RFC 5737, RFC 3849)."""
_HANDED_ON = re.compile(
    r"^invoke of \S+ failed: (invocation of \S+ returned an error: )?(invoking \S+: )?(\d+ errors? occurred:\s*)?(\* )?"
)


def check_token() -> None:
    """Raises `pulumi.RunError` when there is no API token for DigitalOcean."""
    if not _is_there(*TOKEN):
        raise pulumi.RunError(
            "there is no API token for DigitalOcean: export DIGITALOCEAN_TOKEN=…, one that may write "
            "(cloud.digitalocean.com/account/api/tokens), or pulumi config set --secret digitalocean:token"
        )


def check_spaces_key() -> None:
    """Raises `pulumi.RunError` when there is no key for Spaces, which the API token is not."""
    missing = [names[0] for setting, names in SPACES_KEY if not _is_there(setting, names)]
    if missing:
        raise pulumi.RunError(
            f"not in the environment: {' and '.join(missing)}. Spaces has a key of its own, which the API token is "
            "not (cloud.digitalocean.com/spaces/access_keys); export both, or pulumi config set --secret "
            "digitalocean:spacesAccessId and digitalocean:spacesSecretKey"
        )


def tell_example(setting: str, networks: Sequence[str]) -> None:
    """Warn when who may log in is still an example: nobody has an address in it, and the first `up` would wait."""
    for network in networks:
        if any(_overlap(network, example) for example in EXAMPLES):
            pulumi.log.warn(f"{setting}: {network} is an example's; put your own network there, else ssh is kept out")


def said(error: Exception) -> str:
    """What a cloud answered to an invoke that failed, without the names of all that handed the answer on."""
    return _HANDED_ON.sub("", str(error), count=1).strip()


def _overlap(network: str, example: str) -> bool:
    one, other = ipaddress.ip_network(network), ipaddress.ip_network(example)
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]  # of one version, then


def _is_there(setting: str, names: tuple[str, ...]) -> bool:
    namespace, _, key = setting.partition(":")
    given = pulumi.Config(namespace).get_secret(key)  # `get` of a secret warns
    return given is not None or any(os.environ.get(name) for name in names)
