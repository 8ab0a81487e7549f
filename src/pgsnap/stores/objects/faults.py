"""What obstore raises, judged: what may pass, what is certain, and what to say about it."""

from __future__ import annotations

import enum
import re

from pgsnap.errors import ObjectLocked, StoreError, StoreFull, StoreRefused
from pgsnap.patterns import regex
from pgsnap.values import dataclass


class Verdict(enum.Enum):
    """What follows from the fault of a request."""

    ABSENT = enum.auto()
    # A condition was not met, or another write of the object was under way (409).
    CONFLICT = enum.auto()
    # It may pass. Whether a write took effect is unknown.
    UNSURE = enum.auto()
    # The credentials are too old; others may be at hand.
    EXPIRED = enum.auto()
    DENIED = enum.auto()
    # The object must stay as it is for a time, whoever asks. A service may look at that before it
    # looks at a condition.
    RETAINED = enum.auto()
    FULL = enum.auto()
    # The range begins at the object's end, or behind it.
    BEYOND = enum.auto()
    FAILED = enum.auto()


NO_CONNECTION = "No connection could be made"


@dataclass(frozen=True, slots=True)
class Fault:
    """*words* say what happened, without secrets; *code* is the provider's, if it gave one."""

    verdict: Verdict
    words: str
    code: str = ""
    status: int = 0

    @property
    def is_unreachable(self) -> bool:
        return self.words.startswith(NO_CONNECTION)


_STATUS = regex(r"status code: (\d{3}) ?([^:\n]*)(?:: (.*))?", re.S)
_STORE = regex(r"Generic \w+ error: ")
_BEYOND = regex(r"Wanted range starting at \d+, but object was only")
_CODE = regex(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = regex(r"<Message>([^<]{1,500})</Message>")
# Google says only there why.
_DETAILS = regex(r"<Details>([^<]{1,500})</Details>")
_DEBUG = regex(r"\s*Debug source:.*", re.S)
_KIND = regex(r"kind: (Connect|Timeout)\b")
_REASON = regex(r'(?:message|error): "([^"]{1,200})"|InvalidCertificate\(\s*(\w+)')
_SIGNED = regex(r"(?i)\b(sig|signature|x-amz-[a-z-]+|token|se|st|skoid)=[^&\s]+")

_OF_ANOTHER_REGION = (
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
)
_BY_CODE = {
    "ExpiredToken": Verdict.EXPIRED,
    "ExpiredTokenException": Verdict.EXPIRED,
    "TokenRefreshRequired": Verdict.EXPIRED,
    "RequestTimeout": Verdict.UNSURE,
    "SlowDown": Verdict.UNSURE,
    "QuotaExceeded": Verdict.FULL,
    "InsufficientStorage": Verdict.FULL,
    "XMinioStorageFull": Verdict.FULL,
    "XMinioAdminBucketQuotaExceeded": Verdict.FULL,
}
_BY_STATUS = {
    401: Verdict.DENIED,
    403: Verdict.DENIED,
    404: Verdict.ABSENT,
    408: Verdict.UNSURE,
    409: Verdict.CONFLICT,
    412: Verdict.CONFLICT,
    416: Verdict.BEYOND,
    425: Verdict.UNSURE,
    429: Verdict.UNSURE,
    501: Verdict.FAILED,
    505: Verdict.FAILED,
    507: Verdict.FULL,
}

# The server's word for credentials that it knows, and that may not do this.
_LACKS_A_RIGHT = {"AccessDenied", "AuthorizationPermissionMismatch", "UnauthorizedAccess"}


# What services say of an object that must stay: each in words of its own, some with the code of
# credentials that lack a right.
_RETAINED = regex(r"(?i)retention|immutab|\block(?:ed)?\b|ObjectLock|\bworm\b|legal hold")
_MAY_BE_RETAINED = (Verdict.DENIED, Verdict.CONFLICT, Verdict.FAILED)
_WANTS_CHECKSUM = "Content-MD5"


def judge(error: Exception, secrets: frozenset[str] = frozenset()) -> Fault:
    """Return what an error of obstore means; *secrets* never appear in its words."""
    text = str(error)
    first = _DEBUG.sub("", text).strip()
    status = _STATUS.search(first)
    if status is not None:
        body = status[3] or ""
        code = _match(_CODE, body)
        number = int(status[1])
        verdict = _BY_CODE.get(code) or _BY_STATUS.get(number)
        if verdict is None:
            verdict = Verdict.UNSURE if number >= 500 else Verdict.FAILED
        message = _match(_MESSAGE, body).partition("\n")[0].rstrip(".")
        said = ": ".join(part for part in (code, message) if part)
        words = f"The server answered {number} {status[2].strip()}" + (f" ({said})" if said else "")
        why = f"{said} {_match(_DETAILS, body)}"
        if verdict in _MAY_BE_RETAINED and _RETAINED.search(why) and _WANTS_CHECKSUM not in why:
            verdict = Verdict.RETAINED
        return Fault(verdict, _without(words, secrets) + ".", code, number)
    if isinstance(error, FileNotFoundError):
        return Fault(Verdict.ABSENT, _without(_last(first), secrets))
    kind = type(error).__name__
    if kind in ("AlreadyExistsError", "PreconditionError"):
        return Fault(Verdict.CONFLICT, _without(_last(first), secrets))
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return Fault(Verdict.DENIED, _without(_last(first), secrets))
    if _BEYOND.search(first):
        return Fault(Verdict.BEYOND, _without(_last(first), secrets))
    if kind == "GenericError" and "HTTP error" in first:
        return Fault(Verdict.UNSURE, _transport(first, text, secrets))
    return Fault(Verdict.FAILED, _without(_last(first), secrets))


def _transport(first: str, text: str, secrets: frozenset[str]) -> str:
    kind = _KIND.search(text)
    if kind is not None and kind[1] == "Connect":
        reason = _REASON.search(text)
        said = f": {next(part for part in reason.groups() if part)}" if reason else ""
        return f"{NO_CONNECTION}{_without(said, secrets)}."
    if kind is not None:
        return "The server did not answer in time."
    if "body" in first:
        return "The connection ended in the middle of an answer."
    return f"The connection ended without an answer ({_without(_last(first), secrets)})"


def _last(text: str) -> str:
    """Return the end of an error's first line, behind addresses and durations."""
    line = _STORE.sub("", text.partition("\n")[0].rpartition(" - ")[2].strip())
    return line if line.endswith(".") else f"{line}."


def _match(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].strip() if found else ""


def _without(text: str, secrets: frozenset[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return _SIGNED.sub(r"\1=…", text)


def raised(fault: Fault, what: str, place: str, source: str, hint: str) -> StoreError:
    """Return the error for a fault that ends a command. *what* was tried at *place*, with
    credentials from *source*; *hint* says how others are given."""
    if fault.verdict is Verdict.FULL:
        return StoreFull(
            f"no space left in {place}",
            detail=fault.words,
            hint="Raise the quota there, or free space: snap gc --remote NAME, or --repo URL",
        )
    if fault.code == "RequestTimeTooSkewed":
        return StoreError(
            f"cannot {what}: this machine's clock is wrong",
            detail=fault.words,
            hint="Set the clock, then run the command again.",
        )
    if fault.code in _OF_ANOTHER_REGION:
        return StoreError(
            f"cannot {what}: the bucket is in another region",
            detail=fault.words,
            hint="Name its region: ?region=NAME behind the URL, or AWS_REGION.",
        )
    if fault.status == 400 and _WANTS_CHECKSUM in fault.words:
        return StoreError(
            f"cannot {what}: the bucket locks objects, and takes them with a checksum only",
            detail=fault.words,
            hint="Add it to the URL: s3://BUCKET/PREFIX?checksum=sha256",
        )
    if fault.verdict is Verdict.RETAINED:
        return ObjectLocked(
            f"cannot {what}: a retention protects it",
            detail=f"{fault.words} It was tried at {place}.",
            hint="Wait until it ends, then run the command again.",
        )
    if fault.verdict in (Verdict.DENIED, Verdict.EXPIRED):
        is_old = fault.verdict is Verdict.EXPIRED
        # With newer ones it would be done.
        error = StoreError if is_old else StoreRefused
        if fault.code in _LACKS_A_RIGHT:
            hint = f"If they are meant for this, they lack a right (docs/offsite.md). Else: {hint}"
        return error(
            f"cannot {what}: " + ("the credentials have expired" if is_old else "access is denied"),
            detail=f"{fault.words} The credentials are from {source}.",
            hint=hint,
        )
    return StoreError(f"cannot {what}", detail=f"{fault.words} It was tried at {place}.")
