"""The keys services, [services.NAME] and [hooks] of snap.toml."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.keys import Key, read_keys, seconds, text
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.services.commands import Service

# As in services.hooks, whose import would slow down every start.
HOOKS = (
    *("before_commit", "after_commit", "before_restore", "after_restore"),
    *("before_gc", "after_gc"),
)
HOOK_KEYS: dict[str, Key] = dict.fromkeys(HOOKS, Key(text)) | {
    "after_restore": Key(text, '"php artisan cache:clear"')
}
SERVICE_KEYS: dict[str, Key] = {
    **dict.fromkeys(
        ("stop", "start", "running", "health", "compose", "container", "unit"), Key(text)
    ),
    "timeout": Key(seconds),
}


@dataclass(frozen=True, slots=True)
class ServicesTable:
    """The services that a swap stops: a list of *names*, or *own* ones with their keys."""

    folder: Path
    names: tuple[str, ...] = ()
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    health_seconds: dict[str, float] = field(default_factory=dict)

    def resolved(self, also: tuple[str, ...], compose_file: Path | None) -> tuple[Service, ...]:
        """Return the services to stop: these, and those named on the command line in *also*,
        each once. Raises UsageError."""
        chosen = dict.fromkeys((*self.names, *self.own, *also))
        return tuple(self._service(name, compose_file) for name in chosen)

    def _service(self, name: str, compose_file: Path | None) -> Service:
        from dataclasses import replace

        from pgsnap.services.commands import HEALTH_SECONDS, own_service, service_named

        values = self.own.get(name)
        if values is None:
            return service_named(name, self.folder, compose_file)
        seconds = self.health_seconds.get(name, HEALTH_SECONDS)
        if "stop" in values:
            return own_service(name, values, self.folder, seconds)
        spec = next(f"{kind}:{values[kind]}" for kind in _KINDS if kind in values)
        found = service_named(spec, self.folder, compose_file)
        return replace(found, name=name, health_seconds=seconds)


_KINDS = ("compose", "container", "unit")


def read_services(value: Any, where: str, folder: Path) -> ServicesTable:
    """Parse the key of snap.toml: a list of names, or a table of tables. Raises UsageError."""
    if isinstance(value, list):
        if not all(isinstance(name, str) and name.strip() for name in value):
            raise UsageError(f'{where} must be a list of names, such as ["strapi"]')
        return ServicesTable(folder, names=tuple(value))
    if not isinstance(value, dict):
        raise UsageError(
            f"{where} must be a list of names, or tables of their own",
            hint='Write services = ["strapi"], or [services.strapi] with stop and start.',
        )
    own: dict[str, dict[str, str]] = {}
    health_seconds: dict[str, float] = {}
    for name, keys in value.items():
        known = read_keys(
            keys, f"[services.{name}] in {where.rpartition(' in ')[2]}", folder, SERVICE_KEYS, name
        )
        timeout = known.pop("timeout", None)
        if timeout is not None:
            health_seconds[name] = timeout
        _check(name, known, where)
        own[name] = known
    return ServicesTable(folder, own=own, health_seconds=health_seconds)


def _check(name: str, keys: dict[str, str], where: str) -> None:
    kinds = [kind for kind in _KINDS if kind in keys]
    commands = [key for key in ("stop", "start") if key in keys]
    if len(kinds) + bool(commands) != 1 or len(commands) == 1:
        raise UsageError(
            f"[services.{name}] in {where.rpartition(' in ')[2]} must say how it is stopped",
            hint="Give both stop and start, or one of compose, container, unit.",
        )


def read_hooks(value: Any, where: str, folder: Path) -> dict[str, str]:
    """Parse [hooks]: commands by name. Raises UsageError."""
    return read_keys(value, where, folder, HOOK_KEYS, "hooks")
