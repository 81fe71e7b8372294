"""What the world does to a machine that pulls: stores, caches, clocks and locks gone wrong, and power cuts.

On a loopback machine, as in `test_pull`. After each fault the machine takes the next good config.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from components.payload.agent import text_at
from components.payload.machine_config import pointer
from loopback.machine import wait_until
from tests.engine.pull_lab import Pulled, pulled_machine
from tests.fakes.fleetlock import FleetLock

pytestmark = pytest.mark.engine

ALWAYS = ((0, 10080),)
AGENT = "/etc/flatcar/pull"
STATE = "/oem/.flatcar-pull"
RUN = "/run/flatcar-pull"
WAY_BACK = "/oem/.flatcar-reprovision"
EACH = 9
"""Of so many commands of the agent, one is tried as its last."""


@pytest.fixture
def pulled(tmp_path: Path) -> Iterator[Pulled]:
    with pulled_machine(tmp_path) as made:
        yield made


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer of one's own to who asks for the object."""

    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        to.send_response_only(status)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in headers:
            to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)

    return answer


def is_untouched(pulled: Pulled) -> bool:
    return pulled.machine.boots == 1 and not pulled.machine.path("/boot/flatcar/first_boot").exists()


def takes(pulled: Pulled, wanted: str) -> None:
    """The next look takes the object, all is proven, and no lock is left."""
    pulled.look()
    pulled.wait_for("proven", wanted)
    assert pulled.stamp() == wanted
    wait_until(lambda: not pulled.machine.text(f"{STATE}/locks"))
    assert pulled.lock.holders.get("default", []) == []


# ---- the store


def test_an_object_that_was_damaged_on_the_way_is_asked_for_again(pulled: Pulled) -> None:
    wanted = pulled.publish("b")
    content = pulled.store.content
    etag = f'"{hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()}"'
    pulled.store.instead = answering(200, content.replace("only-b", "only-c").encode(), ETag=etag)
    pulled.look()
    assert "damaged" in pulled.store.reports[-1]["why"]
    assert is_untouched(pulled)
    pulled.store.instead = None
    takes(pulled, wanted)


def test_an_object_of_another_machine_is_refused(pulled: Pulled) -> None:
    own = pulled.source
    pulled.source = f"{pulled.address}/db.ign"
    pulled.publish("b")
    pulled.look()
    assert pulled.store.reports[-1]["why"] == "the object was made for another address: it is another machine's"
    assert is_untouched(pulled)
    pulled.source = own
    takes(pulled, pulled.publish("b"))


def test_the_etag_of_a_redirect_is_not_the_objects(pulled: Pulled) -> None:
    def redirecting(to: http.server.BaseHTTPRequestHandler) -> None:
        if to.path == "/behind":
            answering(200, pulled.store.content.encode())(to)
        elif to.headers.get("If-None-Match"):
            answering(304)(to)
        else:
            answering(302, ETag='"of the redirect"', Location=f"{pulled.address}/behind")(to)

    pulled.store.instead = redirecting
    pulled.machine.path(f"{STATE}/etag").unlink()
    assert pulled.look() == ""
    takes(pulled, pulled.publish("b"))


def test_a_redirect_to_another_protocol_is_not_followed(pulled: Pulled) -> None:
    pulled.store.instead = answering(302, Location="ftp://127.0.0.1:1/web.ign")
    assert "can't be had: curl: (1) Protocol" in pulled.look()
    assert is_untouched(pulled)


@pytest.mark.parametrize("told", [True, False], ids=["told before", "not told"])
def test_an_object_that_is_larger_than_the_disk_is_not_written_to_its_end(pulled: Pulled, told: bool) -> None:
    pulled.machine.path("/run/small-oem").write_text("512k")
    sent = []

    def endless(to: http.server.BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        if told:
            to.send_header("Content-Length", str(1 << 40))
        to.end_headers()
        for _ in range(200):
            to.wfile.write(b" " * 65536)
            sent.append(65536)

    pulled.store.instead = endless
    said = pulled.look()
    assert re.search(r"can't be had: the object is longer than [34]\d{5} bytes: more than fits on /oem", said), said
    assert sum(sent) < 200 * 65536, "the rest was not waited for"
    assert is_untouched(pulled)


def test_a_full_oem_partition_is_told(pulled: Pulled) -> None:
    pulled.machine.path("/run/full-oem").touch()
    assert "/oem has 0 bytes free: too few for the object" in pulled.look()
    pulled.machine.path("/run/full-oem").unlink()
    takes(pulled, pulled.publish("b"))


def test_a_store_that_hangs_is_left_and_a_store_that_fails_is_reported_when_it_does_so_twice(pulled: Pulled) -> None:
    script = pulled.machine.path(f"{AGENT}/pull-object.sh")
    script.write_text(script.read_text().replace("--max-time 300", "--max-time 1"))  # 300 s are long for a test
    end = threading.Event()
    pulled.store.instead = lambda _: (end.wait(30), None)[1]
    assert "can't be had: curl: (28)" in pulled.look()
    end.set()
    assert pulled.store.states == ["proven"], "once may be an accident"
    pulled.store.instead = answering(403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>...")
    pulled.look()
    assert pulled.store.states == ["proven", "no-object"]
    assert pulled.store.reports[-1]["why"] == "the store answers with status 403 (RequestTimeTooSkewed)"
    pulled.store.instead = None
    pulled.look()
    assert pulled.store.states == ["proven", "no-object", "proven"]
    assert is_untouched(pulled)


def test_an_object_at_an_ipv6_address(tmp_path: Path) -> None:
    with pulled_machine(tmp_path, address="::1") as pulled:
        takes(pulled, pulled.publish("b"))


def test_a_pointer_that_never_stops_is_another_config(pulled: Pulled) -> None:
    """What Ignition would fetch is checked before anything is staged, and read no further than the object is long."""
    sent: list[int] = []

    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        if not sent and (content := pulled.store.content):
            answering(200, content.encode())(to)
            sent.append(len(content))
            return
        to.send_response(200)
        to.end_headers()
        while sum(sent) < 1 << 30:
            to.wfile.write(b" " * 65536)
            sent.append(65536)

    wanted = pulled.publish("b")
    pulled.store.instead = answer
    pulled.look()
    assert pulled.reports("refused", wanted)
    assert pulled.store.reports[-1]["why"].endswith("serves another config than the wanted one")
    assert sum(sent) < 1 << 26, "the rest was not waited for"
    assert is_untouched(pulled)
    pulled.store.instead = None
    takes(pulled, wanted)


# ---- clocks


@pytest.mark.parametrize(("hours", "words"), [(2, "s behind the store's"), (-2, "s ahead of the store's")])
def test_a_window_is_not_kept_by_a_clock_that_is_wrong(pulled: Pulled, hours: int, words: str) -> None:
    inside = replace(pulled.settings, windows=ALWAYS)
    wanted = pulled.publish("b", pull=inside)

    def at(seconds: float, **headers: str) -> None:
        date = formatdate(time.time() + seconds, usegmt=True)
        pulled.store.instead = answering(200, pulled.store.content.encode(), Date=date, **headers)

    at(hours * 3600)
    said = pulled.look()
    assert pulled.reports("waiting", wanted), said
    assert words in pulled.store.reports[-1]["why"]
    assert is_untouched(pulled)
    if hours < 0:  # a cache on the way has kept the answer
        at(hours * 3600, Age=str(-hours * 3600))
    else:  # without a window no clock is needed
        assert pulled.publish("b") == wanted
        at(hours * 3600)
    pulled.look()
    pulled.store.instead = None
    pulled.wait_for("proven", wanted)


@pytest.mark.parametrize("told", [True, False], ids=["the store's time", "this machine's"])
def test_an_object_with_a_date_to_come_freezes_nothing(pulled: Pulled, told: bool) -> None:
    def at(written: float) -> None:
        headers = {"Last-Modified": formatdate(written, usegmt=True)}
        if told:
            headers["Date"] = formatdate(time.time(), usegmt=True)
        pulled.store.instead = answering(200, pulled.store.content.encode(), **headers)

    dated = pulled.publish("b")
    at(4_070_908_800)  # 2099
    takes(pulled, dated)
    wanted = pulled.publish("c")
    at(time.time() - 60)
    takes(pulled, wanted)
    pulled.publish("d")
    at(time.time() - 3600)
    pulled.look()
    assert "before the one that this machine runs" in pulled.store.reports[-1]["why"], "a stale cache still is none"


def test_a_machine_that_a_date_to_come_has_frozen_goes_on(pulled: Pulled) -> None:
    pulled.machine.path(f"{STATE}/proven").write_text(f"{pulled.stamp()}\n4070908800\n")
    etag = pulled.machine.path(f"{STATE}/etag")
    etag.write_text(f"{etag.read_text().splitlines()[0]}\n4070908800\n")
    pulled.look()
    takes(pulled, pulled.publish("b"))


# ---- locks


def test_a_lock_server_that_never_stops_talking_fills_nothing(pulled: Pulled) -> None:
    written: list[int] = []

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while sum(written) < 1 << 30:
                    self.wfile.write(b" " * 65536)
                    written.append(65536)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lock = f"http://127.0.0.1:{server.server_address[1]}"
        wanted = pulled.publish("b", pull=replace(pulled.settings, lock=lock))
        pulled.look()
        server.shutdown()
    assert pulled.reports("waiting", wanted)
    assert pulled.machine.path(f"{RUN}/fleetlock").stat().st_size <= 65536
    assert sum(written) < 1 << 26, "the rest was not waited for"
    assert is_untouched(pulled)
    assert pulled.publish("b") == wanted
    pulled.look()
    pulled.wait_for("proven", wanted)


@pytest.mark.parametrize("status", [302, 307])
def test_reports_and_locks_follow_no_redirect(pulled: Pulled, status: int) -> None:
    """An answer that names another place is none: what was to be said was not heard."""
    went: list[tuple[str, str]] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            went.append((self.command, self.path))
            self.send_response(status if not self.path.startswith("/elsewhere") else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST = do_GET = _answer  # noqa: N815 # http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}"
        settings = replace(pulled.settings, lock=place, report=f"{place}/status/web")
        pulled.publish("b", pull=settings)
        said = pulled.look()
        server.shutdown()
    assert f"is not to be had: status {status}" in said
    assert f"the report did not arrive (status {status})" in said
    assert {path for _, path in went} == {"/v1/pre-reboot", "/v1/steady-state", "/status/web"}
    assert is_untouched(pulled)


def test_a_lock_that_was_got_without_a_word_is_given_back_also_after_another_was_named(pulled: Pulled) -> None:
    mute = FleetLock(is_mute=True)
    with mute.running() as address:
        wanted = pulled.publish("b", pull=replace(pulled.settings, lock=address))
        pulled.look()
        assert pulled.reports("waiting", wanted)
        assert "does not answer" in pulled.store.reports[-1]["why"]
        assert len(mute.holders["default"]) == 1
        assert pulled.publish("b") == wanted
        pulled.look()
        pulled.wait_for("proven", wanted)
        assert pulled.lock.holders == {"default": []}
        assert len(mute.holders["default"]) == 1
        mute.is_mute = False
        pulled.look()
        assert mute.holders == {"default": []}
        assert pulled.machine.text(f"{STATE}/locks") == ""


def test_a_lock_server_may_say_no_in_words_of_its_own(pulled: Pulled) -> None:
    pulled.lock.refuses = (409, {"kind": "lock_held", "value": "held by web-2"})
    wanted = pulled.publish("b")
    pulled.look()
    assert pulled.reports("waiting", wanted)
    assert pulled.store.reports[-1]["why"].endswith("is not to be had: held by web-2")
    assert [step for step, _, _ in pulled.lock.log] == ["pre-reboot", "steady-state"]
    assert is_untouched(pulled)
    pulled.lock.refuses = None
    takes(pulled, wanted)


def test_a_lock_held_by_this_machine_from_before_a_power_cut_is_no_obstacle_and_is_given_back(pulled: Pulled) -> None:
    identity = pulled.machine.inside("systemd-id128 machine-id --app-specific=x").stdout.strip()
    pulled.lock.holders["default"] = [identity]
    pulled.machine.path(f"{STATE}/locks").write_text(f"default {pulled.settings.lock}\n")
    pulled.look()
    assert pulled.lock.holders == {"default": []}, "there is nothing to take"
    pulled.lock.holders["default"] = [identity]
    takes(pulled, pulled.publish("b"))


def test_a_password_in_an_address_is_never_told(pulled: Pulled) -> None:
    secret = pulled.settings.lock.replace("//", "//agent:hunter2@")
    pulled.lock.holders["default"] = ["another machine"]
    pulled.publish("b", pull=replace(pulled.settings, lock=secret))
    said = pulled.look()
    assert "the lock at http://127.0.0.1" in pulled.store.reports[-1]["why"]
    assert "hunter2" not in said + json.dumps(pulled.store.reports)


# ---- power cuts, and more than one agent


def cut(pulled: Pulled, verb: str, command: int) -> bool:
    """Run the agent and kill it before its command of that number; whether it was killed."""
    script = f"number=0; trap '((++number == {command})) && kill -9 $$' DEBUG; set -T; . {AGENT}/pull.sh {verb}"
    # what it had started may still be there, and hold its lock
    return pulled.machine.inside(f"flock {RUN}/agent true; bash -c {shlex.quote(script)}").returncode != 0


def test_killed_anywhere_a_look_goes_on_from_there(pulled: Pulled) -> None:
    def cut_everywhere() -> int:
        command = 1
        while cut(pulled, "look", command):
            assert is_untouched(pulled)
            assert pulled.machine.text(f"{STATE}/proven").splitlines()[0] == pulled.stamp()
            command += EACH
        return command

    never = replace(pulled.settings, windows=((0, 0),))
    wanted = pulled.publish("b", pull=never)
    to_the_window = cut_everywhere()
    assert pulled.reports("waiting", wanted)
    pulled.lock.holders["default"] = ["another machine"]
    assert pulled.publish("b") == wanted
    assert not pulled.lock.log
    assert min(to_the_window, cut_everywhere()) > 100
    assert pulled.lock.log, "the second one got to the lock"
    assert pulled.reports("waiting", wanted)
    pulled.lock.holders["default"] = []
    takes(pulled, wanted)
    assert pulled.store.states.count("staging") == 1


def test_killed_anywhere_a_proof_is_made_again(pulled: Pulled) -> None:
    def noted() -> tuple[str, str]:
        return pulled.machine.text(f"{STATE}/proven"), pulled.machine.text(f"{WAY_BACK}/last-good")

    wait_until(pulled.machine.path(f"{RUN}/tried").exists)
    proven, command = noted(), 1

    def forget() -> None:
        for path in (f"{RUN}/tried", f"{STATE}/proven", f"{WAY_BACK}/last-good"):
            pulled.machine.path(path).unlink()

    while True:
        forget()
        if not cut(pulled, "prove", command):
            break
        pulled.machine.inside(f"flock {RUN}/agent true; bash {AGENT}/pull.sh prove")
        assert noted() == proven
        assert pulled.machine.path(f"{RUN}/tried").exists()
        command += EACH
    assert command > 100
    takes(pulled, pulled.publish("b"))


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "no reboot to be had"])
def test_a_re_run_that_did_not_get_to_its_reboot_is_unstaged_and_staged_again(pulled: Pulled, killed: bool) -> None:
    program = pulled.machine.path("/run/bin/systemd-run")
    whole = program.read_text()
    program.write_text("#!/bin/bash\n" + ("kill -9 $(cat /run/agent)\n" if killed else "") + "exit 1\n")
    wanted = pulled.publish("b")
    pulled.machine.inside(f"echo $$ >/run/agent; exec bash {AGENT}/pull.sh look")
    assert pulled.reports("staging" if killed else "refused", wanted)
    assert pulled.machine.path("/boot/flatcar/first_boot").exists() == killed
    assert len(pulled.lock.holders["default"]) == killed
    program.write_text(whole)
    takes(pulled, wanted)
    assert pulled.machine.boots == 2


def test_two_agents_at_once_stage_once(pulled: Pulled) -> None:
    wanted = pulled.publish("b", pull=replace(pulled.settings, jitter=2))
    pulled.machine.inside(f"flock {RUN}/agent true")
    looks = [threading.Thread(target=pulled.machine.inside, args=(f"bash {AGENT}/pull.sh look",)) for _ in range(3)]
    for thread in looks:
        thread.start()
    for thread in looks:
        thread.join()
    pulled.wait_for("proven", wanted)
    assert pulled.store.states.count("staging") == 1
    assert pulled.machine.boots == 2


# ---- other agents, other ways


def test_a_config_whose_agent_is_another_is_taken_by_the_one_that_runs(pulled: Pulled) -> None:
    """Settings that this agent does not know, and none for some that it does."""
    config = pulled.config("b")
    document = json.loads(config.text)
    for file in document["storage"]["files"]:
        if file["path"] == f"{AGENT}/settings":
            text = pulled.machine.text(f"{AGENT}/settings")
            kept = "".join(
                f"{line}\n" for line in text.splitlines() if not line.startswith(("JITTER", "LOCK", "KINDS"))
            )
            changed = base64.b64encode(f"{kept}SOMETHING_NEW=(a 'b c')\n".encode())
            file["contents"]["source"] = f"data:;base64,{changed.decode()}"
    text = text_at(json.dumps(document, separators=(",", ":"), ensure_ascii=False), pulled.source)
    pulled.store.put(text)
    said = pulled.look()
    assert "unbound" not in said
    assert f"staging {config.config_id[:12]}" in said


def test_a_host_that_pulls_goes_back_and_has_its_pointer_again(tmp_path: Path) -> None:
    with pulled_machine(tmp_path, platform="metal", allow=["login"]) as pulled:
        own = pulled.machine.path("/oem/config.ign")
        own.write_text(pointer(pulled.source))
        sick = pulled.publish("sick", platform="metal")
        pulled.look()
        pulled.wait_for("went-back", sick)
        assert own.read_text() == pointer(pulled.source)
        takes(pulled, pulled.publish("b", platform="metal"))
        assert own.read_text() == pointer(pulled.source)
        assert own.stat().st_mode & 0o777 == 0o600


def test_a_machine_belongs_to_whoever_writes_its_object_and_no_waiting_update_of_the_os_is_taken(
    pulled: Pulled,
) -> None:
    machine = pulled.machine
    machine.path("/oem/.flatcar-owner").write_text("acme/flatcar/old/web\n")
    client = machine.path("/run/bin/update_engine_client")
    client.write_text("#!/bin/bash\necho CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT\necho NEW_VERSION=0.0.2\n")
    client.chmod(0o755)
    wanted = pulled.publish("b", health=[], os_update="refuse", owner="acme/flatcar/new/web")
    pulled.look()
    assert pulled.reports("refused", wanted)
    assert "an update of the OS to 0.0.2 waits for the reboot" in pulled.store.reports[-1]["why"]
    assert is_untouched(pulled)
    client.unlink()
    takes(pulled, wanted)
    assert machine.text("/oem/.flatcar-owner") == "acme/flatcar/new/web\n"


def test_an_object_that_is_swapped_after_it_was_staged_is_not_proven(pulled: Pulled) -> None:
    good, wanted = pulled.stamp(), pulled.publish("b")
    pulled.machine.hangs_on_shutdown = 1
    pulled.look()
    pulled.store.put(pulled.store.content.replace("/etc/only-b", "/etc/only-x"))
    pulled.wait_for("went-back", wanted)
    assert pulled.stamp() == good
    why = [report["why"] for report in pulled.store.reports if report["state"] == "not-proven"]
    assert why[0].startswith("Ignition ran another object than the one that was staged: ")


def test_a_machine_that_goes_down_while_it_proves_itself_goes_on_in_the_next_boot(pulled: Pulled) -> None:
    machine, wanted = pulled.machine, pulled.stamp()
    wait_until(machine.path(f"{RUN}/tried").exists)  # it is proven a moment before
    machine.path(f"{RUN}/tried").unlink()
    for note in (f"{STATE}/proven", f"{WAY_BACK}/last-good"):
        _, *rest = machine.text(note).splitlines()
        machine.path(note).write_text("\n".join(["another", *rest, ""]))
    machine.path("/run/system-state").write_text("stopping\n")
    machine.inside(f"bash {AGENT}/pull.sh prove")
    assert not machine.path("/run/flatcar-going-back").exists()
    assert not machine.path("/oem/config.ign").exists()
    machine.path("/run/system-state").write_text("running\n")
    machine.inside("systemctl reboot")
    wait_until(lambda: machine.boots == 2 and machine.text(f"{STATE}/proven").startswith(wanted))
    assert "going-back" not in " ".join(pulled.history())
