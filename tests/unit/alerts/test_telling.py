from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pgsnap import extras
from pgsnap.alerts.metrics import Metric, metrics_text, write_metrics
from pgsnap.alerts.telling import Alerts, Event, Message, ping, tell
from support.servers.listener import Listener


def message(event: Event, job: str = "commit") -> Message:
    return Message(event, job, "a title", "exit code: 30\nerror: no", {"exit_code": 30})


def test_metrics_are_in_prometheus_format_with_labels_escaped() -> None:
    odd = 'a "b"\\c\nd'
    metrics = [
        Metric("bytes", "Of a\nfile.", [({"database": odd}, 3.0), ({"database": "ü"}, 0.5)]),
        Metric("nothing", "Nothing.", []),
        Metric("total", "All.", [({}, 2.0**40)]),
    ]
    assert metrics_text(metrics) == (
        "# HELP snap_bytes Of a\\nfile.\n"
        "# TYPE snap_bytes gauge\n"
        'snap_bytes{database="a \\"b\\"\\\\c\\nd"} 3\n'
        'snap_bytes{database="ü"} 0.5\n'
        "# HELP snap_total All.\n"
        "# TYPE snap_total gauge\n"
        "snap_total 1099511627776\n"
    )


def test_metrics_replace_their_file_at_once_and_can_be_read_by_the_collector(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a" / "snap.prom"
    write_metrics(path, [Metric("x", "X.", [({}, 1)])])
    before = path.stat().st_ino
    write_metrics(path, [Metric("x", "X.", [({}, 2)])])
    assert path.read_text().endswith("snap_x 2\n")
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in path.parent.iterdir()] == ["snap.prom"]


def test_a_ping_goes_to_the_url_of_its_job_for_start_success_and_failure() -> None:
    with Listener() as listener:
        alerts = Alerts(ping_urls={"commit": listener.url("/u?k=1")})
        for event in (Event.START, Event.SUCCESS, Event.FAILURE):
            assert ping(alerts, message(event)) == []
        assert ping(alerts, message(Event.SUCCESS, job="gc")) == []
    assert [one.path for one in listener.requests] == ["/u/start?k=1", "/u?k=1", "/u/fail?k=1"]
    assert b"error: no" in listener.requests[2].body


def test_a_webhook_gets_json_for_the_events_that_are_wanted() -> None:
    with Listener(codes=[503, 200]) as listener:
        alerts = Alerts(webhook=listener.url("/hook"))
        assert tell(alerts, message(Event.SUCCESS)) == []
        assert tell(alerts, message(Event.FAILURE)) == []
    # The first answer was 503, so it was sent again.
    assert [json.loads(one.body) for one in listener.requests] == [
        {"event": "failure", "text": "a title", "exit_code": 30}
    ] * 2


def test_what_cannot_be_told_is_a_warning_without_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Listener(codes=[404]) as listener:
        alerts = Alerts(webhook=listener.url("/s3cret"))
        assert tell(alerts, message(Event.RED)) == [
            "the webhook to 127.0.0.1 failed: the answer was 404"
        ]
        closed = listener.url("/s3cret")
    assert len(listener.requests) == 1
    (warning,) = ping(Alerts(ping_urls={"commit": closed}), message(Event.START))
    assert warning.startswith("the ping to 127.0.0.1 failed: ")
    assert "s3cret" not in repr(alerts)
    monkeypatch.setitem(sys.modules, "apprise", None)
    (missing,) = tell(Alerts(apprise=("mailto://x",)), message(Event.FAILURE))
    assert extras.hint("notify") in missing


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_on_the_same_host_gets_the_whole_message(code: int) -> None:
    with Listener([code], location="/new?k=1") as listener:
        assert tell(Alerts(webhook=listener.url("/old")), message(Event.FAILURE)) == []
    assert [(one.method, one.path) for one in listener.requests] == [
        ("POST", "/old"),
        ("POST", "/new?k=1"),
    ]
    assert json.loads(listener.requests[1].body)["event"] == "failure"


@pytest.mark.parametrize(
    ("code", "location", "why"),
    [
        (302, "http://localhost:1/other", "another address"),
        (301, "ftp://127.0.0.1/x", "another address"),
        (303, "/seen", "the answer was 303"),
    ],
)
def test_a_redirect_elsewhere_is_a_warning(code: int, location: str, why: str) -> None:
    with Listener([code] * 9, location=location) as listener:
        (warning,) = tell(Alerts(webhook=listener.url("/s3cret")), message(Event.FAILURE))
    assert why in warning
    assert "s3cret" not in warning
    assert len(listener.requests) == 1


def test_redirects_in_a_circle_end_as_a_warning() -> None:
    with Listener([302] * 99, location="/again") as listener:
        (warning,) = tell(Alerts(webhook=listener.url("/hook")), message(Event.FAILURE))
    assert "without end" in warning


@pytest.mark.timeout(30)
def test_an_endpoint_that_answers_byte_by_byte_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgsnap.alerts.post.LIMIT_SECONDS", 1.0)
    with Listener(pause=0.5) as listener:
        (warning,) = tell(Alerts(webhook=listener.url("/hook")), message(Event.FAILURE))
    assert "no answer within 1 seconds" in warning
