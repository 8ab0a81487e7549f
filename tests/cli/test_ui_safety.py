"""`snap ui`: who can read the page, and who cannot."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pgsnap import extras
from pgsnap.web.pages.routes import PAGES
from pgsnap.web.records.beside import BESIDE
from support.repositories.made import UNPRIVILEGED, in_child
from support.running.commandline import CommandLine
from support.running.page import Page, served

# What nobody without a session may see: a label and a message of the repository.
_SECRETS = ("shop", "version 1")
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"


@pytest.fixture
def page(snap: CommandLine, repository: Path) -> Iterator[Page]:
    with served(snap, "--no-browser") as running:
        yield running


def test_nothing_can_be_read_or_done_without_the_token_which_is_good_once(page: Page) -> None:
    addresses = [*PAGES, *BESIDE, "/actions", "/actions/forget?snapshot=latest", "/jobs/1"]
    # A path is matched by several parts of the server, which must not differ about it.
    addresses += ["/jobs/1/events", "/jobs/1/events%0A", "/static/a/b", "/static/", "/session/"]
    for address in addresses:
        empty = page.ask(address)
        assert (empty.status, empty.text) == (200, page.ask("/nothing").text), address
        assert not [word for word in _SECRETS if word in empty.text]
        # A guess, and the token where only a session's value is good.
        for value in ("guess", page.token, ""):
            assert page.ask(address, X_Snap_Session=value).status == 403
    for address in ("/actions/forget", "/jobs/1/answer", "/jobs/1/stop", "/"):
        assert page.send(address, snapshot="latest").status == 403
    for wrong in ("", page.token[:-1], page.token + "A", "é"):
        assert page.ask("/session", "POST", X_Snap_Token=wrong).status == 403
    # Not from an address, which lies in histories, nor by GET.
    assert page.ask(f"/session?token={page.token}", "POST").status == 403
    assert page.ask("/session", X_Snap_Token=page.token).status == 200
    page.begin()
    assert "shop" in page.ask("/").text
    assert page.ask("/session", "POST", X_Snap_Token=page.token).status == 403
    assert "shop" in page.ask("/").text


def test_connections_without_a_request_take_neither_descriptors_nor_the_page(page: Page) -> None:
    """Every user of the host can connect, and a restore needs descriptors."""
    folder = Path(f"/proc/{page.process.pid}/fd")
    before = len(list(folder.iterdir()))
    host, _, port = page.host.partition(":")
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(250)
        ]
        whole = f"GET /static/icon.svg HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode()
        for number, one in enumerate(held):
            with suppress(OSError):
                one.send(whole * (number % 2) + b"GET / HTTP/1.1\r\nHost: ")
        for one in held:
            one.settimeout(60)
            # 128 may stay; up to four times 32 more were accepted and not looked at yet.
            assert len(list(folder.iterdir())) < before + 128 + 4 * 32 + 10
            with suppress(ConnectionResetError):
                while one.recv(65536):
                    pass
        # While they are still held by their clients.
        page.begin()
        assert "shop" in page.ask("/").text


def test_another_site_and_another_name_get_nothing_even_with_the_session(page: Page) -> None:
    page.begin()
    port = page.host.partition(":")[2]
    # A name that an attacker's name server says is 127.0.0.1 is still the attacker's.
    for host in ("evil.example", f"evil.example:{port}", f"localhost:{port}", "127.0.0.1", ""):
        for method in ("GET", "POST"):
            refused = page.ask("/", method, Host=host)
            assert refused.status == 421, host
            assert "shop" not in refused.text
    for origin in ("http://evil.example", "null", f"http://localhost:{port}", "http://127.0.0.1:1"):
        assert page.ask("/", Origin=origin).status == 403
        assert page.ask("/actions/forget", "POST", Origin=origin).status == 403
    for site in ("cross-site", "same-site"):
        assert page.ask("/", Sec_Fetch_Site=site).status == 403
    own = {"Origin": f"http://{page.host}", "Sec_Fetch_Site": "same-origin"}
    assert page.ask("/", **own).status == 200
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert page.ask("/actions/forget", method).status == 405
    # What a form of another site can send without being asked for permission is no form here.
    plain = page.ask("/actions/tag", "POST", "name=x&snapshot=latest", Content_Type="text/plain")
    assert plain.status == 400
    assert page.ask("/", X_Forwarded_Host="evil.example", X_Forwarded_For="1.2.3.4").status == 200


def test_every_answer_has_the_headers_that_keep_scripts_and_frames_out(page: Page) -> None:
    page.begin()
    answers = [
        page.ask(address)
        for address in ("/", "/nothing", "/static/page.js", "/static/../app.py", "/jobs/1")
    ]
    answers += [page.ask("/", Host="evil.example"), page.ask("/", Origin="null")]
    for answer in answers:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        assert headers["content-security-policy"].startswith(_POLICY)
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert not {"set-cookie", "access-control-allow-origin", "server"} & set(headers)
    for address in ("/", "/actions/restore", "/audit", "/search?q=shop"):
        text = page.ask(address).text
        assert "http://" not in text
        assert "https://" not in text
        assert " style=" not in text
        assert "<script" not in text
        assert " onclick" not in text
    assert page.ask("/static/..%2fapp.py").status == 404


def test_the_token_is_in_no_process_list_and_no_file_but_one_that_only_the_user_can_read(
    snap: CommandLine, repository: Path, tmp_path: Path
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!{sys.executable}\nimport sys\nopen("{seen}", "a").write(sys.argv[1])\n')
    browser.chmod(0o755)
    snap.setenv("XDG_RUNTIME_DIR", str(runtime))
    snap.setenv("BROWSER", f"{browser} %s")
    with served(snap) as page:
        (file,) = runtime.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert page.url in file.read_text()
        assert seen.read_text() == file.as_uri()
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    text = (process / name).read_bytes()
                except OSError:
                    continue
                assert page.token.encode() not in text
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(timeout=60) == 0
    assert not list(runtime.iterdir())
    log = snap.ok("audit", "--json").out
    assert '"ui"' in log
    assert page.token not in log


def test_a_socket_is_for_its_user_alone_and_a_left_one_is_replaced(
    snap: CommandLine, repository: Path
) -> None:
    # A path that a socket may have is short.
    where = Path(os.path.relpath(snap.work / "s"))
    with served(snap, "--socket", str(where)) as page:
        assert page.socket is not None
        assert stat.S_IMODE(page.socket.stat().st_mode) == 0o600
        page.begin()
        assert "shop" in page.ask("/").text
        assert page.ask("/", Host="evil.example").status == 421
        assert page.ask("/", Origin="http://evil.example").status == 403
        assert snap("ui", "--socket", str(where)).code == 2
        if os.geteuid() == 0:
            snap.folder.chmod(0o755)

            def connect() -> None:
                with pytest.raises(PermissionError):
                    socket.socket(socket.AF_UNIX).connect(str(page.socket))

            assert in_child(connect, user=UNPRIVILEGED) == 0
        page.process.kill()
        page.process.wait(timeout=60)
        assert page.socket.exists()
    with served(snap, "--socket", str(where)) as again:
        again.begin()
        assert again.ask("/").status == 200
    assert not page.socket.exists()
    where.write_text("mine")
    refused = snap("ui", "--socket", str(where))
    assert (refused.code, where.read_text()) == (2, "mine")


def test_read_only_has_no_action_at_any_address(snap: CommandLine, repository: Path) -> None:
    with served(snap, "--no-browser", "--read-only") as page:
        page.begin()
        assert "/actions" not in page.ask("/").text
        for address in ("/actions", "/actions/forget", "/jobs/1", "/jobs/1/events"):
            assert page.ask(address).status == 404
            assert page.send(address, snapshot="latest").status == 405
        for address in (*PAGES, *BESIDE):
            assert "/actions/" not in page.ask(address).text


def test_what_it_cannot_begin_with_is_named(
    snap: CommandLine, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = snap("ui", "--no-browser", "--json", "--port", str(taken.getsockname()[1]))
    assert (refused.code, refused.error["kind"]) == (1, "cannot-listen")
    assert refused.error["hint"]
    assert snap("ui", "--port", "1", "--socket", "s").code == 2
    assert snap("ui", "--repo", "nowhere").code == 10
    monkeypatch.setattr("pgsnap.cli.commands.ui.find_spec", lambda name: None)
    refused = snap("ui", "--json")
    assert refused.code == 2
    assert refused.error["hint"] == extras.hint("ui")
