#!/usr/bin/env bash
# obstore has no conditional delete, and a client whose default headers hold If-Match is no way round
# that on Azure. Even one name is deleted by a Blob Batch request: the header reaches the batch, not
# the DELETE inside. Where it reaches the request itself (a PUT), it was added after the signature with
# the account's key, which by Azure's documented rule covers If-Match: the two do not fit.
# Shown by what a small server is sent; none of Azure's was asked.
set -eu
version=0.12.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
pip() { python3 -m pip --disable-pip-version-check install -q "$@"; }
PIP_ROOT_USER_ACTION=ignore pip --target wheel "obstore==$version"
cat >shown.py <<'PYTHON'
import base64, hashlib, hmac, http.server, sys, threading
from importlib.metadata import version

import obstore
from obstore.store import AzureStore

KEY = b"k" * 64
STALE = '"stale"'
PART = "--b\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n--b--\r\n"
seen = []


class Server(http.server.BaseHTTPRequestHandler):
    """Notes each request, and answers as if it had been done."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        seen.append((self.command, self.path, self.headers, body.decode()))
        batch = self.command == "POST"
        self.send_response(202 if batch else 201)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Type", "multipart/mixed; boundary=b")
        self.send_header("Content-Length", str(len(PART) if batch else 0))
        self.end_headers()
        self.wfile.write(PART.encode() if batch else b"")

    do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


def signature(method, path, headers, if_match):
    """Return what Azure documents for Shared Key, with *if_match* in the place of that header."""
    lines = [method, "", "", headers["Content-Length"], "", headers["Content-Type"] or "", headers["Date"] or ""]
    lines += ["", if_match, "", "", ""]
    lines += sorted(f"{name.lower()}:{value}" for name, value in headers.items() if name.lower().startswith("x-ms-"))
    digest = hmac.digest(KEY, "\n".join([*lines, f"/account{path}"]).encode(), hashlib.sha256)
    return f"SharedKey account:{base64.b64encode(digest).decode()}"


def put_shown(store, what, **options):
    """Write an object; return the If-Match that was sent, and whether the signature covers it."""
    obstore.put(store, "name", b"x", use_multipart=False, **options)
    method, path, headers, _ = seen.pop()
    sent, signed = headers["If-Match"], headers["Authorization"]
    covered = {signature(method, path, headers, sent): "yes", signature(method, path, headers, ""): "no"}.get(signed)
    print(f"PUT, If-Match {what}: sent {sent}, covered by the signature: {covered}")
    return sent, covered


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def store(**headers):
        return AzureStore(
            "container",
            account_name="account",
            account_key=base64.b64encode(KEY).decode(),
            endpoint=f"http://127.0.0.1:{server.server_port}",
            client_options={"allow_http": True, "default_headers": headers},
            retry_config={"max_retries": 0},
        )

    print("obstore", version("obstore"))
    obstore.delete(store(**{"If-Match": STALE}), "name")
    [(method, path, headers, body)] = seen
    seen.clear()
    print(f"delete of one name: {method} {path}, If-Match: {headers['If-Match']}; its body:")
    print("".join(f"    {line}\n" for line in body.splitlines()), end="")
    inside = "if-match" in body.lower()
    delete = (method, "comp=batch" in path, "DELETE /container/name" in body, headers["If-Match"], inside)
    own = put_shown(store(), "by mode", mode={"e_tag": STALE})
    default = put_shown(store(**{"If-Match": STALE}), "by default_headers")
    server.shutdown()
    return delete == ("POST", True, True, STALE, False) and own == (STALE, "yes") and default == (STALE, "no")


sys.exit(0 if main() else "This has changed.")
PYTHON
PYTHONPATH=$folder/wheel python3 shown.py
