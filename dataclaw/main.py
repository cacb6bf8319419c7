"""The `dataclaw` command."""

from __future__ import annotations

import os
import select
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dataclaw.commands.bench import bench
from dataclaw.commands.build import build
from dataclaw.commands.corpora import corpora
from dataclaw.commands.deploy import deploy
from dataclaw.commands.doctor import doctor
from dataclaw.commands.export import export
from dataclaw.commands.models import models
from dataclaw.commands.plan import plan
from dataclaw.commands.rejects import quarantine, rejects
from dataclaw.commands.replay import replay
from dataclaw.commands.samples import samples
from dataclaw.commands.serve import serve
from dataclaw.commands.status import runs, status
from dataclaw.commands.train import train
from dataclaw.commands.verify import verify
from dataclaw.commands.view import view

DEBUG = "DATACLAW_DEBUG"
INTERRUPTED = 130
UNREAD = 141
"""As shells report a tool that SIGPIPE ended."""


class Face(TyperGroup):
    """Turns what goes wrong inside any command into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()  # here a full disk or a reader that left can still be told of
            return result
        except KeyboardInterrupt:
            _tell(
                "interrupted: what was committed is kept, and the same command run again goes on from there"
                if ctx.invoked_subcommand == "build"
                else "interrupted"
            )
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _reader_left():
                raise typer.Exit(UNREAD) from None
            # Typer's own usage errors know how to show themselves; it is asked by module, as it vendors its parser.
            if type(error).__module__.startswith(("typer.", "click.")) or os.environ.get(DEBUG):
                raise
            raise typer.Exit(_explain(error)) from None


def _explain(error: Exception) -> int:
    """Shows an error as one line on stderr and gives the exit code it stands for."""
    from dataclaw.text import plain
    from schemas.errors import DataClawError, UsageError

    if isinstance(error, DataClawError):
        problem = error.problem
        _tell(f"{plain(problem.input)}: {plain(problem.words)}")
        return 2 if isinstance(error, UsageError) else 1
    if isinstance(error, OSError):
        _tell(f"{plain(error)}. Check the path, its permissions and the space on its disk")
        return 1
    _tell(
        f"unexpected {type(error).__name__}: {plain(error)}. {DEBUG}=1 or `dataclaw --debug` shows where it came from"
    )
    return 1


def _reader_left() -> bool:
    """Whether nobody reads standard output any more, as after `| head`. If so, what is left of it goes nowhere."""
    standing = select.poll()
    standing.register(sys.stdout.fileno(), 0)
    left = bool(standing.poll(0))  # asked for nothing, it tells of hang-ups
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def _tell(line: str) -> None:
    typer.echo(f"dataclaw: {line}", err=True)


app = typer.Typer(
    name="dataclaw",
    cls=Face,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    help="Raw multimodal streams and a sentence of intent in, verified training data out.",
    epilog="Start with `dataclaw samples streams`, then `dataclaw build streams/gui --intent 'Make a trajectory' "
    "--out corpus`, then `dataclaw view corpus`.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("dataclaw-factory"))
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show a traceback when something fails. {DEBUG}=1 does the same.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


for command in (
    samples, plan, build, verify, replay, status, runs, rejects, quarantine, view, export, serve, deploy, doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(corpora, name="corpora")
app.add_typer(models, name="models")
app.add_typer(train, name="train")


def main() -> None:
    """Entry point of the installed command."""
    # Names from streams may hold anything; a terminal that cannot show a letter gets an escape, not a crash.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
