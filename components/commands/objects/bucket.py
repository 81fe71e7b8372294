"""An object in a bucket of S3 or Spaces, written by the deployer behind Pulumi's back. Standard library only.

A config that is rolled back to becomes a new version, with a mark. Writing the wanted one again takes marked versions
away instead of adding more: then the newest version is the one that Pulumi wrote, its state is right again, and neither
`refresh` nor the next `up` finds a change.
"""

from __future__ import annotations

import functools
import html
import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from components.commands.objects.aws_signature import signed_headers
from components.commands.objects.credentials import aws_credentials, spaces_credentials
from components.commands.objects.folder import LONGEST_REPORT, NoAccessError, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from components.commands.objects.aws_signature import Credentials

CONTENT_TYPE = "application/vnd.coreos.ignition+json"
MARK = "x-amz-meta-put-back"
PAUSES_S = (0.5, 2.0, 5.0)
"""Waited before an attempt is repeated: a bucket that answers 5xx, or not at all, is asked four times."""
TIMEOUT_S = 30.0
NO_ANSWER = 0
MOST_VERSIONS = 50
"""How many versions of an object are looked at."""
_VERSION = re.compile(r"<Version>(.*?)</Version>", re.DOTALL)


def report_key(machine: str) -> str:
    """Where a machine puts its reports in the bucket that has its object: nobody but itself may."""
    return f"reports/{machine}.json"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A signature is for one host; what redirects would get it as well."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketWriter:
    """`kind` is "s3" or "spaces". `profile` is the stack's `aws:profile`, "" for none; `acl` "" leaves the bucket's.

    Addresses are the provider's own: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and SPACES_ENDPOINT_URL are followed.
    """

    kind: str
    bucket: str
    key: str
    region: str
    profile: str = ""
    acl: str = ""

    def get(self) -> str:
        answer = self._get(self.credentials())
        if answer.status != 200:
            raise FileNotFoundError(f"the bucket {self.bucket} has no object {self.key}")
        return answer.body.decode(errors="replace")

    def of_reports(self, machine: str) -> BucketWriter:
        """Where the machine puts its reports."""
        return replace(self, key=report_key(machine))

    def read_report(self, credentials: Credentials, pauses: Sequence[float] = ()) -> tuple[bytes, float]:
        """The beginning of what lies here, and when it was put here (Unix time, by the store's clock).

        Raises FileNotFoundError where there is nothing, else as `get`; a store that doesn't answer is asked again
        after each of the `pauses`.
        """
        answer = self._asked("GET", credentials, allowed=(200, 404), pauses=pauses, most=LONGEST_REPORT)
        if answer.status != 200:
            raise FileNotFoundError(f"the bucket {self.bucket} has no {self.key}")
        try:
            at = parsedate_to_datetime(answer.headers.get("Last-Modified", "")).timestamp()
        except ValueError:
            at = 0.0
        return answer.body, at

    def put(self, content: str) -> bool:
        credentials = self.credentials()
        present = self._get(credentials)
        if self._holds(present, content):
            return False
        version = present.headers.get("x-amz-version-id", "")
        if present.headers.get(MARK) and version not in ("", "null") and self._takes_away(credentials, version):
            present = self._get(credentials)
        if not self._holds(present, content):
            try:
                self._write(credentials, content, {})
            except NoAccessError as error:  # it holds another config, as can be seen: not to be passed over
                raise OSError(str(error)) from None
        return True

    def roll_back(self, content: str) -> None:
        credentials = self.credentials()
        if not self._holds(self._get(credentials), content):
            self._write(credentials, content, {MARK: "yes"})

    def versions(self) -> Iterator[Version]:
        credentials = self.credentials()
        query = f"max-keys={MOST_VERSIONS}&prefix={quote(self.key, safe='-_.~')}&versions="
        listed = self._asked("GET", credentials, of_bucket=True, query=query, allowed=(200,)).body.decode()
        for entry in _VERSION.findall(listed):
            key, name, written = (_text(entry, tag) for tag in ("Key", "VersionId", "LastModified"))
            if key == self.key:  # others may begin with it
                of = f"versionId={quote(name, safe='-_.~')}"
                found = self._asked("GET", credentials, query=of, allowed=(200, 404))
                if found.status == 200:
                    yield Version(name=name, written=written, content=found.body)

    @staticmethod
    def _holds(answer: _Answer, content: str) -> bool:
        return answer.status == 200 and answer.body == content.encode()

    def credentials(self) -> Credentials:
        """What opens the bucket from this computer. Raises `NoAccessError`."""
        return spaces_credentials() if self.kind == "spaces" else aws_credentials(self.profile)

    def _url(self, *, of_bucket: bool = False) -> str:
        key = "" if of_bucket else quote(self.key, safe="/-_.~")
        if self.kind == "spaces":
            host, given = f"{self.region}.digitaloceanspaces.com", os.environ.get("SPACES_ENDPOINT_URL")
        else:
            host = s3_host(self.region)
            given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if given and "{{" not in given:  # else the provider's template for the default
            return f"{given.rstrip('/')}/{self.bucket}/{key}"
        return f"https://{self.bucket}.{host}/{key}"

    def _get(self, credentials: Credentials) -> _Answer:
        return self._asked("GET", credentials, allowed=(200, 404))

    def _takes_away(self, credentials: Credentials, version: str) -> bool:
        """Delete one version; whether that is allowed."""
        try:
            self._asked(
                "DELETE", credentials, query=f"versionId={quote(version, safe='-_.~')}", allowed=(200, 204, 404)
            )
        except NoAccessError:
            return False
        return True

    def _write(self, credentials: Credentials, content: str, mark: Mapping[str, str]) -> None:
        headers = {"Content-Type": CONTENT_TYPE, **({"x-amz-acl": self.acl} if self.acl else {}), **mark}
        self._asked("PUT", credentials, headers=headers, body=content.encode(), allowed=(200,))

    def _asked(
        self,
        method: str,
        credentials: Credentials,
        *,
        allowed: tuple[int, ...],
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        of_bucket: bool = False,
        pauses: Sequence[float] = PAUSES_S,
        most: int = -1,
    ) -> _Answer:
        url = self._url(of_bucket=of_bucket) + (f"?{query}" if query else "")

        def attempt() -> _Answer:
            signed = signed_headers(
                method, url, headers or {}, body, credentials=credentials, region=self.region, now=datetime.now(UTC)
            )
            return _answer(urllib.request.Request(url, body or None, signed, method=method), most)  # noqa: S310 # own URL

        answer = attempt()
        for pause in pauses:
            if NO_ANSWER < answer.status < 500:
                break
            time.sleep(pause)
            answer = attempt()
        if answer.status not in allowed:
            raise self._refused(method, answer)
        return answer

    def _refused(self, method: str, answer: _Answer) -> Exception:
        if answer.status == NO_ANSWER:
            return OSError(f"the bucket {self.bucket} does not answer: {answer.body.decode()}")
        code = re.search(rb"<Code>(\w{1,64})</Code>", answer.body)
        text = f"the bucket {self.bucket} answers {method} with {answer.status} {code[1].decode() if code else ''}"
        return NoAccessError(text.rstrip()) if answer.status in (401, 403) else OSError(text.rstrip())


def _text(entry: str, tag: str) -> str:
    """What stands in an element of an answer in XML."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", entry, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def s3_host(region: str) -> str:
    """S3's own host name in a region; China and the European sovereign cloud have domains of their own."""
    domain = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}.get(region.partition("-")[0], "amazonaws.com")
    return f"s3.{region}.{domain}"


@functools.cache  # reading the certificates takes longer than asking
def _opener(trusted: str | None) -> urllib.request.OpenerDirector:
    trust = ssl.create_default_context(cafile=trusted)
    return urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=trust))


def _answer(request: urllib.request.Request, most: int) -> _Answer:
    """`most` bytes of the answer, all of it for -1."""
    try:
        with _opener(os.environ.get("AWS_CA_BUNDLE") or None).open(request, timeout=TIMEOUT_S) as response:
            return _Answer(status=response.status, headers=response.headers, body=response.read(most))
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(status=error.code, headers=error.headers, body=error.read(most))
    except (OSError, http.client.HTTPException) as error:
        return _Answer(status=NO_ANSWER, headers=Message(), body=str(getattr(error, "reason", error)).encode())
