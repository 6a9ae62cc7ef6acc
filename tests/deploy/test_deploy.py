"""The deployment files fit the command line, the bundle and the metrics that the code has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import uvicorn
import yaml
from repricer.cli.desk import command as desk_command
from repricer.cli.serve import command
from repricer.serving.bundle.files import LIMITS
from repricer.serving.http.metrics import Metrics

promql = pytest.importorskip("promql_parser", reason="reads the alerts' expressions")

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "systemd/repricer.service").read_text()
DESK_UNIT = (DEPLOY / "systemd/repricer-desk.service").read_text()
PROXY = (DEPLOY / "haproxy/haproxy.cfg").read_text()
INSTANCES = (DEPLOY / "haproxy/instances.cfg").read_text()
CONTAINER = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
POD = yaml.safe_load((DEPLOY / "kubernetes/deployment.yaml").read_text())["spec"]["template"]["spec"]


def _unit_words(unit: str, name: str, options: str) -> list[str]:
    line = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    assert line
    words = shlex.split(re.sub(r"\$REPRICER_\w*OPTIONS", options, line[1].replace("\\\n", " ")))
    assert words[:2] == ["/opt/repricer/bin/repricer", name]
    return words[2:]


def _container_words() -> list[str]:
    return yaml.safe_load(re.findall(r"^CMD (.*)$", CONTAINER, re.MULTILINE)[0])


STARTS = {
    "systemd": (_unit_words(UNIT, "serve", "--workers 4"), r"TimeoutStopSec=(\d+)", UNIT),
    "container": (_container_words(), None, ""),
    "compose": (COMPOSE["prices"]["command"], r"(\d+)s", COMPOSE["prices"]["stop_grace_period"]),
    "kubernetes": (POD["containers"][0]["args"], r"(\d+)", str(POD["terminationGracePeriodSeconds"])),
}


@pytest.mark.parametrize("name", STARTS)
def test_they_start_the_service_with_options_that_it_has(name: str) -> None:
    words, patience, text = STARTS[name]
    found = command.make_parser(click.Context(command)).parse_args(list(words))[0]
    assert {"bundle", "keys", "log", "drain"} <= found.keys()
    assert "host" not in found or found["behind_proxy"]
    # Requests in progress have ten seconds after the drain.
    stops = re.search(patience, text) if patience else None
    assert stops is None or int(stops[1]) > float(found["drain"]) + 10


DESKS = {
    "systemd": _unit_words(DESK_UNIT, "desk", "--host 10.0.0.11 --behind-proxy"),
    "compose": COMPOSE["desk"]["command"],
}


@pytest.mark.parametrize("name", DESKS)
def test_they_start_the_page_of_the_price_list_with_options_that_it_has(name: str) -> None:
    found = desk_command.make_parser(click.Context(desk_command)).parse_args(list(DESKS[name]))[0]
    assert {"price_list", "bundle", "keys", "log"} <= found.keys()
    assert found["behind_proxy"]


def test_units_differ_in_what_they_start_alone() -> None:
    assert DESK_UNIT.partition("UMask")[2] == UNIT.partition("UMask")[2]


def test_nothing_listens_beyond_this_machine_without_tls_and_known_hosts() -> None:
    binds = re.findall(r"^ +bind (.*)$", PROXY, re.MULTILINE)
    assert len(binds) == 1
    assert " ssl crt " in binds[0]
    rules = re.findall(r"^ +http-request (.*)$", PROXY, re.MULTILINE)
    assert rules[0].startswith("deny deny_status 421 unless { req.hdr(host)")
    published = {port for one in COMPOSE.values() for port in one.get("ports", ())}
    assert {port for port in published if not port.startswith("127.0.0.1:")} == {"443:443"}
    kubernetes = [yaml.safe_load(path.read_text()) for path in (DEPLOY / "kubernetes").glob("*.yaml")]
    services = {one["metadata"]["name"]: one["spec"] for one in kubernetes if one["kind"] == "Service"}
    assert services["repricer"].get("type", "ClusterIP") == "ClusterIP"
    assert [port["port"] for port in services["repricer-proxy"]["ports"]] == [443]


@pytest.mark.parametrize(
    "instances", ["haproxy/instances.cfg", "haproxy/instances.compose.cfg", "kubernetes/instances.cfg"]
)
def test_each_file_of_instances_has_all_that_the_proxy_names(instances: str) -> None:
    named = {*re.findall(r"^ +(?:use|default)_backend (\w+)", PROXY, re.MULTILINE)}
    assert named == {*re.findall(r"^backend (\w+)", (DEPLOY / instances).read_text(), re.MULTILINE)}


def test_the_container_is_made_by_the_install_script_and_has_no_rights() -> None:
    runs = re.findall(r"^RUN (.*)$", CONTAINER, re.MULTILINE)
    assert runs == ["/release/install.sh build /release", "/release/install.sh runtime"]
    user = re.findall(r"^USER (\d+):(\d+)$", CONTAINER, re.MULTILINE)
    assert user == [(re.findall(r"^ID=(\d+)$", (DEPLOY / "install.sh").read_text(), re.MULTILINE)[0],) * 2]
    assert "HEALTHCHECK" in CONTAINER
    assert COMPOSE["prices"]["read_only"]
    assert COMPOSE["prices"]["cap_drop"] == ["ALL"]
    context = POD["securityContext"]
    assert (context["runAsNonRoot"], str(context["runAsUser"])) == (True, user[0][0])
    proxy = yaml.safe_load((DEPLOY / "kubernetes/proxy.yaml").read_text())["spec"]["template"]["spec"]
    for one in POD["containers"] + POD["initContainers"] + proxy["containers"]:
        own = one["securityContext"]
        assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)


def test_kubernetes_takes_every_file_of_a_bundle() -> None:
    made = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["configMapGenerator"]
    assert sorted(made[0]["files"]) == sorted(f"bundle/{name}" for name in LIMITS)
    for name in yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]:
        assert yaml.safe_load((DEPLOY / "kubernetes" / name).read_text())["kind"]


def _selectors(expression: Any) -> list[Any]:
    """The selectors of series in an expression."""
    if isinstance(expression, promql.VectorSelector):
        return [expression]
    parts = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
    parts += list(getattr(expression, "args", []))
    return [one for part in parts if part is not None for one in _selectors(part)]


def test_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    metrics = Metrics()
    known: dict[str, set[str]] = {"up": {"job", "instance"}}
    for family in metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        for suffix in suffixes:
            labels = getattr(metrics.registry._names_to_collectors.get(family.name), "_labelnames", ())
            known[family.name + suffix] = {*labels, "le", "job", "instance"}
    groups = yaml.safe_load((DEPLOY / "prometheus/repricer.rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    known |= {rule["record"]: set() for rule in rules if "record" in rule}
    seen = 0
    for rule in rules:
        for selector in _selectors(promql.parse(rule["expr"])):
            seen += 1
            assert selector.name in known, rule
            assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name], rule
    assert seen > len(rules)
    page = (DEPLOY.parent / "docs/operating.md").read_text()
    rows = re.findall(r"(?m)^\| (`Repricer.*?) \| (\w+) \|", page)
    stated = {name: severity for names, severity in rows for name in re.findall(r"`(\w+)`", names)}
    assert stated == {rule["alert"]: rule["labels"]["severity"] for rule in rules if "alert" in rule}
    assert _commands(page).keys() == stated.keys()
    for alert, commands in _commands(page).items():
        assert {line.split()[0] for line in commands} <= PROGRAMS, alert


PROGRAMS = {"curl", "iostat", "journalctl", "repricer", "REPRICER_TOKEN=KEY", "ss", "systemctl", "top"}


def _commands(page: str) -> dict[str, list[str]]:
    """The commands that a page on alerts names for each, of those that it opens a paragraph with."""
    found: dict[str, list[str]] = {}
    text = page.partition("### What to do\n")[2]
    for names, commands in re.findall(r"(?m)^((?:`Repricer\w+`(?:, )?)+):(?:.*\n)+?\n((?: {4}.*\n)+)", text):
        for name in re.findall(r"`(\w+)`", names):
            found.setdefault(name, []).extend(line.strip() for line in commands.splitlines())
    return found


@pytest.mark.parametrize("text", [UNIT, DESK_UNIT], ids=["serve", "desk"])
def test_the_unit_is_valid_and_hardened(text: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "repricer.service"
    unit.write_text(text.replace("/opt/repricer/bin/repricer", sys.executable))
    for words in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        found = subprocess.run([analyze, *words, unit], capture_output=True, text=True, check=False)
        assert (found.returncode, "") == (0, found.stderr if words[0] == "verify" else ""), found.stdout[-500:]


def test_the_proxy_closes_idle_connections_before_the_service() -> None:
    idle = re.search(r"timeout http-keep-alive (\d+)s", PROXY)
    assert idle is not None
    assert int(idle[1]) < uvicorn.Config("app").timeout_keep_alive


def test_what_takes_long_goes_to_the_second_service_at_a_lower_priority() -> None:
    second = (DEPLOY / "systemd/repricer-batches.service").read_text()
    start, other = (re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", text, re.MULTILINE)[0] for text in (UNIT, second))
    port = re.findall(r"--port (\d+) ", other)[0]
    assert other.replace(f"--port {port} ", "") == start
    assert "Nice=19" in second
    assert "use_backend batches if questions or large" in PROXY
    batches = INSTANCES.partition("\nbackend batches")[2].partition("\nbackend")[0]
    servers = re.findall(r"server \w+ \S+:(\d+)", batches)
    assert set(servers) == {port}
    words = COMPOSE["batches"]["entrypoint"]
    assert (words[:3], COMPOSE["batches"]["command"]) == (["nice", "-n", "19"], COMPOSE["prices"]["command"])
