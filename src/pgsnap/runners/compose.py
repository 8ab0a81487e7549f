"""Compose: finds the container of a service.

The compose client is used for nothing else. Tools run through the engine's own `exec`, which passes
streams, environment and exit status unchanged; not every compose client does.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from pgsnap.errors import ConnectionFailed, SourceError, ToolMissing
from pgsnap.runners.engines import Container, ask, find_container

_SERVICE_LABEL = "com.docker.compose.service"
# In the order in which they are tried: the client, and the engine whose containers it creates
# (None: either engine).
_CLIENTS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("docker", "compose"), None),
    (("docker-compose",), None),
    (("podman-compose",), "podman"),
)


def find_service(
    service: str, *, file: Path | None = None, folder: Path, engine: str | None = None
) -> Container:
    """Return the running container of *service*, of the compose project in *folder* or in *file*.

    Raises ToolMissing if there is no compose client, ConnectionFailed if the service is not
    running, or runs in several containers.
    """
    said: list[str] = []
    present: list[str] = []
    clients = [
        (argv, fixed)
        for argv, fixed in _CLIENTS
        if shutil.which(argv[0]) and not (engine == "docker" and fixed == "podman")
    ]
    for argv, fixed in clients:
        words = [*argv, *(("--file", str(file)) if file else ()), "ps", "-q"]
        only = [] if fixed == "podman" else [service]
        status, out, error = ask([*words, *only], str(folder))
        if status != 0:
            if ask([*argv, "version"], str(folder))[0] != 0:
                # `docker` without the plugin takes "compose" for an unknown command.
                continue
            present.append(" ".join(argv))
            said.append(f"{' '.join(argv)}: {error}")
            continue
        present.append(" ".join(argv))
        found = _running(out.split(), service, fixed or engine)
        if len(found) == 1:
            return replace(found[0], name=service)
        if found:
            raise ConnectionFailed(
                f'the service "{service}" runs in {len(found)} containers',
                detail=f"Their ids are {', '.join(each.id[:12] for each in found)}.",
                hint="Name the one that is meant: --container ID",
            )
        said.append(f"{' '.join(argv)}: the service does not run")
    if not present:
        raise ToolMissing(
            "no compose client is installed",
            detail="Looked for docker compose, docker-compose and podman-compose.",
            hint="Install one, or name the container itself: --container NAME",
        )
    raise ConnectionFailed(
        f'the compose service "{service}" is not running',
        detail="\n".join(said),
        hint=f"Start it: {present[0]} up -d {service}. Or name the container itself:"
        " --container NAME",
    )


def _running(ids: list[str], service: str, engine: str | None) -> list[Container]:
    """Return the containers of *ids* that are running and belong to *service*."""
    found = []
    for each in ids:
        try:
            container = find_container(each, engine)
        except SourceError:
            # Stopped, or removed in the meantime; or client output other than IDs.
            continue
        if container.labels.get(_SERVICE_LABEL, service) == service:
            found.append(container)
    return found
