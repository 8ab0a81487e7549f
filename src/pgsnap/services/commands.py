"""Services as commands: how each is stopped, started, and checked to be running and healthy.

A service is a compose service, a container, a systemd unit, or commands of the user's own. All of
them become argument lists, which is all that the process that restarts them needs to know.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgsnap.errors import UsageError
from pgsnap.runners.engines import ENGINES, ask
from pgsnap.values import dataclass

HEALTH_SECONDS = 60.0
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_UNIT_ENDS = (".service", ".socket", ".timer", ".target")
_ENGINE_OF = {False: "docker", True: "podman"}
_KINDS = ("compose", "container", "unit")
# Followed by a command that is judged by its output, since it exits with 0 either way.
_SAYS_SOMETHING = ("/bin/sh", "-c", 'test -n "$("$@")"', "sh")
_ID_IF_RUNNING = "{{if .State.Running}}{{.Id}}{{end}}"
# The first argument is the engine, the others print the ids of the containers: each must run, and
# be healthy if it has a health check (Podman prints an empty state if it has none).
_CONTAINERS_ARE_WELL = """
engine=$1; shift
ids=$("$@") && test -n "$ids" || exit 1
for id in $ids; do
  state=$("$engine" inspect --format \
    '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id") || exit 1
  case "$state" in running | "running " | "running healthy") ;; *) exit 1 ;; esac
done
"""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: argument lists, run in *folder*.

    *running* and *health* end with 0 for yes; None: unknown, so it counts as running, and as
    healthy once *start* ended with 0. *health* is polled for up to *health_seconds*.
    """

    name: str
    stop: tuple[str, ...]
    start: tuple[str, ...]
    running: tuple[str, ...] | None
    health: tuple[str, ...] | None
    folder: str
    health_seconds: float = HEALTH_SECONDS

    def as_json(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Service:
        """Inverse of `as_json`. Raises KeyError, TypeError for anything else."""

        def words(name: str) -> tuple[str, ...] | None:
            return None if value[name] is None else tuple(str(word) for word in value[name])

        return cls(
            name=str(value["name"]),
            stop=words("stop") or (),
            start=words("start") or (),
            running=words("running"),
            health=words("health"),
            folder=str(value["folder"]),
            health_seconds=float(value["health_seconds"]),
        )


def shell(command: str) -> tuple[str, ...]:
    """Return the arguments that run the user's command line in a shell."""
    return ("/bin/sh", "-c", command)


def service_named(spec: str, folder: Path, compose_file: Path | None = None) -> Service:
    """Return the service that *spec* means: ``compose:NAME``, ``container:NAME``, ``unit:NAME``,
    or a bare name. A bare name with a unit's suffix is a unit; else it is a compose service
    if *folder* has a compose file that names it, else a container.

    Raises UsageError, also if no program on this host can stop it.
    """
    kind, mark, name = spec.partition(":")
    if not mark or kind not in _KINDS:
        kind, name = _guessed_kind(spec, folder, compose_file), spec
    if not name.strip() or name.startswith("-"):
        raise UsageError(f'"{spec}" names no service')
    if kind == "unit":
        return _unit(spec, name, folder)
    if kind == "compose":
        return _compose(spec, name, folder, compose_file)
    return _container(spec, name, folder)


def _guessed_kind(name: str, folder: Path, compose_file: Path | None) -> str:
    if name.endswith(_UNIT_ENDS):
        return "unit"
    file = compose_file or next((folder / n for n in COMPOSE_FILES if (folder / n).exists()), None)
    if file is None:
        return "container"
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "container"
    heads = {line.strip().strip("'\"") for line in lines if line[:1] == " "}
    return "compose" if heads & {f"{name}:", f'{name}":', f"{name}':"} else "container"


def _unit(spec: str, name: str, folder: Path) -> Service:
    base = ("systemctl",) if os.geteuid() == 0 else ("systemctl", "--user")
    if shutil.which("systemctl") is None:
        raise UsageError(f'"{spec}" is a systemd unit, and systemctl is not here')
    active = (*base, "is-active", "--quiet", name)
    return Service(spec, (*base, "stop", name), (*base, "start", name), active, active, str(folder))


def _container(spec: str, name: str, folder: Path) -> Service:
    engine = _engine_that_has(name)
    # Not `ps --filter name=`: the container may be named by its id.
    listed = (engine, "container", "inspect", "--format", _ID_IF_RUNNING, name)
    return Service(
        name=spec,
        stop=(engine, "stop", name),
        start=(engine, "start", name),
        running=(*_SAYS_SOMETHING, *listed),
        health=("/bin/sh", "-c", _CONTAINERS_ARE_WELL, "sh", engine, *listed),
        folder=str(folder),
    )


def _engine_that_has(name: str) -> str:
    """Return the engine that knows the container, running or not: an engine that is installed
    but does not answer must not make a running service look stopped."""
    wanted = os.environ.get("SNAP_CONTAINER_ENGINE")
    reasons = []
    for engine in (wanted,) if wanted else ENGINES:
        if shutil.which(engine) is None:
            continue
        status, _, words = ask([engine, "container", "inspect", name])
        if status == 0:
            return engine
        reasons.append(f"{engine}: {words or 'no such container'}")
    raise UsageError(
        f'there is no container "{name}" to stop',
        detail=" ".join(reasons) or "Neither docker nor podman is here.",
        hint="Name it as `docker ps --all` does, or write what stops it: [services.NAME] with stop"
        " and start in snap.toml.",
    )


def _compose(spec: str, name: str, folder: Path, compose_file: Path | None) -> Service:
    client = _client_that_answers(folder, compose_file)
    base = (*client, "-f", str(compose_file)) if compose_file is not None else client
    engine = "podman" if client == ("podman-compose",) else "docker"
    listed: tuple[str, ...] = (*base, "ps", "--quiet", name)
    if engine == "podman":
        # podman-compose's own `ps` lists all services.
        place = (compose_file.parent if compose_file is not None else folder).resolve()
        listed = (
            *(engine, "ps", "--quiet"),
            *("--filter", f"label=com.docker.compose.service={name}"),
            *("--filter", f"label=com.docker.compose.project.working_dir={place}"),
        )
    return Service(
        name=spec,
        stop=(*base, "stop", name),
        start=(*base, "start", name),
        running=(*_SAYS_SOMETHING, *listed),
        health=("/bin/sh", "-c", _CONTAINERS_ARE_WELL, "sh", engine, *listed),
        folder=str(folder),
    )


def _client_that_answers(folder: Path, compose_file: Path | None) -> tuple[str, ...]:
    clients = (("docker", "compose"), ("docker-compose",), ("podman-compose",))
    wanted = os.environ.get("SNAP_CONTAINER_ENGINE")
    named = ("-f", str(compose_file)) if compose_file is not None else ()
    reasons = []
    for client in clients:
        is_podman = client[0].startswith("podman")
        if not shutil.which(client[0]) or wanted not in (None, "", _ENGINE_OF[is_podman]):
            continue
        status, _, words = ask([*client, *named, "ps", "--quiet"], str(folder))
        if status == 0:
            return client
        reasons.append(f"{' '.join(client)}: {words}")
    raise UsageError(
        "no compose client answers, so no compose service can be stopped",
        detail=" ".join(reasons) or "Looked for docker compose, docker-compose, podman-compose.",
        hint="Write what stops it: [services.NAME] with stop and start in snap.toml.",
    )


def own_service(
    name: str, values: Mapping[str, str], folder: Path, health_seconds: float
) -> Service:
    """Return a service of the user's own commands: ``stop``, ``start``, ``running``, ``health``."""

    def words(key: str) -> tuple[str, ...] | None:
        return shell(values[key]) if key in values else None

    return Service(
        name=name,
        stop=shell(values["stop"]),
        start=shell(values["start"]),
        running=words("running"),
        health=words("health"),
        folder=str(folder),
        health_seconds=health_seconds,
    )
