"""The container that PostgreSQL runs in, if any: --container, --compose and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.errors import UsageError
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A container by its name (or id), or by its compose service: exactly one of the two.

    *folder* is where a compose client looks for its file, unless *file* names it. *engine* is
    "docker", "podman", or None for the one that has the container. Tools run as *user*.
    """

    container: str | None
    service: str | None
    folder: Path
    file: Path | None
    engine: str | None
    user: str | None


def find_place(
    container: str | None,
    service: str | None,
    environ: Mapping[str, str],
    folder: Path,
    config: ConfigFile,
) -> Place | None:
    """Return the place named by --container (*container*) or --compose (*service*), else by
    snap.toml, else None. Raises UsageError."""
    for option, value in (("--container", container), ("--compose", service)):
        if value is not None and not value.strip():
            raise UsageError(f"{option} is empty")
    named = "--container and --compose"
    is_from_file = container is None and service is None
    if is_from_file:
        container, service = config.container, config.compose
        named = f'"container" and "compose" in {config.config_path}'
        folder = config.config_path.parent if config.config_path is not None else folder
    if container is not None and service is not None:
        raise UsageError(f"{named} exclude each other", hint="Keep the one that is meant.")
    if container is None and service is None:
        return None
    key = KEYS["engine"]
    engine = environ.get(key.variable)
    engine = key.read(engine, key.variable, folder) if engine else config.engine
    return Place(
        container=container,
        service=service,
        folder=folder,
        file=config.compose_file,
        engine=engine,
        user=config.container_user,
    )
