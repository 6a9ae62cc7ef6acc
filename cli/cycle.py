"""`repricer cycle`: from a shop's files to the price list of the weeks to come, one command a week."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import FILE, emit, json_option, say, tables_options


@click.command("cycle")
@click.argument("config", type=FILE)
@tables_options
@click.option("--dry-run", is_flag=True, help="Say what would be done and why, and write nothing.")
@click.option("--train", "retrain", is_flag=True, help="Train even where refreshing the last bundle would do.")
@json_option
def command(config: Path, dry_run: bool, retrain: bool, as_json: bool) -> None:
    """From a shop's files to the price list of the weeks to come, as CONFIG, a TOML file, says.

    The first cycle imports the tables, fits the market, trains, compares, exports a signed bundle
    and writes the price list. The next ones, on newer tables, first compare what was predicted with
    what was sold, then refresh the last bundle; they train again where that is due, or the
    configuration has changed. The same command on the same tables changes nothing; after an
    interruption it resumes.
    """
    from ..envs.compile_ahead import compile_ahead
    from ..planning.cycle.config import Cycle
    from ..planning.cycle.run import plan_cycle, run_cycle

    cycle = Cycle(config)
    if dry_run:
        document = plan_cycle(cycle, retrain)
        for line in [] if as_json else document["lines"]:
            say(line)
    else:
        compile_ahead()
        document = run_cycle(cycle, retrain, (lambda _: None) if as_json else say)
    if as_json:
        emit(document)
