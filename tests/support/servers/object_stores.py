"""Object stores from package registries, each on a port of loopback. All of them are emulators or
serve a folder; which conditions each honours is in `Emulator.honours`."""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pgsnap.stores.base import Store
from pgsnap.stores.opening import open_store
from pgsnap.stores.pacing import Pace

KEY = "snapkeysnapkeysnapke"
SECRET = "snapsecretsnapsecretsnapsecretsnapsecret"
BUCKET = "bucket"
AZURITE_FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgsnap/azurite"
_STARTS_WITHIN_SECONDS = 60.0

QUICK = Pace(
    attempts=5,
    first_pause_seconds=0.02,
    longest_pause_seconds=0.2,
    base_seconds=20,
    patience_seconds=60,
)
"""For servers on loopback."""


@dataclass(frozen=True)
class Running:
    """A server that runs; *bucket* was made."""

    endpoint: str
    environ: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "s3"

    def url(self, prefix: str, bucket: str = BUCKET) -> str:
        return f"{self.scheme}://{bucket}/{prefix}?endpoint={self.endpoint}"

    def store(self, prefix: str, pace: Pace = QUICK, bucket: str = BUCKET) -> Store:
        return open_store(self.url(prefix, bucket), self.environ, pace=pace)


def aws_environ(endpoint: str, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """Return the environment with which S3 at *endpoint* is used, and nothing else of AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def program(name: str) -> str:
    """Return the path of a program that was installed with the tests; skip the test without it."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: run `make`, which installs it")
    return found


@contextlib.contextmanager
def _running(
    command: list[str], port: int, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
    try:
        _wait_for(port, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{process.args} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def _make_bucket(endpoint: str, signed: bool = False) -> None:
    if signed:
        from botocore.session import Session

        client = Session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket=BUCKET)
        return
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        pass


_MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

moto = DomainDispatcherApplication(create_backend_app)

def answered(environ, start):
    # Of the headers that AWS takes for a checksum it wants this one where objects are locked.
    if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
    return moto(environ, start)

run_simple("127.0.0.1", int(sys.argv[1]), answered)
"""


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Running]:
    """Honours every condition; keeps objects in memory; takes any secret.

    It looks at a condition and stores in two steps, which two of its threads may do at once: of
    creates that race several may succeed. So it gets one request at a time here.
    """
    port = free_port()
    command = [sys.executable, "-c", _MOTO, str(port)]
    with _running(command, port, folder / "moto.log"):
        yield _s3(port)


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[Running]:
    """Honours every condition; keeps objects in memory; takes any secret."""
    port = free_port()
    environ = {"GATEWAY_PORT": str(port), "GATEWAY_HOST": "127.0.0.1"}
    with _running([program("ministack")], port, folder / "ministack.log", environ):
        yield _s3(port)


@contextlib.contextmanager
def localbucket(folder: Path) -> Iterator[Running]:
    """Honours If-None-Match and ignores If-Match."""
    port = free_port()
    data = folder / "localbucket"
    data.mkdir()
    command = [program("localbucket"), "--port", str(port), str(data)]
    with _running(command, port, folder / "localbucket.log"):
        yield _s3(port)


@contextlib.contextmanager
def nanio(folder: Path) -> Iterator[Running]:
    """Ignores conditions, knows no ranges from the end, checks signatures."""
    port = free_port()
    command = [program("nanio"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    environ = {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    command += ["--data-dir", str(folder / "nanio")]
    with _running(command, port, folder / "nanio.log", environ):
        yield _s3(port, signed=True)


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[Running]:
    """Ignores conditions, answers to ranges with what is no answer to them, checks signatures."""
    port = free_port()
    data = folder / "rclone"
    data.mkdir()
    command = [program("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{KEY},{SECRET}", str(data)]
    with _running(command, port, folder / "rclone.log"):
        yield _s3(port, signed=True)


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Running]:
    """Azure Blob Storage, of which it honours every condition."""
    port = free_port()
    command = [*_azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    command += ["--location", str(folder), "--skipApiVersionCheck", "--disableTelemetry"]
    with _running(command, port, folder / "azurite.log"):
        endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
        environ = {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _ACCOUNT_KEY,
        }
        _make_container(endpoint)
        yield Running(endpoint, environ, "az")


# Of every emulator of Azure.
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def _azurite() -> list[str]:
    """Return how Azurite is started: what npm has put into a folder of its own; skip without it."""
    node = shutil.which("node")
    script = AZURITE_FOLDER / "node_modules/azurite/dist/src/blob/main.js"
    if node is None or not script.exists():
        pytest.skip("needs Azurite: run `apt-get install npm`, then `make azurite`")
    return [node, str(script)]


def _make_container(endpoint: str) -> None:
    """Sign by hand the one request that obstore does not make."""
    now = formatdate(usegmt=True)
    path = urlsplit(endpoint).path
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{now}\nx-ms-version:2021-08-06\n"
    signed += f"/{_ACCOUNT}{path}/{BUCKET}\nrestype:container"
    digest = hmac.digest(base64.b64decode(_ACCOUNT_KEY), signed.encode(), "sha256")
    request = urllib.request.Request(f"{endpoint}/{BUCKET}?restype=container", method="PUT")
    request.add_header("x-ms-date", now)
    request.add_header("x-ms-version", "2021-08-06")
    signature = base64.b64encode(digest).decode()
    request.add_header("Authorization", f"SharedKey {_ACCOUNT}:{signature}")
    with urllib.request.urlopen(request, timeout=30):
        pass


def _s3(port: int, signed: bool = False) -> Running:
    endpoint = f"http://127.0.0.1:{port}"
    _make_bucket(endpoint, signed)
    return Running(endpoint, aws_environ(endpoint))


SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Running]]] = {
    "moto": moto,
    "ministack": ministack,
    "localbucket": localbucket,
    "nanio": nanio,
    "rclone": rclone,
    "azurite": azurite,
}
