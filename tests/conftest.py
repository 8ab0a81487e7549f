"""Fixtures that many tests share: above all a private PostgreSQL, one for each test process."""

from __future__ import annotations

import os
import signal
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

from pgsnap.cluster import binaries as pg_binaries
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import ToolMissing
from pgsnap.sealing import slots
from pgsnap.sealing.wrapping_keys import Argon2
from support.running.breadth import IS_LONG
from support.running.commandline import CommandLine
from support.running.seeds import SEED
from support.running.temporary import use_temporary_folder
from support.servers.databases import TEST_SETTINGS, Database, load_sample, new_name

# The same examples each time; `make test-long` looks for others. None is too slow: other programs
# may have the processors.
settings.register_profile("snap", derandomize=not IS_LONG, deadline=None)
settings.load_profile("snap")


def pytest_configure(config: pytest.Config) -> None:
    """Take signals as a terminal's programs do: a job in the background of a script ignores SIGINT,
    and so would every program that a test starts and stops by it."""
    # No algebra is done, and for it numpy would start threads in every program that imports it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The workers of xdist have their folders in that of the process that starts them.
    if not hasattr(config, "workerinput"):
        config.add_cleanup(use_temporary_folder())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pg-major",
        type=int,
        default=int(os.environ.get("SNAP_PG_MAJOR", "0")) or None,
        help="the major version of PostgreSQL to test with (default: SNAP_PG_MAJOR, else the "
        "newest installed)",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    seed = f"SNAP_SEED={SEED}"
    try:
        return [f"postgresql: {pg_binaries.find(config.getoption('--pg-major'))}", seed]
    except ToolMissing as error:
        return [f"postgresql: {error.message}; its tests are skipped. {error.hint}", seed]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "binaries" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
        if item.get_closest_marker("system") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: run `make test-system` as root"))


@pytest.fixture(scope="session", autouse=True)
def _passphrases_that_are_quick() -> Iterator[None]:
    """What this process makes is opened in no time, by other processes too: a slot says how much
    work it is. Slots that a process of snap makes are as much work as always."""
    with mock.patch.object(slots, "Argon2", lambda *work: Argon2(*(work or (1, 64, 1)))):
        yield


@pytest.fixture(scope="session")
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A file with one of the system's certificates; None where it has none."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found:
        return None
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(found[0]))
    return path


@pytest.fixture(autouse=True)
def _few_certificates(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _one_certificate: Path | None
) -> None:
    """Each client of an object store reads all certificates of the system, which takes it longer
    than a request on loopback, where it needs none. Tests that install something need them."""
    if _one_certificate is not None and request.node.get_closest_marker("system") is None:
        monkeypatch.setenv("SSL_CERT_FILE", str(_one_certificate))
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> Binaries:
    """PostgreSQL's programs of the version under test."""
    try:
        return pg_binaries.find(request.config.getoption("--pg-major"))
    except ToolMissing as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture(scope="session")
def cluster(binaries: Binaries) -> Iterator[Cluster]:
    """The private cluster of this test process: fast, not crash-safe, by socket and by TCP."""
    with Cluster(binaries, fsync=False, tcp=True, settings=TEST_SETTINGS) as made:
        yield made


@pytest.fixture
def own_cluster(binaries: Binaries) -> Iterator[Cluster]:
    """A cluster for one test that may crash, stop or change it: crash-safe."""
    with Cluster(binaries, fsync=True, tcp=True, settings=TEST_SETTINGS) as made:
        yield made


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A fresh, empty database."""
    yield from _created(cluster, template=None)


@pytest.fixture(scope="session")
def sample_template(cluster: Cluster) -> str:
    """The name of a database with the small sample and the odd objects, to be used as a template
    only."""
    name = new_name("sample_template")
    cluster.create_database(name)
    load_sample(cluster, name)
    return name


@pytest.fixture
def sample_database(cluster: Cluster, sample_template: str) -> Iterator[Database]:
    """The sample application's database, about 1 MB, with its properties."""
    from pgsnap.demo import sample

    for made in _created(cluster, template=sample_template):
        sample.apply_properties(cluster, made.name)
        yield made


@pytest.fixture
def snap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """`snap` in an empty folder, with nothing set in its environment."""
    return CommandLine(tmp_path, monkeypatch, capfd)


def _created(cluster: Cluster, template: str | None) -> Iterator[Database]:
    name = new_name("test" if template is None else "shop")
    cluster.create_database(name, template=template)
    try:
        yield Database(cluster, name)
    finally:
        if cluster.running:
            # With what restores of it left: kept databases, and scratch ones of killed restores.
            whose = f"datname = '{name}' OR starts_with(datname, '{name}__snap_')"
            found = f"FROM pg_database WHERE ({whose})"
            cluster.psql(
                # Of one that is half-dropped even this ends the session.
                f"SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname) {found}"
                " AND datistemplate AND datconnlimit <> -2 \\gexec\n"
                f"SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', datname) {found}"
                " \\gexec\n"
            )
