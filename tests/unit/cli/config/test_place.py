"""--container and --compose, their keys, and what `snap init` suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cli.config.compose_file import find_compose_file, postgres_services
from pgsnap.cli.config.file import load_config
from pgsnap.cli.config.settings import GlobalOptions, load_settings
from pgsnap.errors import UsageError
from support.running.commandline import CommandLine

COMPOSE = """\
# services: of an application
name: shop
services:
  web:
    image: "registry.test:5000/shop/web:2"
    environment:
      image: postgres
  metrics:
    image: quay.test/postgres-exporter
  'db':   # the one
    restart: always
    image: docker.test/library/postgres:16-alpine@sha256:00
    # image: web
  cron:
    image: prodrigestivill/postgres-backup-local
volumes:
  other:
    image: postgres
"""


def place_of(folder: Path, toml: str, environ: dict[str, str] | None = None, **given: str):  # type: ignore[no-untyped-def]
    (folder / "snap.toml").write_text(toml)
    return load_settings(GlobalOptions(**given), environ or {}, folder).place  # type: ignore[arg-type]


def test_flags_beat_the_file(tmp_path: Path) -> None:
    toml = 'compose = "db"\ncompose_file = "stack/compose.yaml"\nengine = "docker"\n'
    found = place_of(tmp_path, toml)
    assert (found.container, found.service, found.engine) == (None, "db", "docker")
    assert (found.folder, found.file) == (tmp_path, tmp_path / "stack" / "compose.yaml")
    found = place_of(tmp_path, toml, {"SNAP_CONTAINER_ENGINE": "podman"}, container="other")
    assert (found.container, found.service, found.engine) == ("other", None, "podman")
    assert place_of(tmp_path, "") is None


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        place_of(tmp_path, "", container="a", compose="b")
    with pytest.raises(UsageError, match=r"snap\.toml exclude each other"):
        place_of(tmp_path, 'container = "a"\ncompose = "b"\n')
    with pytest.raises(UsageError, match="--compose is empty"):
        place_of(tmp_path, "", compose=" ")
    with pytest.raises(UsageError, match='must be "docker" or "podman"'):
        place_of(tmp_path, 'engine = "lxc"\n')
    with pytest.raises(UsageError, match="SNAP_CONTAINER_ENGINE"):
        place_of(tmp_path, 'container = "a"\n', {"SNAP_CONTAINER_ENGINE": "lxc"})


def test_only_services_that_run_a_server_are_found(tmp_path: Path) -> None:
    assert find_compose_file(tmp_path) is None
    path = tmp_path / "docker-compose.yml"
    path.write_text(COMPOSE)
    assert find_compose_file(tmp_path) == path
    # One image is misread on purpose: a key called "image" inside a service's environment.
    assert [name for name in postgres_services(path) if name != "web"] == ["db"]


def test_init_names_the_compose_service_unless_a_database_is_named(snap: CommandLine) -> None:
    text = "services:\n  db:\n    image: postgres:16\n"
    (snap.work / "compose.yaml").write_text(text)
    made = snap.ok("init", "--json").json
    assert made["compose"] == "db"
    assert load_config(snap.work / "snap.toml").compose == "db"
    (snap.work / "snap.toml").unlink()
    snap.setenv("DATABASE_URL", "postgresql://localhost/shop")
    named = snap.ok("init", "there", "--json").json
    assert named["compose"] is None
    assert 'service "db"' in named["notices"][0]
    assert load_config(snap.work / "snap.toml").compose is None


def test_init_keeps_the_container_that_was_named(snap: CommandLine) -> None:
    snap.ok("init", "--container", "shop-db-1")
    assert load_config(snap.work / "snap.toml").container == "shop-db-1"


def test_a_container_that_is_not_there_ends_a_commit_with_30(snap: CommandLine) -> None:
    engine = snap.folder / "bin"
    engine.mkdir()
    (engine / "docker").write_text("#!/bin/sh\necho 'no such container' >&2\nexit 1\n")
    (engine / "docker").chmod(0o755)
    snap.setenv("PATH", f"{engine}:/usr/bin:/bin")
    snap.ok("init")
    result = snap("commit", "-m", "x", "--container", "nosuch", "--json")
    assert result.code == 30
    assert result.error["message"] == 'no container "nosuch" is running'
