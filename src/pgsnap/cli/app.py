"""The typer application: global options on every command, help in plain sections, click's
errors converted to snap's."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import click
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from pgsnap import __version__
from pgsnap.cli import commands
from pgsnap.cli.config.keys import Option
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.help_text import GLOBAL_PANEL, Formatter, format_end, format_options
from pgsnap.cli.text.other_verbs import meant
from pgsnap.cli.text.redact import without_uri
from pgsnap.cli.text.short_name import short_name
from pgsnap.cli.wiring.invocation import Invocation, wants_json
from pgsnap.errors import Interrupted, UsageError
from pgsnap.words import nearest

_NUMBERS = (click.types.IntParamType, click.types.FloatParamType)
CONFIG = Option(
    "--config", "FILE", "The snap.toml to use instead of the one found from here upwards."
)


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Store a global option in the invocation. The command is parsed after the group, so the later
    occurrence wins."""
    if option.name is None:
        return
    if ctx.get_parameter_source(option.name) is not click.core.ParameterSource.COMMANDLINE:
        return
    invocation = ctx.find_object(Invocation)
    if invocation is None or (ctx.resilient_parsing and not invocation.completes):
        return
    console = invocation.console
    if option.name in ("quiet", "verbose"):
        console.quiet, console.verbose = option.name == "quiet", option.name == "verbose"
    elif option.name == "no_progress":
        console.has_bar = False
    elif option.name == "no_pager":
        console.has_pager = False
    elif option.name == "json":
        console.json = True
    else:
        setattr(invocation.given, option.name, value)


def _show_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    invocation = ctx.find_object(Invocation)
    if invocation is not None:
        # Also where --json comes after it.
        invocation.console.json = invocation.json_asked
        lines = [f"{short_name()} {__version__}"]
        invocation.console.emit({"program": short_name(), "version": __version__}, lines)
    ctx.exit()


def _global_options() -> list[TyperOption]:
    def flag(*names: str, help: str, callback: Any = _remember, eager: bool = False) -> TyperOption:
        return TyperOption(
            param_decls=list(names),
            is_flag=True,
            default=False,
            help=help,
            expose_value=False,
            callback=callback,
            is_eager=eager,
            rich_help_panel=GLOBAL_PANEL,
        )

    def text(option: Option | None) -> TyperOption:
        assert option is not None
        return TyperOption(
            param_decls=[option.name],
            metavar=option.metavar,
            type=str,
            default=None,
            help=option.help,
            expose_value=False,
            callback=_remember,
            rich_help_panel=GLOBAL_PANEL,
        )

    return [
        text(KEYS["repository"].option),
        text(CONFIG),
        *(text(KEYS[name].option) for name in ("dsn", "database", "container", "compose")),
        *(text(KEYS[name].option) for name in ("lock_timeout", "passphrase_command", "key_file")),
        flag("--json", help="Print one JSON object (or array) and nothing else on stdout."),
        flag("--quiet", "-q", help="Print results, warnings and errors only."),
        flag("--verbose", "-v", help="Print more; show the traceback of a bug."),
        flag("--no-progress", help="No progress bar, also on a terminal."),
        flag("--no-pager", help="No pager, also on a terminal."),
        flag("--version", help="Show the version and exit.", callback=_show_version, eager=True),
    ]


def _completion_options() -> list[TyperOption]:
    """Return the options that version 0.1 had for what `snap completion` does."""
    return [
        TyperOption(
            param_decls=[name],
            is_flag=True,
            default=False,
            expose_value=False,
            is_eager=True,
            hidden=True,
            callback=_complete,
        )
        for name in ("--install-completion", "--show-completion")
    ]


def _complete(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        module = commands.module("completion")
        module.run(ctx, None, option.name == "install_completion")
        ctx.exit()


class _Context(click.Context):
    formatter_class = Formatter


class Command(TyperCommand):
    """A command with the global options, and its epilog shown as examples."""

    context_class = _Context

    def __init__(self, name: str | None, **attributes: Any) -> None:
        attributes["params"] = [*(attributes.get("params") or ()), *_global_options()]
        super().__init__(name, **attributes)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_limit(args))

    def _with_limit(self, args: list[str]) -> list[str]:
        """Return *args* with `-5` as `--limit 5`, in a command that takes `-n 5`."""
        options = [param for param in self.params if isinstance(param, click.Option)]
        if not any("-n" in option.opts for option in options):
            return args
        taking = {name for option in options if not option.is_flag for name in option.opts}
        found: list[str] = []
        for place, word in enumerate(args):
            before = args[place - 1] if place else ""
            if before == "--":
                return [*found, *args[place:]]
            is_limit = re.fullmatch("-[0-9]+", word) and before not in taking
            found += ["--limit", word[1:]] if is_limit else [word]
        return found

    def invoke(self, ctx: click.Context) -> Any:
        invocation = ctx.find_object(Invocation)
        if invocation is not None:
            invocation.command, invocation.parameters = ctx.info_name, dict(ctx.params)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_end(self.epilog, formatter)


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name, each built on access: importing all of them takes longer than
    `snap log`."""

    def __init__(self) -> None:
        self._built: dict[str, click.Command | None] = dict.fromkeys(commands.NAMES)

    def __getitem__(self, name: str) -> click.Command:
        found = self._built[name]
        if found is None:
            module = commands.module(name)
            # An application with a single command is built to that command.
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            settings = getattr(module, "CONTEXT_SETTINGS", None)
            make = alone.command(
                name, cls=Command, epilog=module.EXAMPLES, context_settings=settings
            )
            make(module.run)
            found = self._built[name] = typer.main.get_command(alone)
        return found

    def __setitem__(self, name: str, made: click.Command) -> None:
        self._built[name] = made

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)


class _NoSuchCommand(click.UsageError):
    """A word that no command has for a name."""

    def __init__(self, ctx: click.Context, verb: str) -> None:
        super().__init__(f'no such command "{verb}"', ctx)
        self.verb = verb


class Group(TyperGroup):
    """`snap` itself."""

    context_class = _Context

    def __init__(self, **attributes: Any) -> None:
        attributes["params"] = [*_completion_options(), *_global_options()]
        super().__init__(**{**attributes, "commands": _Commands()})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb[:1].isalnum() and verb not in self.commands and not ctx.resilient_parsing:
            raise _NoSuchCommand(ctx, without_uri(verb))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_end(self.epilog, formatter)


CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}

app = typer.Typer(
    name="snap",
    cls=Group,
    help="Git for the contents of a PostgreSQL database.",
    epilog="""
        export DATABASE_URL=postgresql://me@localhost/shop
        snap init
        snap commit -m "before the migration" --tag pre-migration
        snap log
        snap restore pre-migration
    """,
    context_settings=CONTEXT_SETTINGS,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _snap() -> None:
    """Makes it a group, though it has no commands yet."""


@functools.cache
def command() -> click.Group:
    """Return the whole application as click sees it, commands in the order of `--help`."""
    built = typer.main.get_command(app)
    assert isinstance(built, click.Group)
    return built


def execute(prog: str, arguments: Sequence[str], invocation: Invocation) -> int:
    """Parse *arguments* and run the command. Returns the exit code of a run without an error.

    Raises SnapError: click's own errors as UsageError.
    """
    group = command()
    # From here on the parsed options decide.
    invocation.json_asked, invocation.console.json = wants_json(arguments), False
    try:
        with group.make_context(prog, list(arguments), obj=invocation) as ctx:
            group.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as end:
        invocation.console.terminal.note(end.message)
        return UsageError.exit_code
    except click.UsageError as error:
        # Parsing stopped early: look for --json, so that the error has the requested form.
        invocation.console.json = wants_json(arguments)
        raise _usage_error(error, prog) from None
    except click.ClickException as error:
        raise UsageError(_as_message(without_uri(error.format_message()))) from None
    except click.Abort:
        raise Interrupted("interrupted") from None
    return 0


def _usage_error(error: click.UsageError, prog: str) -> UsageError:
    path = error.ctx.command_path if error.ctx is not None else prog
    advice = f"Run `{path} --help`."
    if isinstance(error, _NoSuchCommand):
        return UsageError(error.message, hint=meant(error.verb) or advice)
    if isinstance(error, click.NoSuchOption):
        known = sorted(error.possibilities or ())
        if known:
            likely = nearest(error.option_name, known)
            advice = f"Did you mean {likely or ' or '.join(known)}?"
        return UsageError(f'unknown option "{error.option_name}"', hint=advice)
    if isinstance(error, click.BadParameter) and (wrong := _wrong_number(error)):
        return UsageError(wrong, hint=advice)
    is_unclear = isinstance(error, click.MissingParameter) or _wants_message(error)
    if is_unclear and (example := _first_example(error.ctx)):
        advice = f"For example: {example}"
    message, mark, suggestion = without_uri(error.format_message()).partition(" Did you mean ")
    if mark:
        # Both click and typer may add a suggestion; one is enough.
        advice = "Did you mean " + suggestion.partition("?")[0].replace("'", '"') + "?"
    return UsageError(_as_message(message).replace("'", '"'), hint=advice)


def _wants_message(error: click.UsageError) -> bool:
    """Return whether a message may have been given without its option."""
    params = error.ctx.command.params if error.ctx is not None else []
    return "extra argument" in error.message and any("-m" in param.opts for param in params)


def _wrong_number(error: click.BadParameter) -> str:
    """Return what is wrong with a number, "" where none was expected."""
    kind = error.param.type if error.param is not None else None
    found = re.match(r"'?(.*?)'? is not (?:a valid|in the range) ", error.message, re.DOTALL)
    if error.param is None or found is None or not isinstance(kind, _NUMBERS):
        return ""
    wanted = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is not None:
        wanted += f" from {least:g} to {most:g}" if most is not None else f", {least:g} or more"
    return f'{max(error.param.opts, key=len)} "{without_uri(found[1])}" is not {wanted}'


def _first_example(ctx: click.Context | None) -> str:
    epilog = ctx.command.epilog if ctx is not None else None
    return epilog.strip().splitlines()[0].strip() if epilog else ""


def _as_message(text: str) -> str:
    text = text.strip().removesuffix(".")
    return text[:1].lower() + text[1:]
