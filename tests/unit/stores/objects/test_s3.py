"""What stands in requests to S3."""

from __future__ import annotations

import base64
import hashlib

from pgsnap.stores.opening import open_store
from support.servers.object_server import ObjectServer, Seen
from support.servers.object_stores import QUICK, aws_environ

DATA = b"some data" * 1000


def put(url: str) -> Seen:
    with ObjectServer() as server:
        open_store(url, aws_environ(server.endpoint), pace=QUICK).put("packs/one", DATA)
        return server.seen[-1]


def test_the_body_is_signed_and_a_checksum_for_locked_objects_is_sent_if_asked_for() -> None:
    digest = hashlib.sha256(DATA)
    seen = put("s3://bucket/p?checksum=sha256")
    assert seen.headers["x-amz-content-sha256"] == digest.hexdigest()
    sent = seen.headers["x-amz-checksum-sha256"]
    assert base64.b64decode(sent) == digest.digest()
    seen = put("s3://bucket/p")
    assert seen.headers["x-amz-content-sha256"] == digest.hexdigest()
    assert "x-amz-checksum-sha256" not in seen.headers
