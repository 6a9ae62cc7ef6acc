from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from repricer.benchmarks import gpu, learner
from repricer.cli import main


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_skipped_and_says_so():
    found = CliRunner().invoke(main, ["bench", "gpu", "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["tables"] == {}
    assert found.stderr == "gpu: skipped, as torch sees no GPU here\n"


def test_a_benchmark_that_fails_is_not_skipped(monkeypatch):
    def fails():
        raise RuntimeError("no memory")

    monkeypatch.setattr(learner, "table", fails)
    assert CliRunner().invoke(main, ["bench", "learner"]).exit_code != 0


def test_what_is_measured_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "MARKETS", 32)
    monkeypatch.setattr(gpu, "rate", lambda model, *_: float(model.learn(1)._n_updates))
    assert gpu._rate("cpu", 8) == 4
