"""Row 8: the page of `make status`, until it can be used in a browser, with 10 and with 10,000 machines.

And with 10,000 machines that pull, five minutes after a change (`pull_fleet`): their reports are read from a bucket on
loopback, over TLS, which this process serves as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from bench.measure import BenchError
from bench.pull_fleet import SCENARIOS, reports_after
from bench.table import Line, Row
from components.commands.objects.bucket import report_key
from components.operate.page import page
from components.operate.reports import read_reports
from components.operate.status import statuses
from loopback.browser import PACKAGES, browser, is_there
from loopback.bucket import REGION, LoopbackBucket
from loopback.exports import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from components.commands.objects.bucket import BucketWriter
    from components.operate.reports import Reported

MOST_S = 2.0
PLACE = {"kind": "s3", "bucket": "configs", "key": "machines/web.ign", "region": REGION}
CHANGED_S = 300.0


def measure(rounds: int) -> Row:
    """Each in one browser, which has been started before; the best and the worst of all rounds are among the raw."""
    if not is_there():
        raise BenchError(f"there is no browser: install {PACKAGES}")
    row = Row(title="the page of a stack")
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as window:
        for count, place in ((10, None), (10_000, None), (10_000, PLACE)):
            name, reading = f"{count}{' that report' if place else ''}", [0.0]

            def read(places: Mapping[str, BucketWriter], took: list[float] = reading) -> dict[str, Reported]:
                with reporting(Path(folder), list(places)):
                    began = time.monotonic()
                    found = read_reports(places)
                    took[0] = time.monotonic() - began
                if troubles := {report.trouble for report in found.values() if report.trouble}:
                    raise BenchError(f"not all reports were read: {troubles}")
                return found

            exported = fleet(count, place)
            began = time.monotonic()
            found, declares = statuses(exported, settings={}, notes={}, machines_dir=Path(folder), read=read)
            asked = time.monotonic()
            text = page("bench", found, declares, time.time())
            written = time.monotonic() - (asked if place else began)
            file = Path(folder, f"{name}.html")
            file.write_text(text, encoding="utf-8")
            opened = sorted(window.open(file) for _ in range(rounds))
            row.raw[name] = {"written": round(written, 2), "bytes": len(text), "usable": opened}
            if place:
                row.raw[name] |= {"read": round(reading[0], 2)}
                row.lines.append(
                    Line(
                        what=f"{count:,} reports, read from a bucket over TLS: {count / reading[0]:,.0f} a second",
                        ours=f"{reading[0]:.1f} s",
                    )
                )
            what = f"{count:,} machines{' that report' if place else ''}"
            row.lines.append(
                Line(
                    what=f"{what}: until it can be used; {len(text) / 1e6:.1f} MB, made in {written:.1f} s",
                    ours=f"{opened[len(opened) // 2]:.2f} s",
                    goal=f"≤ {MOST_S:.0f} s",
                    met=opened[len(opened) // 2] <= MOST_S,
                )
            )
    return row


@contextlib.contextmanager
def reporting(folder: Path, names: list[str]) -> Iterator[None]:
    """A bucket with the reports of these machines, which the providers' variables lead to."""
    bucket, wanted = LoopbackBucket(), "f" * 128
    for name, (state, why) in zip(names, reports_after(CHANGED_S, SCENARIOS[0], machines=len(names)), strict=True):
        said = {"machine": name, "state": state or "proven", "config_id": wanted if state else "0" * 128, "why": why}
        said |= {"running": wanted if state == "proven" else "0" * 128, "boot_id": "b", "os_version": "4593.2.1"}
        bucket.objects[f"/configs/{report_key(name)}"] = json.dumps(said).encode()
    certificate = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=bucket", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate,
         "-out", folder / "public.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + (folder / "public.pem").read_text())
    with bucket.running(certificate) as address:
        given = {"AWS_ENDPOINT_URL_S3": address, "AWS_CA_BUNDLE": str(folder / "public.pem")}
        given |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        with mock.patch.dict(os.environ, given):
            yield
