"""Jobs: the same inputs give the same result, once; what dies starts again; what fails says why."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.jobs import Failure, Job, Place, code_fingerprint, results, run_jobs

_WORK = '''
import os, signal

def add(inputs, scratch):
    """The sum; a second start finds what the first one left."""
    scratch.mkdir(parents=True, exist_ok=True)
    first = not (scratch / "begun").exists()
    (scratch / "begun").touch()
    if inputs.get("dies") == "always" or (inputs.get("dies") == "once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if inputs.get("wrong"):
        raise ValueError("x must be\\na number")
    if inputs.get("slow"):
        import time
        (scratch / "process").write_text(str(os.getpid()))
        time.sleep(120)
    with open(os.environ["STARTS"], "a") as log:
        log.write(f"{inputs['x']}\\n")
    return inputs["x"] + 1
'''


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """A file with a line for each job that was done; the work is a module that processes can import."""
    (tmp_path / "work_of_jobs.py").write_text(_WORK)
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "starts"


def job(x, **more):
    return Job("work_of_jobs:add", {"x": x} | more)


def test_a_key_names_all_that_determines_a_result():
    assert Job("m:f", {"a": 1, "b": 2}).key == Job("m:f", {"b": 2, "a": 1}).key
    assert len({j.key for j in (job(1), job(2), Job("m:f", {"x": 1}), Job("m:f", {"x": 1}, "code"))}) == 4


def test_what_dies_starts_again_and_what_fails_says_why(starts, tmp_path):
    jobs = [job(1), job(2, dies="once"), job(3, wrong=True), job(4, dies="always")]
    found = run_jobs(jobs, tmp_path / "out", place=Place(workers=1))
    assert found[:3] == [2, 3, Failure("ValueError: x must be a number")]
    assert "its process died, 4 times" in found[3].reason
    done = [json.loads(path.read_text()) for path in (tmp_path / "out" / "results").iterdir()]
    assert sorted(one["result"] for one in done) == [2, 3]


def test_processes_end_with_the_one_that_started_them(starts, tmp_path):
    call = (
        "from pathlib import Path; from repricer.jobs import Job, Place, run_jobs\n"
        "if __name__ == '__main__':\n"
        "    run_jobs([Job('work_of_jobs:add', dict(x=1, slow=True))], Path('out'), place=Place(workers=1))\n"
    )
    (tmp_path / "call.py").write_text(call)
    parent = subprocess.Popen(
        [sys.executable, "call.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        written = _soon(lambda: [path for path in tmp_path.rglob("process") if path.read_text()])
        worker = int(written[0].read_text())
    finally:
        parent.kill()
        parent.wait()
    assert _soon(
        lambda: not Path(f"/proc/{worker}").exists() or Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"
    )


def _soon(found):
    """What `found` returns once it is true; it must be within 30 seconds."""
    for _ in range(300):
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError("it did not come within 30 s")


def test_an_interrupted_call_goes_on_with_what_is_left(starts, tmp_path):
    jobs, seen = [job(x) for x in range(4)], []

    def interrupted(ended, result):
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path / "out", place=Place(workers=1), on_end=interrupted)
    kept = len(list((tmp_path / "out" / "results").iterdir()))
    before = len(starts.read_text().split())
    assert kept == 2
    assert run_jobs(jobs, tmp_path / "out", place=Place(workers=1)) == [1, 2, 3, 4]
    assert len(starts.read_text().split()) == before + 4 - kept


def test_no_jobs_are_no_results(tmp_path):
    assert list(results([], Place(), tmp_path)) == []


def test_the_fingerprint_follows_the_code():
    assert code_fingerprint("pricing") == code_fingerprint("pricing") != code_fingerprint("envs")


def test_an_unknown_place_is_refused():
    with pytest.raises(ValueError, match=r"--on must be local, ray or ray://HOST:PORT; got 'cloud'"):
        Place("cloud")
    with pytest.raises(ValueError, match="processes are for --on local; got 3 with ray"):
        Place.asked("ray", 3)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_a_command_says_how_to_get_it(tmp_path):
    (tmp_path / "sweep.toml").write_text('name = "s"\nscenarios = ["regimes"]\nalgorithms = ["ppo"]\nseeds = 1')
    result = CliRunner().invoke(
        main, ["sweep", str(tmp_path / "sweep.toml"), "--on", "ray", "--out", str(tmp_path / "o")]
    )
    assert result.exit_code == 1
    assert "pip install 'repricer[scale]'" in result.stderr
