"""Docker and Podman: finds which of them has a container, and inspects it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from pgsnap.errors import ConnectionFailed, ToolMissing
from pgsnap.runners.programs import run
from pgsnap.values import dataclass

ENGINES = ("docker", "podman")
# An engine that must be started first, such as in a virtual machine, takes a while.
ENGINE_SECONDS = 60.0
_LINES_OF_ERROR = 4


@dataclass(frozen=True, slots=True)
class Container:
    """A running container. *name* is the user's name for it, *environment* is set by its image and
    its creator: it may contain passwords."""

    engine: str
    id: str
    name: str
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(repr=False)


def ask(argv: Sequence[str], folder: str | None = None) -> tuple[int, str, str]:
    """Run a short command of an engine. Return its status, its output, and the end of its error
    output.

    Raises ToolMissing, ConnectionFailed if there is no answer.
    """
    try:
        # Ctrl-C is for us only: the commands that we then send to the engine must get through.
        done = run(argv, cwd=folder, start_new_session=True, timeout=ENGINE_SECONDS)
    except (FileNotFoundError, PermissionError) as error:
        raise ToolMissing(
            f"{argv[0]} is not installed", hint="Install Docker or Podman, or drop --container."
        ) from error
    except TimeoutError as error:
        raise ConnectionFailed(
            f"{argv[0]} does not answer",
            detail=f"`{' '.join(argv[:3])}` took longer than {ENGINE_SECONDS:.0f} seconds.",
            hint=f"Look whether it runs: {argv[0]} info",
        ) from error
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        "\n".join(words[-_LINES_OF_ERROR:]),
    )


def find_container(name: str, engine: str | None = None) -> Container:
    """Return the running container *name* (or ID), of *engine* or of whichever engine has it.

    Raises ToolMissing if there is no engine, ConnectionFailed if no such container is running.
    """
    names = [engine] if engine is not None else [each for each in ENGINES if shutil.which(each)]
    if not names:
        raise ToolMissing(
            "neither docker nor podman is installed",
            detail="A database in a container is reached through one of them.",
            hint="Run `apt install podman`, or name the database by --dsn instead.",
        )
    running: list[Container] = []
    others: list[str] = []
    for each in names:
        try:
            status, out, words = ask([each, "container", "inspect", name])
        except ConnectionFailed as error:
            others.append(f"{each}: {error.message}")
            continue
        facts = _first(out) if status == 0 else None
        if facts is None:
            others.append(f"{each}: {words or 'no such container'}")
        elif (state := str(_part(facts, "State").get("Status", ""))) != "running":
            others.append(f"{each}: it is {state}")
        else:
            running.append(_container(each, name, facts))
    if len(running) > 1:
        raise ConnectionFailed(
            f'docker and podman both run a container "{name}"',
            hint='Say which one: engine = "podman" in snap.toml, or SNAP_CONTAINER_ENGINE.',
        )
    if not running:
        raise ConnectionFailed(
            f'no container "{name}" is running',
            detail="\n".join(others),
            hint=f"List them with `{names[-1]} ps --all`; start it with"
            f" `{names[-1]} start {name}`.",
        )
    return running[0]


def _container(engine: str, name: str, facts: Mapping[str, Any]) -> Container:
    config = _part(facts, "Config")
    pairs = [str(item).partition("=") for item in config.get("Env") or ()]
    return Container(
        engine=engine,
        id=str(facts.get("Id") or name),
        name=name,
        environment={key: value for key, _, value in pairs},
        labels={str(key): str(value) for key, value in (config.get("Labels") or {}).items()},
    )


def _first(text: str) -> Mapping[str, Any] | None:
    """Return the first object in the output of `container inspect`."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else None


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, dict) else {}
