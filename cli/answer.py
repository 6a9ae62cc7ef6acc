"""`repricer answer`: what a customer-service desk may say."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path

import click

from ._options import FILE, json_option, output, public_key_option
from .log import open_log
from .price import read_state


@click.command("answer")
@click.argument("question")
@click.option("--bundle", type=FILE, required=True, help="Folder of the bundle that prices the products.")
@click.option("--state", type=FILE, required=True, help="JSON file with the market's state; - reads standard input.")
@click.option("--log", help="Decision log, a SQLite file or the URL of a PostgreSQL database, for past prices.")
@click.option("--product", help="Name of the product, where QUESTION need not name it.")
@public_key_option
@json_option
def command(
    question: str,
    bundle: Path,
    state: Path,
    log: str | None,
    product: str | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Answer a customer's QUESTION about a price, from the bundle, the state and the decision log.

    QUESTION may be in English, German, French or Spanish; the answer is in English. What is not
    known is not answered: the answer then says what it can say.
    """
    from ..serving import Predictor, load_bundle
    from ..serving.answers.answer import RECENT, answer_question
    from ..serving.decision import POLICY, preview

    predictor = Predictor(load_bundle(bundle, public_key=public_key))
    asked = read_state(state)
    history = None
    seen, decision = preview(predictor, POLICY, asked)
    if log is not None:
        history = functools.partial(open_log(log).recent, count=RECENT)
    found = answer_question(question, predictor, seen, decision, history, product)
    output(as_json, asdict(found), " ".join(found.sentences))
