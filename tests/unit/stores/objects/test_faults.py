"""What errors of object stores mean, and that no secret is in their words."""

from __future__ import annotations

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError

from pgsnap.errors import ObjectLocked, StoreError, StoreFull, StoreRefused
from pgsnap.stores.objects.faults import Fault, Verdict, judge, raised


def answered(status: str, code: str, message: str = "") -> str:
    return (
        "Generic S3 error: Error performing PUT https://b.example/p in 3ms - Server returned"
        f" non-2xx status code: {status}: <Error><Code>{code}</Code><Message>{message}</Message>"
        '</Error>\n\nDebug source:\nGeneric { store: "S3", body: "status code: 200 OK" }'
    )


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (GenericError(answered("503 Service Unavailable", "SlowDown")), Verdict.UNSURE),
        (GenericError(answered("500 Internal Server Error", "InternalError")), Verdict.UNSURE),
        (GenericError(answered("501 Not Implemented", "NotImplemented")), Verdict.FAILED),
        (GenericError(answered("400 Bad Request", "InvalidArgument")), Verdict.FAILED),
        (GenericError(answered("400 Bad Request", "RequestTimeout")), Verdict.UNSURE),
        (GenericError(answered("400 Bad Request", "ExpiredToken")), Verdict.EXPIRED),
        (GenericError(answered("507 Insufficient Storage", "x")), Verdict.FULL),
        (GenericError(answered("416 Range Not Satisfiable", "InvalidRange")), Verdict.BEYOND),
        (AlreadyExistsError(answered("412 Precondition Failed", "x")), Verdict.CONFLICT),
        (PermissionDeniedError(answered("403 Forbidden", "AccessDenied")), Verdict.DENIED),
        (PermissionDeniedError(answered("403 Forbidden", "QuotaExceeded")), Verdict.FULL),
        (FileNotFoundError("Object at location x not found"), Verdict.ABSENT),
        (GenericError("Generic S3 error: HTTP error: error sending request"), Verdict.UNSURE),
        (GenericError("Generic S3 error: something new"), Verdict.FAILED),
        (ValueError("no path"), Verdict.FAILED),
    ],
)
def test_an_error_means(error: Exception, verdict: Verdict) -> None:
    assert judge(error).verdict is verdict


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ("403 Forbidden", "ObjectLockedByBucketPolicy", "The object is locked by a rule."),
        (
            "403 Forbidden",
            "AccessDenied",
            "</Message><Details>Subject to bucket's retention policy",
        ),
        ("409 Conflict", "BlobImmutableDueToPolicy", "The blob is immutable due to a policy."),
        ("400 Bad Request", "InvalidRequest", "Object is WORM protected."),
        ("403 Forbidden", "AccessDenied", "It has a legal hold."),
    ],
)
def test_what_a_retention_protects_is_no_lack_of_rights(
    status: str, code: str, message: str
) -> None:
    text = answered(status, code, message)
    if "<Details>" in message:
        text = text.replace("policy</Message>", "policy</Details>")
    assert judge(GenericError(text)).verdict is Verdict.RETAINED


@pytest.mark.parametrize("message", ["Access Denied", "Public access is blocked.", "A deadlock."])
def test_a_right_that_is_missing_is_no_retention(message: str) -> None:
    text = answered("403 Forbidden", "AccessDenied", message)
    assert judge(PermissionDeniedError(text)).verdict is Verdict.DENIED


def test_the_words_are_the_providers_and_short() -> None:
    fault = judge(GenericError(answered("400 Bad Request", "BadDigest", "It does not match.\nId")))
    assert fault.words == "The server answered 400 Bad Request (BadDigest: It does not match)."


def test_no_secret_is_in_the_words() -> None:
    text = answered(
        "400 Bad Request", "Odd", "key geheim1 at ?sig=geheim2&amp;X-Amz-Token=geheim3 !"
    )
    assert "geheim" not in judge(GenericError(text), frozenset(["geheim1"])).words
    text = "Generic X error: odd answer from https://x.example/c?sv=1&sig=geheim2%3D&se=geheim3"
    assert "geheim" not in judge(GenericError(text)).words


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(Verdict.FULL, "Full."), StoreFull, "no space left in the bucket"),
        (Fault(Verdict.DENIED, "No."), StoreRefused, "cannot write: access is denied"),
        (
            Fault(Verdict.EXPIRED, "Old."),
            StoreError,
            "cannot write: the credentials have expired",
        ),
        (
            Fault(Verdict.RETAINED, "Not yet."),
            ObjectLocked,
            "cannot write: a retention protects it",
        ),
        (
            Fault(
                Verdict.FAILED, "It needs Content-MD5 or x-amz-checksum-.", "InvalidRequest", 400
            ),
            StoreError,
            "cannot write: the bucket locks objects, and takes them with a checksum only",
        ),
        (
            Fault(Verdict.DENIED, "Skew.", "RequestTimeTooSkewed", 403),
            StoreError,
            "cannot write: this machine's clock is wrong",
        ),
        (
            Fault(Verdict.FAILED, "There.", "PermanentRedirect", 301),
            StoreError,
            "cannot write: the bucket is in another region",
        ),
        (Fault(Verdict.UNSURE, "Late."), StoreError, "cannot write"),
    ],
)
def test_what_is_said_of_it(fault: Fault, kind: type[StoreError], words: str) -> None:
    error = raised(fault, "write", "the bucket", "the moon", "Ask the moon.")
    assert type(error) is kind
    assert error.message == words
    assert fault.words in error.detail
    if fault.verdict in (Verdict.DENIED, Verdict.EXPIRED) and not fault.code:
        assert "the moon" in error.detail
        assert error.hint == "Ask the moon."
