"""Finds the services of a compose file that run PostgreSQL, for a suggestion by `snap init`,
and all services, for completion.

Read with regular expressions, not as YAML: the result is only a suggestion, which the user sees
in the new snap.toml.
"""

from __future__ import annotations

from pathlib import Path

from pgsnap.patterns import regex

# In the search order of compose clients.
FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_BYTES_MAX = 1 << 20
_TOP_LEVEL = regex(r"(\S[^:]*):")
_KEY = regex(r"""( +)["']?([A-Za-z0-9._-]+)["']?:""")
_IMAGE = regex(r"""image:\s*["']?([^\s"'#]+)""")
# Names of images that contain a server; postgres-exporter and postgres-backup-local do not.
_SERVER = regex(r"(?:.*[-_])?postgres(?:ql)?(?:-repmgr)?|postgis|timescaledb(?:-ha)?|pgvector")


def find_compose_file(folder: Path) -> Path | None:
    """Return the compose file of *folder*, None if it has none."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def postgres_services(path: Path) -> list[str]:
    """Return the names of the services with a PostgreSQL image, in the file's order."""
    found = [name for name, image in _services(path) if image is not None and _is_server(image)]
    return list(dict.fromkeys(found))


def all_services(path: Path) -> list[str]:
    """Return the names of all services, in the file's order."""
    return list(dict.fromkeys(name for name, _ in _services(path)))


def _services(path: Path) -> list[tuple[str, str | None]]:
    """Return each service, once without and once with its image."""
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return []
    found: list[tuple[str, str | None]] = []
    is_inside, service, depth = False, "", 0
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if top := _TOP_LEVEL.match(line):
            is_inside, depth = top[1].strip("\"'") == "services", 0
            continue
        key = _KEY.match(line)
        if not is_inside or key is None:
            continue
        depth = depth or len(key[1])
        if len(key[1]) == depth:
            service = key[2]
            found.append((service, None))
        elif image := _IMAGE.match(line.strip()):
            found.append((service, image[1]))
    return found


def _is_server(image: str) -> bool:
    """Decide by the last part of the image's name, without registry, tag and digest."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return _SERVER.fullmatch(name) is not None
