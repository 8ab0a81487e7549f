"""Credentials and settings of AWS, in the order in which its own tools look for them.

obstore itself knows the environment, web identities, containers and the metadata of machines; not
profiles, and it would mix a profile's keys with the environment's token.
"""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap import extras
from pgsnap.errors import StoreError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from obstore.store import S3Credential

# What only AWS's own library can turn into keys.
_NEEDS_BOTOCORE = (
    "role_arn",
    "sso_session",
    "sso_start_url",
    "credential_process",
    "login_session",
)


@dataclass(frozen=True, slots=True)
class Where:
    region: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Aws:
    """*provider*: None leaves the search to obstore. *source* says where the keys are from."""

    source: str
    where: Where
    provider: Callable[[], S3Credential] | None = field(default=None, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def aws(environ: Mapping[str, str], parameters: Mapping[str, str]) -> Aws:
    """Return how to sign requests; *parameters* are those of the URL. Raises StoreError."""
    asked = parameters.get("profile") or environ.get("AWS_PROFILE", "")
    name = asked or environ.get("AWS_DEFAULT_PROFILE", "") or "default"
    profile = _profile(environ, name)
    where = Where(
        region=parameters.get("region")
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or "us-east-1",
        endpoint=parameters.get("endpoint")
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or profile.get("endpoint_url", ""),
    )
    key = environ.get("AWS_ACCESS_KEY_ID", "")
    if key and "profile" not in parameters:
        secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
        if not secret:
            raise StoreError(
                "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not", hint=_HINT
            )
        token = environ.get("AWS_SESSION_TOKEN", "")
        return _static("the environment (AWS_ACCESS_KEY_ID)", key, secret, token, where)
    if asked and not profile:
        raise StoreError(
            f'there is no profile "{asked}" of AWS',
            detail=f"Looked into {_path(environ, 'credentials')} and {_path(environ, 'config')}.",
            hint="Correct AWS_PROFILE, or make the profile: aws configure --profile NAME",
        )
    if "aws_access_key_id" in profile and not profile.keys() & set(_NEEDS_BOTOCORE):
        return _static(
            f'the profile "{name}"',
            profile["aws_access_key_id"],
            profile.get("aws_secret_access_key", ""),
            profile.get("aws_session_token", ""),
            where,
        )
    if profile.keys() & set(_NEEDS_BOTOCORE):
        return _by_botocore(environ, name, sorted(profile.keys() & set(_NEEDS_BOTOCORE)), where)
    return _by_obstore(environ, where)


_HINT = "Set both, or AWS_PROFILE."


def _static(source: str, key: str, secret: str, token: str, where: Where) -> Aws:
    def provider() -> S3Credential:
        return {
            "access_key_id": key,
            "secret_access_key": secret,
            "token": token or None,
            "expires_at": None,
        }

    secrets = frozenset(part for part in (secret, token) if part)
    return Aws(source, where, provider, secrets)


def _by_obstore(environ: Mapping[str, str], where: Where) -> Aws:
    for variable, source in (
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "a web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the container's role"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "the container's role"),
    ):
        if environ.get(variable):
            return Aws(source, where)
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise StoreError(
            "no credentials for AWS",
            detail="Neither AWS_ACCESS_KEY_ID is set, nor is there a profile with keys in"
            f" {_path(environ, 'credentials')}; AWS_EC2_METADATA_DISABLED forbids to ask for the"
            " role of this machine.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    return Aws(
        "the role of this machine (nothing else was found: no AWS_ACCESS_KEY_ID, no profile)",
        where,
    )


def _by_botocore(environ: Mapping[str, str], name: str, needs: list[str], where: Where) -> Aws:
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        raise StoreError(
            f'the profile "{name}" of AWS needs botocore',
            detail=f"It gets its keys by {' and '.join(needs)}.",
            hint=extras.hint("aws"),
        ) from None
    try:
        session = Session(profile=name)
        session.set_config_variable("config_file", str(_path(environ, "config")))
        session.set_config_variable("credentials_file", str(_path(environ, "credentials")))
        found = session.get_credentials()
        frozen: Any = found.get_frozen_credentials() if found is not None else None
    except BotoCoreError as error:
        raise StoreError(
            f'the profile "{name}" of AWS gives no credentials', detail=f"{error}"
        ) from None
    if frozen is None:
        raise StoreError(f'the profile "{name}" of AWS gives no credentials')

    def provider() -> S3Credential:
        # Asks again once the keys are nearly too old.
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": getattr(found, "_expiry_time", None),
        }

    secrets = frozenset(part for part in (frozen.secret_key, frozen.token) if part)
    return Aws(f'the profile "{name}", by botocore', where, provider, secrets)


def _path(environ: Mapping[str, str], kind: str) -> Path:
    variable = {"credentials": "AWS_SHARED_CREDENTIALS_FILE", "config": "AWS_CONFIG_FILE"}[kind]
    named = environ.get(variable)
    return Path(named).expanduser() if named else Path("~/.aws").expanduser() / kind


def _profile(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """Return a profile's settings from both files; those of the credentials file go first."""
    section = name if name == "default" else f"profile {name}"
    return {
        **_section(_path(environ, "config"), section),
        **_section(_path(environ, "credentials"), name),
    }


def _section(path: Path, name: str) -> dict[str, str]:
    # Values may hold any character, and nested settings are indented lines.
    parser = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=("#", ";"), default_section="\0"
    )
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise StoreError(
            f"cannot read {path}", detail=f"{type(error).__name__} at AWS's own settings."
        ) from None
    return dict(parser[name]) if parser.has_section(name) else {}
