"""The outside contract: exit codes, one line on stderr, one JSON document on stdout."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.agents import load_run
from repricer.atomic import write_whole
from repricer.cli import _COMMANDS, main
from repricer.cli._options import OUT
from repricer.scenarios import load_scenario, save_scenario

from .calls import document, run


def test_help_names_every_command_and_each_has_its_own():
    text = run("--help").stdout
    for name in _COMMANDS:
        assert f"  {name}" in text
        assert run(name, "--help").stdout.startswith(f"Usage: main {name}")


def test_help_needs_no_training_library():
    """`repricer --help` on a price server, which has none of them."""
    code = "import sys; from repricer.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"torch", "pandas", "numba", "stable_baselines3", "onnxruntime"} & set(loaded)


def test_a_reader_that_has_seen_enough_ends_it_without_a_word():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "repricer", "scenarios"], stdout=pipe, stderr=pipe, text=True) as told:
        assert told.stdout is not None
        assert told.stderr is not None
        told.stdout.close()
        assert told.stderr.read() == ""
    assert told.returncode == 141


def test_a_warning_is_one_line_said_once_without_the_place_that_gave_it(monkeypatch):
    import warnings

    from repricer.cli import scenarios

    def warn(*_, **__):
        for _ in range(2):
            warnings.warn("the last week is\nincomplete", stacklevel=1)
            warnings.warn("the last week is\nincomplete", stacklevel=2)
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
        warnings.warn("You have specified a mini-batch size of 7", stacklevel=1)

    monkeypatch.setattr(scenarios.command, "callback", warn)
    assert run("scenarios").stderr == "repricer: note: the last week is incomplete\n"


def test_processes_that_a_command_starts_print_no_warnings_of_their_own():
    """As Python prints them, with a path of the package and a line of its code."""
    script = (
        "import warnings; from joblib import Parallel, delayed; from repricer.cli import main, scenarios\n"
        "def fitted(*_, **__): Parallel(n_jobs=2)(delayed(warnings.warn)('the first-stage F is low') for _ in range(2))\n"
        "scenarios.command.callback = fitted\n"
        "main(['scenarios'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_what_is_in_the_way_of_a_result_is_said_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path in ("file/prices.csv", "file/new/prices.csv"):
        said = run("simulate", "stationary-logit", "--policy", "regular", "--out", str(tmp_path / path), code=2).stderr
        assert said == (
            f"repricer: --out must lie in a folder that can be written to; got {tmp_path / path}, but {tmp_path / 'file'} is a "
            "file; name another path\n"
        )
    monkeypatch.setattr("os.access", lambda *_: False)
    said = run("simulate", "stationary-logit", "--policy", "regular", "--out", str(tmp_path / "a.csv"), code=2).stderr
    assert f"but {tmp_path} is closed to you; name another path" in said


def test_every_result_is_checked_for_what_is_in_its_way():
    outs = {"--out", "--plot"}

    def options(command):
        for one in getattr(command, "commands", {}).values():
            yield from options(one)
        yield from (option for option in command.params if outs.intersection(option.opts))

    commands = [main.get_command(None, name) for name in _COMMANDS]
    unchecked = [option for command in commands for option in options(command) if isinstance(option.type, click.Path)]
    assert {option.type for option in unchecked} == {OUT}


def test_a_file_that_cannot_be_written_is_named_with_what_to_do(monkeypatch, tmp_path):
    from repricer.cli import scenarios

    def write(*_, **__):
        write_whole(tmp_path / "none" / "a.csv", "x")

    monkeypatch.setattr(scenarios.command, "callback", write)
    said = run("scenarios", code=1).stderr
    assert (
        said
        == f"repricer: {tmp_path / 'none' / 'a.csv'}: No such file or directory; check the path and its permissions\n"
    )


def test_a_price_list_may_be_what_the_help_says():
    for name in ("markdown", "prices"):
        assert ".csv or .xlsx" in " ".join(run(name, "--help").stdout.split())


def test_ids_are_folded_never_cut(capsys):
    from repricer.cli._options import show
    from rich.table import Table

    table, name = Table("product", *"abcdefgh"), "".join(f"{i:03d}" for i in range(60))
    table.add_row(name, *["a number of some width"] * 8)
    show(table)
    lines = capsys.readouterr().out.splitlines()
    assert "".join(line.split("│")[1].strip() for line in lines if line.startswith("│")) == name


def test_scenarios_lists_and_describes():
    assert {"gallego-van-ryzin", "stationary-logit"} <= {row["name"] for row in document("scenarios")}
    card = document("scenarios", "gallego-van-ryzin")
    assert card["optimum"]["value"] == pytest.approx(15.4464, abs=1e-4)
    assert "Gallego" in run("scenarios", "gallego-van-ryzin").stdout


def test_train_evaluate_simulate_in_a_row(tmp_path):
    folder = str(tmp_path / "run")
    arguments = ["train", "stationary-logit", "--steps", "4000", "--out", folder, "--set", "num_envs=16"]
    trained = document(*arguments)
    assert trained["algo"] == "ppo"
    said = run(*arguments).stdout
    (done,) = re.findall(r"Trained ppo on stationary-logit for ([\d,]+) steps", said)
    assert int(done.replace(",", "")) == load_run(folder).history[-1]["steps"]
    assert "Kept the policy of step" in said  # finished: answered from the folder
    judged = document("evaluate", "stationary-logit", "--policy", folder, "--policy", "optimum", "--episodes", "50")
    assert {row["policy"] for row in judged["policies"]} == {folder, "optimum", "best-fixed"}
    table = run("evaluate", "stationary-logit", "--policy", folder, "--episodes", "50").stdout
    assert "exact" in table
    sales = tmp_path / "sales.csv"
    made = document("simulate", "stationary-logit", "--policy", folder, "--episodes", "3", "--out", str(sales))
    assert pd.read_csv(sales)["units"].sum() == pytest.approx(3 * made["units"])


def test_a_changed_market_is_not_taken_for_the_one_that_was_trained_on(tmp_path):
    spec = load_scenario("stationary-logit").with_changes(products={"unit_cost": np.array([2.0])})
    market, folder = tmp_path / "market", str(tmp_path / "run")
    save_scenario(spec, market)
    arguments = ["train", str(market), "--steps", "1000", "--out", folder, "--set", "num_envs=4"]
    said = run(*arguments).stderr
    assert "compiling the market and searching the best fixed prices" in said
    assert "training stationary-logit: 10%" in said
    save_scenario(spec.with_changes(market={"objective": "profit"}), market)
    assert (
        "must hold a run on this market; got other market.objective; choose another" in run(*arguments, code=2).stderr
    )


def test_simulated_sales_pass_the_import(tmp_path):
    sales = tmp_path / "sales.csv"
    run("simulate", "stationary-logit", "--policy", "best-fixed", "--episodes", "4", "--out", str(sales))
    assert document("data", "check", "--sales", str(sales))["kept"]["sales"] == len(pd.read_csv(sales))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scenarios", "nowhere"], "scenario must be a registered name"),
        (["evaluate", "stationary-logit", "--policy", "fixd:2"], "policy must be a run folder"),
        (
            ["train", "stationary-logit", "--algo", "magic"],
            "algo must be one of ppo, a2c, recurrent-ppo, sac, td3, tqc, dqn; got 'magic'",
        ),
        (["train", "stationary-logit", "--clone", "best"], "policy must be a run folder, a bundle or one of"),
        (["train", "stationary-logit", "--log", "random"], "imitate a policy with --clone, or learn from a log alone"),
        (
            ["train", "stationary-logit", "--wandb", "prices"],
            "--wandb is no longer there; `wandb sync RUN/tensorboard`",
        ),
        (["train", "stationary-logit", "--algo", "cql"], "learn from it with d3rlpy (docs/use_it_with.md)"),
        (["train", "stationary-logit", "--set", "gamma"], "--set takes KEY=VALUE; got 'gamma'"),
        (["simulate", "stationary-logit", "--policy", "regular", "--out", "x.txt"], "--out must end in .csv"),
        (["fit", "nowhere", "--out", "x"], "nowhere"),
        (["price", "nowhere", "--state", "x"], "nowhere"),
        (["report", "nowhere", "--out", "x.html"], "nowhere must be a run folder"),
        (["report", "nowhere", "--out", "x.pdf"], "--out must end in .html; got 'x.pdf'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, code=2)
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("repricer: ")
    assert words in line


def test_unknown_command_and_option_are_exit_code_2():
    assert "No such command 'trian'" in run("trian", code=2).stderr
    assert "No such option" in run("scenarios", "--josn", code=2).stderr


def test_fit_offers_every_forecaster():
    from repricer.forecasting import candidates
    from repricer.planning.market_folder import FORECASTERS

    assert FORECASTERS[1:] == tuple(candidates())


def test_a_log_judges_policies_without_simulation(tmp_path):
    sales, log = str(tmp_path / "sales.csv"), str(tmp_path / "log.parquet")
    simulate = ["simulate", "seen-segments", "--episodes", "600", "--out", sales]
    assert document(*simulate, "--policy", "epsilon-greedy:1", "--log", log)["log"] == log
    assert pd.read_csv(sales)["propensity"].to_numpy() == pytest.approx(0.1)
    judged = ["evaluate", "seen-segments", "--from-log", log, "--policy", "optimum", "--policy", "fixed:6"]
    rows = document(*judged)["policies"]
    assert [row["policy"] for row in rows] == ["optimum", "fixed:6"]
    assert set(rows[0]["estimates"]) == {"ips", "snips", "doubly_robust", "fitted_q", "sequential_doubly_robust"}
    assert "effective sample" in run(*judged).stdout
    run(*simulate, "--policy", "fixed:6", "--log", log)
    (line,) = run(*judged, code=2).stderr.strip().splitlines()
    assert line.startswith("repricer: log must state the propensity of every price")


def test_the_fit_report_goes_with_the_run(tmp_path):
    from repricer.agents.run import keep_fit_report

    market, folder = tmp_path / "market", tmp_path / "run"
    market.mkdir()
    folder.mkdir()
    keep_fit_report(market, folder)
    assert not (folder / "fit.json").exists()
    (market / "fit.json").write_text("{}", encoding="utf-8")
    keep_fit_report(market / "scenario.toml", folder)
    assert not (folder / "fit.json").exists()  # no such scenario
    keep_fit_report(market, folder)
    assert (folder / "fit.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["serve", ".", "--drain", "nan"], "nan is not in the range 0<=x<=3600."),
        (
            ["log", "rotate", "x.db", "--by", "Ann", "--discard", "--days", "nan"],
            "nan is not in the range 0<=x<=36525.",
        ),
        (["log", "rotate", "x.db", "--by", "Ann", "--discard", "--days", "1e6"], "is not in the range 0<=x<=36525."),
    ],
)
def test_nan_is_in_no_range_and_no_age_is_above_the_calendar(words: list[str], refusal: str) -> None:
    refused = CliRunner().invoke(main, words)
    assert (refused.exit_code, refusal in refused.stderr) == (2, True)


def test_a_full_disk_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does, without a name

    monkeypatch.setattr(Path, "write_bytes", full)
    path = tmp_path / "keys.json"
    refused = CliRunner().invoke(main, ["keys", "add", str(path), "--role", "read", "--name", "till"])
    assert (refused.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert refused.stderr == f"repricer: {path}: No space left on device; make room there\n"
