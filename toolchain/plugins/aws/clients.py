"""boto3's clients for the stand-in, one per service, all at one endpoint and in the provider's region."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from toolchain.plugins.base import Properties, ProviderError, Value
from toolchain.plugins.bridge import Bridged
from toolchain.plugins.objects import asked, is_gone

WAIT = {"Delay": 1, "MaxAttempts": 120}


class Clients:
    """Clients made at their first use, when the engine has told the provider's settings (`aws:region`)."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.settings: Properties = {}

    @functools.cached_property
    def region(self) -> str:
        """The region. Raises ProviderError when neither `aws:region` nor the environment names one."""
        region = self.settings.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise ProviderError("no region: set aws:region in the stack config, or AWS_REGION")
        return str(region)

    @functools.cached_property
    def ec2(self) -> Any:
        """EC2 and EBS."""
        return self._client("ec2")

    @functools.cached_property
    def iam(self) -> Any:
        """Roles, policies and instance profiles."""
        return self._client("iam")

    @functools.cached_property
    def s3(self) -> Any:
        """Buckets and objects."""
        return self._client("s3")

    def _client(self, service: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, proxies={})
        return boto3.client(service, endpoint_url=self.endpoint, region_name=self.region, config=config)


class OnAws(Bridged):
    """A type whose work is done by `clients`. Every AWS resource of the SDK has an optional `region`."""

    filled_in: frozenset[str] = frozenset({"region"})

    def __init__(self, clients: Clients) -> None:
        super().__init__()
        self.clients = clients
        self.outputs |= {"tagsAll"} & frozenset(self._types)
        self.replace_on |= {"region"}


def tag_list(tags: Value) -> list[dict[str, str]]:
    """Tags as AWS wants them."""
    return [{"Key": key, "Value": str(value)} for key, value in tags.items()] if isinstance(tags, dict) else []


def tag_map(tags: object) -> dict[str, Value]:
    """Tags as Pulumi has them."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags} if isinstance(tags, list) else {}


def all_tags(inputs: Mapping[str, Value]) -> Properties:
    """`tagsAll`: the tags with the provider's default tags, of which the stand-in knows none."""
    return {"tagsAll": inputs.get("tags", {})}


def set_tags(client: Any, id_: str, inputs: Properties) -> None:
    """Give a thing its tags."""
    if tags := tag_list(inputs.get("tags")):
        asked(lambda: client.create_tags(Resources=[id_], Tags=tags))


def described(question: Any) -> Any:
    """The first thing of a describe call, None when there is none."""
    try:
        found = question()
    except ClientError as error:
        if is_gone(error):
            return None
        raise ProviderError(str(error)) from error
    return found[0] if found else None
