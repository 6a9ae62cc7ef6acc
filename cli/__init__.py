"""The command line: one file per command, which is imported when the command is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from .. import __version__
from ..atomic import FULL

_COMMANDS = {
    "cycle": "from a shop's files to the price list of the weeks to come, every week",
    "demo": "run the whole loop on a real data set, offline",
    "data": "check, import and summarise a shop's tables",
    "fit": "fit every model and write the resulting market",
    "newcomers": "forecast products that were not sold yet, and name those most like them",
    "federate": "fit one demand regression over shops that share no rows",
    "scenarios": "list the scenarios, or describe one with its known optimum",
    "simulate": "run a policy and write the sales it makes as a table",
    "train": "learn prices in a scenario",
    "tune": "search an algorithm's settings for a scenario",
    "sweep": "train many algorithms on many scenarios, into one table",
    "league": "let all sellers learn against each other, and audit their prices",
    "evaluate": "compare policies on the same customers",
    "explain": "explain a price and its alternatives, or a whole policy",
    "export": "write a run's policy as a signed, pickle-free bundle",
    "refresh": "take newer tables into a bundle, without training",
    "price": "answer a price request from a bundle, offline",
    "answer": "answer a customer's question about a price, from a bundle",
    "prices": "write the price list of the recommended prices",
    "rules": "show what each price rule costs, and the key-value items",
    "what-if": "try prices: what they would sell and earn",
    "experiment": "plan price experiments that teach the market",
    "markdown": "plan prices that only fall and sell the stock by a date",
    "approve": "check the decisions in a price list, record them and make the list live",
    "desk": "show a price list as a page, to decide on it and make it live",
    "serve": "answer price requests from a bundle over HTTP",
    "log": "export, verify and summarise the service's decisions and their sales",
    "keys": "create, list and remove API keys of the price service",
    "certify": "state with confidence what prices lose at most, from a log or from a running service",
    "report": "write a run's report as one HTML file",
    "bench": "measure speed, or predicted against realised gains",
}
_EXTRAS = dict.fromkeys(("jinja2", "prometheus_client", "sqlalchemy", "starlette", "uvicorn"), "serve") | {
    "psycopg": "postgres",
    "duckdb": "scale",
    "ray": "scale",
    "opendp": "privacy",
    "opacus": "privacy",
    "vaderSentiment": "text",
    "wordllama": "text",
}
"""The extra that installs a library; `train` installs all others."""


class _Commands(click.Group):
    """Finds a command's file by its name, and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return importlib.import_module(f".{cmd_name.replace('-', '_')}", __name__).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Without importing any command: `--help` needs none of their libraries.
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            # Processes that a command starts print no warnings: each of them would print all, in Python's own form.
            # This process prints every warning once, as one line.
            with warnings.catch_warnings(), environment("PYTHONWARNINGS", "ignore"):
                warnings.showwarning = partial(_note, set())
                return super().invoke(ctx)
        except ValueError as error:
            _fail(str(error), 2)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").split(".")[0], "train")
            _fail(f"this command needs {error.name}, which is not installed; pip install 'repricer[{extra}]'", 1)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _output_is_closed():
                sys.exit(_CLOSED_OUTPUT)
            reason = str(error.strerror or error)
            advice = "make room there" if error.errno in FULL else "check the path and its permissions"
            _fail(f"{error.filename}: {reason}; {advice}" if error.filename else reason, 1)
        except KeyboardInterrupt:
            _fail("interrupted; run the same command again to continue", 130)


@contextmanager
def environment(variable: str, value: str) -> Iterator[None]:
    """An environment variable that is set for a while, for this process and those that it starts."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        del os.environ[variable]
        os.environ |= {} if before is None else {variable: before}


# joblib replaces a process that has grown, and a remainder of rows is a smaller batch: nothing for a user to do.
_OF_LIBRARIES = ("A worker stopped while some jobs were given", "You have specified a mini-batch size")


def _note(printed: set[str], message: Warning | str, category: type[Warning], *_: object) -> None:
    """A warning as one line, once, without the line of code that gave it; those for developers are left out."""
    for_developers = DeprecationWarning | FutureWarning | PendingDeprecationWarning | ResourceWarning
    line = " ".join(str(message).split())
    if not issubclass(category, for_developers) and not line.startswith(_OF_LIBRARIES) and line not in printed:
        printed.add(line)
        click.echo(f"repricer: note: {line}", err=True)


_CLOSED_OUTPUT = 141
"""As shells report a program that wrote to a pipe that is no longer read."""


def _output_is_closed() -> bool:
    """Whether who read the output, say `head`, has seen enough; what is left of it is then dropped."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(message: str, code: int) -> None:
    click.echo(f"repricer: {' '.join(message.split())}", err=True)
    sys.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="repricer")
def main() -> None:
    """Learn prices in a simulated market fitted on a shop's data, evaluate and serve them.

    Every command takes --json, and --seed if it draws random numbers. Exit codes: 0 for success, 2
    for wrong input, with one line that says what is wrong, 1 for failure.
    """
    # Looking for garbage among all libraries at exit would take a second.
    atexit.register(gc.freeze)
    logger = logging.getLogger("repricer.envs")
    if sys.stderr.isatty() and not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
