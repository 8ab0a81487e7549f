"""Addresses of repositories: a path, or a URL of a store. Credentials never stand in them."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.values import dataclass

OBJECT_SCHEMES = ("s3", "gs", "az")
SCHEMES = ("file", *OBJECT_SCHEMES, "sftp")

_URL = regex(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PARAMETERS = {
    "s3": ("checksum", "endpoint", "profile", "region"),
    "gs": ("endpoint",),
    "az": ("account", "endpoint"),
    "sftp": (),
    "file": (),
}
_FORMS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, sftp://USER@HOST/PATH"
# object_store refuses others, or would store them under another name.
_PREFIX_PART = regex(r"[A-Za-z0-9._=@:+~-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in parts. *host* is the bucket or container of an object store, *path* the prefix in it
    without "/" at its ends; for files and SFTP the path of a folder."""

    scheme: str
    host: str = ""
    path: str = ""
    user: str = ""
    port: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        path = self.path if self.path.startswith("/") or not self.path else f"/{self.path}"
        return f"{self.scheme}://{user}{self.host}{port}{path}"


def is_url(text: str) -> bool:
    """Return whether *text* is a URL, rather than a path."""
    return _URL.match(text) is not None


def nearly_url(text: str) -> str | None:
    """Return the scheme of a path that was meant as a URL, such as s3:/bucket; None for others."""
    scheme = text.partition(":")[0].lower()
    is_near = scheme in SCHEMES and text[len(scheme) :].startswith(":") and not is_url(text)
    return scheme if is_near else None


def parse(text: str) -> Address:
    """Return the parts of a URL, or of a path (scheme "file"). Raises UsageError."""
    match = _URL.match(text)
    if match is None:
        return Address("file", path=str(Path(text).expanduser()))
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        raise UsageError(
            f'snap knows no stores of the kind "{scheme}"',
            detail=f"It knows paths, and {_FORMS}.",
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError("that is no URL", detail=f"{error}. It may be: {_FORMS}.") from None
    if parts.password is not None or (parts.username and scheme != "sftp"):
        # Shown by none of the messages: it may be a secret.
        raise UsageError(
            "a repository's URL must not hold credentials",
            detail="It would be seen in process lists, shell histories and logs.",
            hint=_ELSEWHERE[scheme],
        )
    if parts.fragment:
        raise UsageError(
            "a repository's URL has no part behind a #", detail=f"It may be: {_FORMS}."
        )
    return Address(
        scheme,
        host=_host(scheme, parts.hostname or "", parts.netloc),
        path=_path(scheme, unquote(parts.path)),
        user=unquote(parts.username or ""),
        port=port,
        parameters=_parameters(scheme, parts.query),
    )


_ELSEWHERE = {
    "s3": "Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile: AWS_PROFILE.",
    "gs": "Use GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`.",
    "az": "Use AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY.",
    "sftp": "Use a key, or an SSH agent.",
    "file": "A file:// URL has none.",
}


def _host(scheme: str, host: str, netloc: str) -> str:
    if scheme == "file":
        if host not in ("", "localhost"):
            raise UsageError(
                f'a file:// URL names no host, and this one names "{host}"',
                hint="Write file:///PATH, with three slashes.",
            )
        return ""
    if not host:
        raise UsageError(
            f"the {scheme}:// URL names no {'host' if scheme == 'sftp' else 'bucket'}",
            detail=f"It may be: {_FORMS}.",
        )
    # urlsplit gives host names in lower case; buckets are as they are written.
    return host if scheme == "sftp" else netloc


def _path(scheme: str, path: str) -> str:
    if scheme == "file":
        if not path.strip("/"):
            raise UsageError("the file:// URL names no folder", hint="Write file:///PATH.")
        return path
    if scheme == "sftp":
        return path
    inner = path.strip("/")
    for part in inner.split("/") if inner else ():
        if not _PREFIX_PART.fullmatch(part) or part in (".", ".."):
            raise UsageError(
                f'the prefix "{inner}" holds what cannot be stored under everywhere: "{part}"',
                hint="Use letters, digits and . _ - = @ : + ~ in it, and one / between parts.",
            )
    return inner


def _parameters(scheme: str, query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS[scheme] or not value or name in found:
            known = ", ".join(_PARAMETERS[scheme]) or "none"
            raise UsageError(
                f'a {scheme}:// URL takes no parameter "{name}" like that',
                detail=f"Its parameters, each once and with a value: {known}.",
                hint=f"{_ELSEWHERE[scheme]}" if scheme in OBJECT_SCHEMES else "",
            )
        found[name] = value
    endpoint = found.get("endpoint", "http://")
    if not endpoint.startswith(("http://", "https://")) or "@" in endpoint:
        raise UsageError(
            "an endpoint is a URL that begins with https:// or http://, without credentials"
        )
    if found.get("checksum", "sha256") != "sha256":
        raise UsageError("the only checksum of an s3:// URL is sha256")
    return found
