"""sftp://USER@HOST:PORT/PATH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from pgsnap.errors import UsageError

SCHEME = "sftp://"
_EXAMPLE = "Write sftp://USER@HOST/PATH, or sftp://USER@HOST/~/PATH below the folder of the login."
# Neither belongs in a path, and they would garble messages.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is. What is None comes from ~/.ssh/config, else the user of this process and
    port 22. *path* is relative where it begins below the folder of the login; "" is "/"."""

    host: str
    port: int | None
    user: str | None
    path: str

    def __str__(self) -> str:
        user = f"{quote(self.user)}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{SCHEME}{user}{host}{port}{self._path_of_url()}"

    def _path_of_url(self) -> str:
        path = quote(self.path) or "/"
        return path if path.startswith("/") else f"/~/{path}"

    def of_ssh(self, program: str) -> str:
        """Return the command with which *program* (ssh, sftp) logs in there."""
        port = {"ssh": f" -p {self.port}", "sftp": f" -P {self.port}"}[program] if self.port else ""
        return f"{program}{port} {f'{self.user}@' if self.user else ''}{self.host}"


def parse(url: str) -> Address:
    """Return the address that a URL names. Raises UsageError, which does not repeat a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError("not a URL of SFTP", detail=f"{error}.", hint=_EXAMPLE) from None
    if parts.scheme != "sftp":
        raise UsageError("not a URL of SFTP", hint=_EXAMPLE)
    if parts.password is not None:
        raise UsageError(
            "a URL must not hold a password",
            detail="It would be seen in process lists, histories and logs.",
            hint="Use a key: in ssh-agent, in ~/.ssh, or named by IdentityFile in ~/.ssh/config.",
        )
    if parts.query or parts.fragment:
        raise UsageError(
            f'"{url}" has something behind its path',
            detail='A URL of SFTP has no "?" and no "#".',
            hint="In a path write %3F for ?, and %23 for #.",
        )
    if not parts.hostname or port == 0:
        raise UsageError(f'"{url}" names no host', hint=_EXAMPLE)
    path = unquote(parts.path).rstrip("/")
    if path == "/~":
        path = "."
    path = path.removeprefix("/~/")
    if not parts.path or _CONTROL.search(path) or ".." in path.split("/"):
        raise UsageError(f'"{url}" names no folder', hint=_EXAMPLE)
    user = None if parts.username is None else unquote(parts.username)
    return Address(parts.hostname, port, user or None, path)
