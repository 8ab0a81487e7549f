"""Logging in to an SFTP server: by keys, and only where the key of the host is known."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.errors import StoreError
from pgsnap.stores.address import Address

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 30.0
# A server that is silent for four times as long is gone.
_KEEPALIVE_SECONDS = 15
_KEEPALIVES_MAX = 4
# Twice as fast here as ChaCha20, which asyncssh would prefer.
_FAST_CIPHERS = "^aes*-gcm@openssh.com"
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_KNOWN_HOSTS_OF_ALL = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


class NotReached(StoreError):
    """The server could not be reached, or did not answer; it may be a moment later."""


async def log_in(address: Address) -> asyncssh.SSHClientConnection:
    """Return a connection. Raises StoreError; NotReached if another attempt may succeed."""
    import asyncssh

    try:
        options = await _options(address)
    except (OSError, ValueError, asyncssh.Error) as error:
        raise StoreError(
            f"cannot log in to {address}", detail=f"Its settings for SSH are not usable: {error}."
        ) from error
    try:
        made: asyncssh.SSHClientConnection = await asyncssh.connect(
            address.host, address.port or (), options=options
        )
        return made
    except asyncssh.HostKeyNotVerifiable as error:
        raise await _unknown_host(address, options, error) from error
    except asyncssh.PermissionDenied as error:
        raise StoreError(
            f"cannot log in to {address}",
            detail=f"{error.reason}: it takes none of the keys that were offered.",
            hint=f"`{command(address, 'sftp', '-P')}` must log in without asking anything. Keys"
            " come from ssh-agent, from IdentityFile in ~/.ssh/config, and from ~/.ssh where they"
            " have no passphrase.",
        ) from error
    except socket.gaierror as error:
        raise NotReached(f"cannot reach {address}", detail=f"{error.strerror}.") from error
    except (OSError, asyncssh.ConnectionLost) as error:
        detail = str(error) or f"No answer within {CONNECT_SECONDS:.0f} seconds"
        raise NotReached(f"cannot reach {address}", detail=f"{detail.rstrip('.')}.") from error
    except (asyncssh.Error, ValueError) as error:
        raise StoreError(f"cannot log in to {address}", detail=f"{error}.") from error


async def _options(address: Address) -> asyncssh.SSHClientConnectionOptions:
    import asyncssh

    known: dict[str, Any] = {"username": address.user} if address.user else {}
    options: asyncssh.SSHClientConnectionOptions
    options = await asyncssh.SSHClientConnectionOptions.construct(
        host=address.host,
        port=address.port or (),
        connect_timeout=CONNECT_SECONDS,
        login_timeout=CONNECT_SECONDS,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVES_MAX,
        # Nothing else that a key can open is wanted.
        agent_forwarding=False,
        **known,
    )
    # asyncssh takes "UserKnownHostsFile none" as a wish to trust every host.
    options.update(known_hosts=asyncssh.read_known_hosts(_known_hosts(options.known_hosts)))
    if not options.config.get("Ciphers", ()):
        options.update(encryption_algs=_FAST_CIPHERS)
    return options


def _known_hosts(configured: Any) -> list[str]:
    """Return the files of known hosts that exist."""
    names = [*(configured or _KNOWN_HOSTS), *_KNOWN_HOSTS_OF_ALL]
    paths = [Path(name).expanduser() for name in names]
    return [str(path) for path in paths if path.is_file()]


async def _unknown_host(
    address: Address, options: asyncssh.SSHClientConnectionOptions, error: asyncssh.Error
) -> StoreError:
    """Return the error for a host whose key is not the one that is known, or not known."""
    import asyncssh

    host = options.host_key_alias or options.host
    port = options.port if options.port != asyncssh.DEFAULT_PORT else None
    trusted = asyncssh.match_known_hosts(options.known_hosts, host, "", port)
    shown = await _shown_key(address)
    detail = f"{error}. {shown}".strip()
    if trusted[0] or trusted[1]:
        return StoreError(
            f"the host key of {address} is not the one that is known",
            detail=f"{detail} Somebody may be in between, or the server was set up again.",
            hint="Ask the server's administrator for its fingerprint. If it is this one, remove"
            f" the old key: ssh-keygen -R {_name_in_known_hosts(host, port)}; then log in once"
            f" with `{command(address, 'ssh', '-p')}`, which shows the new one and asks.",
        )
    return StoreError(
        f"the host key of {address} is not known",
        detail=detail,
        hint="Ask the server's administrator for its fingerprint. If it is this one, log in once"
        f" with `{command(address, 'ssh', '-p')}`, which asks and writes it to ~/.ssh/known_hosts.",
    )


async def _shown_key(address: Address) -> str:
    """Return a sentence with the key that the host shows, "" if it does not show it again."""
    import asyncssh

    try:
        key = await asyncio.wait_for(
            asyncssh.get_server_host_key(address.host, address.port or ()), CONNECT_SECONDS
        )
    except (OSError, TimeoutError, ValueError, asyncssh.Error):
        return ""
    if key is None:
        return ""
    return f"It shows a key of the type {key.get_algorithm()}: {key.get_fingerprint()}."


def command(address: Address, program: str, port_flag: str) -> str:
    """Return the command with which OpenSSH's *program* logs in there."""
    port = f" {port_flag} {address.port}" if address.port else ""
    return f"{program}{port} {f'{address.user}@' if address.user else ''}{address.host}"


def _name_in_known_hosts(host: str, port: int | None) -> str:
    return f"'[{host}]:{port}'" if port else host
