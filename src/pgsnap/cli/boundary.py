"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgsnap import __version__, interrupts
from pgsnap.cli.console.console import Console
from pgsnap.cli.console.terminal import OutputClosed, Terminal
from pgsnap.cli.text import render
from pgsnap.cli.text.layout import fitted
from pgsnap.cli.text.program import named, program
from pgsnap.cli.text.redact import redact
from pgsnap.cli.text.short_name import short_name
from pgsnap.cli.wiring.invocation import Invocation, wants_json
from pgsnap.errors import BUG_EXIT_CODE, ConnectionFailed, Interrupted, SnapError
from pgsnap.files.owned import make_folders
from pgsnap.files.refusals import refused

# Commands that write to a repository or a database, or read contents out.
AUDITED = frozenset(
    {
        *(
            "init",
            "commit",
            "run",
            "import",
            "tag",
            "forget",
            "unforget",
            "gc",
            "repair",
            "reindex",
        ),
        *("database", "push", "pull", "clone", "remote", "key"),
        *("restore", "undo", "verify", "drill", "cat", "export", "diff"),
        *("open", "query", "bisect", "report", "ui"),
    }
)

_AT_ONCE = Interrupted(
    "interrupted at once, by a second Ctrl-C",
    detail="What it had begun was not cleaned up.",
    hint="A restore drops what restores left, and so does a drill.",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code. Raises nothing but KeyboardInterrupt, for a
    signal while the audit log is written."""
    invocation = Invocation(Terminal.of_process())
    # Until the options are parsed, so that an interrupt is reported in the requested form.
    invocation.console.json = wants_json(arguments)
    words = _text_of(invocation.console, error_fields(_AT_ONCE, clean=str))
    interrupts.set_last_words(words + "\n")
    return run_in(invocation, arguments)


def run_in(invocation: Invocation, arguments: Sequence[str]) -> int:
    """Do what `run` does, in an *invocation* that was made for these *arguments*."""
    started = datetime.now(UTC)
    code = _run(invocation, arguments)
    if invocation.opened is not None and invocation.command in AUDITED:
        # Imported here, so that `snap log` does not pay for it.
        from pgsnap.cli.audit_trail import record_run

        record_run(invocation, started, code)
    return code


def _run(invocation: Invocation, arguments: Sequence[str]) -> int:
    terminal = invocation.console.terminal
    try:
        from pgsnap.cli.app import execute

        interrupts.check()
        code = execute(program(), arguments, invocation)
        terminal.flush()
        return code
    except OutputClosed:
        terminal.abandon_output()
        return SnapError.exit_code
    except ConnectionFailed as error:
        from pgsnap.cli.wiring.connect import unnamed_hint

        error.hint = unnamed_hint(invocation.settings) or error.hint
        return _tell(invocation.console, error)
    except SnapError as error:
        return _tell(invocation.console, error)
    except KeyboardInterrupt as stop:
        return _tell(invocation.console, Interrupted(str(stop) or "interrupted"))
    except OSError as error:
        translated = refused(error)
        if translated is None:
            return _tell_bug(invocation.console, error, arguments)
        return _tell(invocation.console, translated)
    except Exception as error:  # noqa: BLE001 - the one place that turns a bug into words
        return _tell_bug(invocation.console, error, arguments)


def _tell(console: Console, error: SnapError) -> int:
    fields = error_fields(error)
    _tell_fields(console, fields)
    return int(fields["exit_code"])


def error_fields(error: SnapError, clean: Callable[[str], str] = redact) -> dict[str, Any]:
    """Return the --json fields of *error*, without passwords, which *clean* takes out; its commands
    under the program's name."""
    return {
        "kind": error.kind,
        "message": named(clean(error.message)),
        "detail": named(clean(error.detail)),
        "hint": named(clean(error.hint)),
        "exit_code": error.exit_code,
    }


def _tell_fields(console: Console, fields: dict[str, Any]) -> None:
    terminal = console.terminal
    try:
        terminal.flush()
    except (OutputClosed, SnapError):
        terminal.abandon_output()
    console.fail(fields, _text_of(console, fields))


def _text_of(console: Console, fields: dict[str, Any]) -> str:
    if console.json:
        return render.json_text({"error": fields})
    terminal = console.terminal
    lines = error_lines(fields, colour=terminal.stderr_colour)
    return "\n".join(fitted(lines, terminal.stderr_columns, apart=True))


def error_lines(fields: dict[str, Any], *, colour: bool = False) -> list[str]:
    """Return an error as lines, in the style of PostgreSQL's own programs."""
    mark = render.style("error:", "red", colour)
    lines = [f"{short_name()}: {mark} {render.plain(fields['message'], keep_lines=True)}"]
    for label, key in (("DETAIL", "detail"), ("HINT", "hint")):
        if fields[key]:
            lines.append(f"{label}:  {render.plain(fields[key], keep_lines=True)}")
    return lines


def _tell_bug(console: Console, error: Exception, arguments: Sequence[str]) -> int:
    # Imported here: at the top they would slow down every start.
    import platform
    import traceback

    trace = redact("".join(traceback.format_exception(error)))
    versions = f"snap {__version__}, Python {platform.python_version()}, {platform.platform()}"
    kept = None if console.verbose else _keep_trace(f"{versions}\n{_command(arguments)}\n{trace}")
    hint = "Please report this"
    if kept is not None:
        hint += f' with the file "{kept}".'
    elif console.verbose:
        hint += " with the traceback above."
    else:
        hint += "; run the command again with --verbose to see where it happened."
    if console.verbose and not console.json:
        console.terminal.note(trace.rstrip())
    fields = {
        "kind": "bug",
        "message": redact(f"a bug in snap: {type(error).__name__}: {error}"),
        "detail": f"{versions}.",
        "hint": hint,
        "exit_code": BUG_EXIT_CODE,
    }
    if console.verbose and console.json:
        fields["traceback"] = trace
    _tell_fields(console, fields)
    return BUG_EXIT_CODE


def _command(arguments: Sequence[str]) -> str:
    """Return the first argument, if it is a word: anything else may contain a password."""
    return next((word for word in arguments[:1] if word.isidentifier()), "")


def _keep_trace(text: str) -> Path | None:
    """Write the traceback to a file that only the user can read; None if it cannot be written."""
    import tempfile

    named = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        folder = Path(named) / "pgsnap"
        make_folders(folder)
        # mkstemp creates the file with mode 0600 and never follows somebody else's link.
        descriptor, name = tempfile.mkstemp(prefix=f"bug-{stamp}-", suffix=".txt", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except (OSError, RuntimeError):
        return None
    return Path(name)
