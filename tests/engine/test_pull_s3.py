"""The agent asks S3 with its instance's role: IMDSv2, then a request that AWS's own library signs in the same way.

Both are servers of this test on loopback; the machine's curl is led to them by a .curlrc.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cl.transpiler.ignition.checks import decode_data_url
from components.payload.agent import text_at
from components.settings.lifecycle import Lifecycle
from components.settings.pull import PullSettings
from loopback.machine import LoopbackMachine
from loopback.serving import serving_thread
from tests.conftest import missing
from tests.support.machine_configs import made_config

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

PROJECT = Path(__file__).parents[2]
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/with+signs=", "token//of+the=role")
ADDRESS = "s3://configs/machines/web.ign"
REPORT = "/reports/web.json"
HOST = "configs.s3.dualstack.eu-central-1.amazonaws.com"
METADATA = {
    "/latest/meta-data/placement/region": "eu-central-1",
    "/latest/meta-data/iam/security-credentials/": "web",
    "/latest/meta-data/iam/security-credentials/web": json.dumps(
        {
            "Code": "Success",
            "AccessKeyId": CREDENTIALS.access_key,
            "SecretAccessKey": CREDENTIALS.secret_key,
            "Token": CREDENTIALS.token,
        },
        indent=2,
    ),
}


class Aws(http.server.BaseHTTPRequestHandler):
    """Metadata with tokens alone, and for whom AWS's own signature is one object, and one place for reports."""

    content = "{}"
    asked: ClassVar[list[tuple[str, int]]]
    reports: ClassVar[list[dict[str, str]]]
    seen_in_process_list: ClassVar[list[str]]
    away = False

    def __init_subclass__(cls) -> None:
        cls.asked, cls.reports, cls.seen_in_process_list = [], [], []

    def do_PUT(self) -> None:
        if self.headers.get("Host") == HOST:
            self._look_at_processes()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_right = self.headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
            is_right = is_right and self.headers["Authorization"] == self._authorization()
            status = 503 if self.away else 200 if is_right and self.path == REPORT else 403
            self.asked.append((self.path, status))
            if status == 200:
                self.reports.append(json.loads(body))
            self._answer(status, "")
            return
        wanted = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if wanted else 400, "imds-token")

    def do_GET(self) -> None:
        if self.headers.get("Host") != HOST:
            ours = self.headers.get("X-aws-ec2-metadata-token") == "imds-token" and self.path in METADATA
            self._answer(200 if ours else 401, METADATA.get(self.path, ""))
            return
        self._look_at_processes()
        status = 403
        if self.headers["Authorization"] == self._authorization():
            status = 304 if self.headers.get("If-None-Match") == '"one"' else 200
        self.asked.append((self.path, status))
        self._answer(status, self.content if status == 200 else "")

    def _look_at_processes(self) -> None:
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.seen_in_process_list.append(line.read_text(errors="replace"))

    def _authorization(self) -> str:
        """What botocore makes of this request, at the time that it names."""
        signed = self.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} <= set(signed)
        headers = {name: self.headers[name] for name in signed if name not in ("x-amz-date", "x-amz-security-token")}
        request = AWSRequest(method=self.command, url=f"https://{HOST}{self.path}", headers=headers)
        auth = S3SigV4Auth(CREDENTIALS, "s3", "eu-central-1")
        request.context["timestamp"] = self.headers["x-amz-date"]
        request.headers["X-Amz-Date"] = self.headers["x-amz-date"]
        request.headers["X-Amz-Security-Token"] = CREDENTIALS.token
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}"
        )

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(handler: type[Aws], certificate: Path | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving_thread(server) as port:
        yield port


def own_certificate(folder: Path) -> Path:
    if shutil.which("openssl") is None:
        missing("openssl")
    made = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=aws",
         "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", made, "-out", folder / "public.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + (folder / "public.pem").read_text())
    return made


class OnEc2:
    """A machine that runs its config, and pulls: `look` is what its timer does."""

    def __init__(self, folder: Path, handler: type[Aws], settings: PullSettings) -> None:
        self.folder, self.handler, self.settings = folder, handler, settings
        (folder / "machine").mkdir()
        self.machine = LoopbackMachine(folder / "machine", "")
        self.machine.path("/run/boot_id").write_text("boot\n")
        self.machine.path("/boot/flatcar/first_boot").unlink()
        for path, content in files_of(self.object(0)).items():
            write(self.machine.path(path), content)
        write(self.machine.path("/run/flatcar-pull/tried"), b"")  # the proof of this boot is not what is shown here
        write(self.machine.path("/etc/os-release"), b"VERSION_ID=0\n")

    def object(self, generation: int) -> str:
        """Its object's text."""
        config = self.folder / "web.yaml"
        config.write_text("variant: flatcar\nversion: 1.0.0\n")
        arguments: dict[str, Any] = {
            "files_dir": self.folder, "platform": "aws", "strict": False, "lifecycle": Lifecycle.IGNORE,
            "pull": self.settings, "timeout": 5, "machine": "web", "generation": generation,
        }  # fmt: skip
        return text_at(made_config(config, **arguments).text, ADDRESS)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Its metadata service and its store."""
        certificate = own_certificate(self.folder)
        shutil.copy(self.folder / "public.pem", self.machine.path("/public.pem"))
        with serving(self.handler) as metadata, serving(self.handler, certificate) as store:
            self.machine.path("/.curlrc").write_text(
                f'connect-to = "169.254.169.254:80:127.0.0.1:{metadata}"\n'
                f'connect-to = "{HOST}:443:127.0.0.1:{store}"\ncacert = "/public.pem"\n'
            )
            yield

    def look(self) -> str:
        """The agent's words."""
        proxy = "http_proxy=http://127.0.0.1:1"  # as of a network with one: not the way to the metadata service
        return str(self.machine.inside(f"{proxy} bash /etc/flatcar/pull/pull.sh look").stderr)


def test_the_object_is_asked_for_with_the_role_and_nothing_of_it_shows(tmp_path: Path) -> None:
    class Handler(Aws):
        pass

    machine = OnEc2(tmp_path, Handler, PullSettings())
    Handler.content = machine.object(1)
    with machine.serving():
        said = [machine.look() for _ in range(2)]
    assert Handler.asked == [("/machines/web.ign", 200), ("/machines/web.ign", 304)], said
    assert "its lifecycle is ignore" in said[0]
    nothing_shows(Handler, said)


def test_reports_are_put_with_the_role_and_nothing_of_it_shows(tmp_path: Path) -> None:
    class Handler(Aws):
        pass

    machine = OnEc2(tmp_path, Handler, PullSettings(report="store"))
    Handler.content = machine.object(1)
    with machine.serving():
        said = [machine.look() for _ in range(2)]
    assert Handler.asked == [("/machines/web.ign", 200), (REPORT, 200), ("/machines/web.ign", 304)], said
    (report,) = Handler.reports
    assert (report["machine"], report["state"], report["why"]) == ("web", "waiting", "its lifecycle is ignore")
    assert report["running"] == machine.machine.text("/etc/flatcar/config-id").strip() != report["config_id"]
    nothing_shows(Handler, said)


def test_a_store_that_takes_no_report_stops_nothing_and_gets_it_at_the_next_look(tmp_path: Path) -> None:
    class Handler(Aws):
        away = True

    machine = OnEc2(tmp_path, Handler, PullSettings(report="store"))
    Handler.content = machine.object(1)
    with machine.serving():
        said = machine.look()
        assert "the report did not arrive (status 503); it is tried again with the next look" in said
        assert "its lifecycle is ignore" in said and not Handler.reports
        Handler.away = False
        machine.look()
        assert [report["state"] for report in Handler.reports] == ["waiting"]
        machine.look()
        assert len(Handler.reports) == 1


def test_an_agent_of_before_puts_no_report_anywhere(tmp_path: Path) -> None:
    """Its machine runs another config than one that reports to the store, and takes that one."""

    class Handler(Aws):
        pass

    machine = OnEc2(tmp_path, Handler, PullSettings())
    of_before = subprocess.run(
        ["sed", "s/report_options |/option url \"$REPORT\" |/", PROJECT / "components/scripts/pull.sh"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert b'$(option url "$REPORT" | curl' in of_before
    write(machine.machine.path("/etc/flatcar/pull/pull.sh"), of_before)
    machine.settings = PullSettings(report="store")
    Handler.content = machine.object(0)
    with machine.serving():
        said = machine.look()
    assert "the report did not arrive (status 000)" in said and "its lifecycle is ignore" in said
    assert Handler.asked == [("/machines/web.ign", 200)]


def nothing_shows(handler: type[Aws], said: list[str]) -> None:
    everything = "".join(handler.seen_in_process_list)
    assert "curl" in everything
    for secret in (CREDENTIALS.secret_key, CREDENTIALS.token, CREDENTIALS.access_key):
        assert secret not in everything
        assert secret not in "".join(said)
        assert secret not in json.dumps(handler.reports)


def files_of(text: str) -> dict[str, bytes]:
    return {
        file["path"]: decode_data_url(file["contents"]["source"], file["contents"].get("compression"))
        for file in json.loads(text)["storage"]["files"]
    }


def test_a_metadata_service_that_never_stops_talking_is_left(tmp_path: Path) -> None:
    """Where there is none, anyone of the network may answer at its address; the machine's memory is limited."""
    written: list[int] = []

    class Endless(Aws):
        def do_PUT(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while sum(written) < 1 << 30:
                    self.wfile.write(b"t" * 65536)
                    written.append(65536)

    folder = tmp_path / "machine"
    folder.mkdir()
    machine = LoopbackMachine(folder, "")
    machine.path("/run/boot_id").write_text("boot\n")
    write(machine.path("/pull-object.sh"), (PROJECT / "components/scripts/pull-object.sh").read_bytes())
    with serving(Endless) as metadata:
        machine.path("/.curlrc").write_text(f'connect-to = "169.254.169.254:80:127.0.0.1:{metadata}"\n')
        asked = machine.inside(f"set -o pipefail; . /pull-object.sh; s3_options {ADDRESS}; echo code=$?")
    assert asked.stdout == "code=1\n"
    assert 0 < sum(written) < 1 << 26


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
