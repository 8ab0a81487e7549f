"""The whole exception tree, and the exit code of each class.

Messages follow PostgreSQL's style: the message is lower case without a period, the detail and the
hint are sentences. A hint names the exact command to run wherever there is one. This module must
not import anything from the package.

    SnapError 1
    |- ValueUnfit
    |- UsageError 2
    |- CheckRed 4
    |- Declined 5
    |- RepositoryError 10          RepositoryNotFound, NotARepository, RepositoryExists, TagExists,
    |  |                           UntrustedPath (ForeignPath)
    |  |- RepositoryLocked 11
    |  |- WrongKey 12
    |  `- FormatTooNew 13
    |- RevisionError 20            UnknownRevision, AmbiguousRevision
    |- SourceError 30              ConnectionFailed, DumpFailed, DumpIncomplete, TablesChanged,
    |                              UnusableInput, ToolMissing, ToolVersion
    |- RestoreError 40             TargetExists, TargetRefused, RestoreFailed
    |- StoreError 50               ObjectNotFound, ObjectExists, StoreFull, StoreChanged
    |- CorruptionError 60
    |- DrillFailed 65
    `- Interrupted 130
"""

from __future__ import annotations

from typing import ClassVar


class SnapError(Exception):
    """Any error that is reported to the user in words. Carries message, detail and hint."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint


class UsageError(SnapError):
    """The command line, an environment variable or snap.toml asks for something impossible."""

    exit_code = 2
    kind = "usage"


class ValueUnfit(SnapError):
    """A value of a table has no equal in the format that it was to be written in."""

    kind = "value-unfit"


class CheckRed(SnapError):
    """`snap check` found something red."""

    exit_code = 4
    kind = "check-red"


class Declined(SnapError):
    """The user answered no, or nobody could be asked."""

    exit_code = 5
    kind = "declined"


class RepositoryError(SnapError):
    """The repository as a whole cannot be used."""

    exit_code = 10
    kind = "repository"


class RepositoryNotFound(RepositoryError):
    """There is no repository at the given place."""

    kind = "repository-not-found"


class NotARepository(RepositoryError):
    """The given place holds something other than a repository."""

    kind = "not-a-repository"


class RepositoryExists(RepositoryError):
    """`snap init` found a repository, or a folder that is not empty."""

    kind = "repository-exists"


class UntrustedPath(RepositoryError):
    """A symbolic link, a special file, or another user's file where snap keeps its own files."""

    kind = "untrusted-path"


class ForeignPath(UntrustedPath):
    """A file that belongs to another user."""


class TagExists(RepositoryError):
    """A tag exists already, or does not point where it was expected to."""

    kind = "tag-exists"


class RepositoryLocked(RepositoryError):
    """Another process holds the repository."""

    exit_code = 11
    kind = "locked"


class WrongKey(RepositoryError):
    """The key does not open this repository, or it is encrypted and should not be, or the other way
    round."""

    exit_code = 12
    kind = "wrong-key"


class StoreBehind(RepositoryError):
    """The store does not show what it must have."""

    exit_code = 12
    kind = "behind"


class FormatTooNew(RepositoryError):
    """A stored object has a critical field that this version does not know."""

    exit_code = 13
    kind = "format-too-new"


class RevisionError(SnapError):
    """A revision names no snapshot, or more than one."""

    exit_code = 20
    kind = "revision"


class UnknownRevision(RevisionError):
    """No snapshot has this name."""

    kind = "unknown-revision"


class AmbiguousRevision(RevisionError):
    """The name matches more than one snapshot."""

    kind = "ambiguous-revision"


class AmbiguousChain(AmbiguousRevision):
    """A label has snapshots of several servers, and it is not clear which server is meant."""

    kind = "ambiguous-chain"


class SourceError(SnapError):
    """The source of a commit could not be read completely. Nothing was recorded."""

    exit_code = 30
    kind = "source"


class ConnectionFailed(SourceError):
    """Connecting to PostgreSQL failed: wrong address, password, or database."""

    kind = "connection"


class QueryFailed(SourceError):
    """One of snap's own statements failed on the server."""

    kind = "query"

    def __init__(
        self, message: str, *, detail: str = "", hint: str = "", sqlstate: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.sqlstate = sqlstate


class DumpFailed(SourceError):
    """pg_dump exited with an error."""

    kind = "dump-failed"


class DumpIncomplete(SourceError):
    """A dump that is truncated or empty."""

    kind = "dump-incomplete"


class TablesChanged(SourceError):
    """Tables were changed while pg_dump was starting, on every attempt."""

    kind = "tables-changed"


class UnusableInput(SourceError):
    """The file is not a plain SQL dump of one database."""

    kind = "unusable-input"


class ToolMissing(SourceError):
    """pg_dump, pg_dumpall or psql was not found."""

    kind = "tool-missing"


class ToolVersion(SourceError):
    """The installed client tools do not match the server's version."""

    kind = "tool-version"


class RestoreError(SnapError):
    """A restore did not happen. The live database is unchanged."""

    exit_code = 40
    kind = "restore"


class TargetExists(RestoreError):
    """`--to` names a database that exists already."""

    kind = "target-exists"


class TargetRefused(RestoreError):
    """A rule forbids this restore; the hint names the grant or command that helps."""

    kind = "target-refused"


class RestoreFailed(RestoreError):
    """psql or the server stopped the restore."""

    kind = "restore-failed"


class StoreError(SnapError):
    """The store cannot be read or written."""

    exit_code = 50
    kind = "store"


class ObjectNotFound(StoreError):
    """The store has no object of this name."""

    kind = "object-not-found"


class ObjectExists(StoreError):
    """`create` found an object of the same name."""

    kind = "object-exists"


class StoreFull(StoreError):
    """No space left, or the quota is used up."""

    kind = "store-full"


class StoreRefused(StoreError):
    """The store does not let these credentials do that."""


class ObjectLocked(StoreRefused):
    """The store keeps an object until its retention ends, whoever asks."""

    kind = "object-locked"


class StoreChanged(StoreError):
    """A compare-and-swap found a value other than the expected one."""

    kind = "store-changed"


class CorruptionError(SnapError):
    """The bytes read are not those that were stored."""

    exit_code = 60
    kind = "corruption"


class ChangesMissed(SnapError):
    """A commit found that an earlier one had taken something for unchanged that was not."""

    exit_code = 60
    kind = "changes-missed"


class DrillFailed(SnapError):
    """A rollback test failed."""

    exit_code = 65
    kind = "drill-failed"


class Interrupted(SnapError):
    """Ctrl-C or SIGTERM."""

    exit_code = 130
    kind = "interrupted"


BUG_EXIT_CODE = 70

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "done"),
    (1, "failed"),
    (2, "usage: the command line, an environment variable or snap.toml is wrong"),
    (3, "differences found (snap diff --exit-code), or not decided (snap bisect)"),
    (4, "a red check"),
    (5, "declined at the prompt, or nobody could be asked"),
    (10, "repository: missing, not one, or it exists already"),
    (11, "repository locked by another process"),
    (
        12,
        "wrong or missing key; encrypted and must not be, or the reverse; behind what is expected",
    ),
    (13, "written by a newer version of snap"),
    (20, "unknown or ambiguous revision"),
    (30, "source failed: connection, pg_dump, a query, or a file that is not a whole dump"),
    (40, "restore failed or refused; the live database is as it was"),
    (50, "store unavailable or full"),
    (60, "damage found"),
    (65, "drill failed"),
    (70, "a bug in snap"),
    (126, "the command of snap run, open or bisect cannot be executed"),
    (127, "the command of snap run, open or bisect was not found"),
    (130, "interrupted"),
)
