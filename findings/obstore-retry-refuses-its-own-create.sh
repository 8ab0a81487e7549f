#!/usr/bin/env bash
# obstore repeats a put with mode="create" whose answer was lost. If the server had stored the object,
# the second attempt is refused because of the first, and the caller gets AlreadyExistsError, as if the
# object were another's, for what it wrote itself. With retries off the same loss is a GenericError,
# which claims no such thing.
set -eu
version=0.12.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
pip() { python3 -m pip --disable-pip-version-check install -q "$@"; }
PIP_ROOT_USER_ACTION=ignore pip --target wheel "obstore==$version"
cat >shown.py <<'PYTHON'
import http.server, socket, sys, threading
from importlib.metadata import version

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

stored, requests = {}, []


class Server(http.server.BaseHTTPRequestHandler):
    """Honours If-None-Match: *, but drops the connection in place of its first answer for a key."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        first = not any(path == self.path for path, _, _ in requests)
        status = 412 if self.path in stored and self.headers["If-None-Match"] == "*" else 200
        if status == 200:
            stored[self.path] = body
        requests.append((self.path, self.headers["If-None-Match"], "answer lost" if first else status))
        if first:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def create(store, key):
    """Return the name of the error of a create, the requests made for it, and what is stored."""
    try:
        obstore.put(store, key, b"mine", mode="create")
        error = "none"
    except BaseError as raised:
        error = type(raised).__name__
    return error, [rest for path, *rest in requests if path.endswith(key)], stored[f"/bucket/{key}"]


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def store(**options):
        return S3Store(
            "bucket",
            endpoint=f"http://127.0.0.1:{server.server_port}",
            access_key_id="a",
            secret_access_key="s",
            region="us-east-1",
            client_options={"allow_http": True},
            **options,
        )

    print("obstore", version("obstore"))
    default = create(store(), "default")
    off = create(store(retry_config={"max_retries": 0}), "off")
    server.shutdown()
    for what, (error, made, there) in (("by default", default), ("max_retries 0", off)):
        print(f"{what}: {error}; PUTs (If-None-Match, answer): {made}; stored: {there}")
    lost, refused = ["*", "answer lost"], ["*", 412]
    return default == ("AlreadyExistsError", [lost, refused], b"mine") and off == ("GenericError", [lost], b"mine")


sys.exit(0 if main() else "This has changed.")
PYTHON
PYTHONPATH=$folder/wheel python3 shown.py
