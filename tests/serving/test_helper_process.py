from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from repricer.serving.helper_process import HelperError, HelperProcess


@pytest.fixture(autouse=True)
def _functions_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this file, in the other process."""
    folders = (str(Path(__file__).parents[__name__.count(".")]), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))


@pytest.fixture
def helper() -> Iterator[HelperProcess]:
    helper = HelperProcess(list, "ab")
    yield helper
    helper.close()


def grown(prepared: list[str], letter: str) -> list[str]:
    prepared.append(letter)
    return prepared


def refused(prepared: list[str]) -> None:
    raise ValueError("not these", len(prepared))


def loud(prepared: list[str]) -> int:
    print("what a library prints")
    return len(prepared)


def killed(_: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable(_: list[str]) -> object:
    return lambda: None


def own_id(_: list[str]) -> int:
    return os.getpid()


def niceness(_: list[str]) -> int:
    return os.nice(0)


def test_it_keeps_what_was_prepared_and_raises_what_was_raised(helper: HelperProcess) -> None:
    assert helper.call(grown, "c") == ["a", "b", "c"]
    with pytest.raises(ValueError, match="not these") as found:
        helper.call(refused)
    assert found.value.args == ("not these", 3)
    assert helper.call(loud) == 3
    large = "x" * (5 << 20)
    assert helper.call(grown, large)[-1] == large


@pytest.mark.parametrize("function", [killed, unpicklable])
def test_one_that_has_ended_is_started_again(helper: HelperProcess, function: object) -> None:
    first = helper.call(own_id)
    with pytest.raises(HelperError, match="has ended"):
        helper.call(function)  # pyright: ignore[reportArgumentType]
    assert helper.call(own_id) != first
    helper.kill()
    time.sleep(0.1)
    # What was prepared is prepared anew.
    assert helper.call(loud) == 2


def test_signals_to_both_are_for_the_one_that_started_it(helper: HelperProcess) -> None:
    process = helper.call(own_id)
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(process, each)
    assert helper.call(own_id) == process


def test_an_idle_one_yields() -> None:
    helper = HelperProcess(list, idle=True)
    assert helper.call(niceness) == 19
    if hasattr(os, "SCHED_IDLE"):
        assert os.sched_getscheduler(helper.call(own_id)) == os.SCHED_IDLE
    helper.close()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import os, time
            from repricer.serving.helper_process import HelperProcess
            helper = HelperProcess(list)
            print(helper._process.pid, flush=True)
            helper.call(len)
            print("ready", flush=True)
            time.sleep(60)
        """)
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        process.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_files_where_the_service_was_started_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('this is not the module')")
    monkeypatch.chdir(tmp_path)
    helper = HelperProcess(list, "ab")
    assert helper.call(len) == 2
    helper.close()
