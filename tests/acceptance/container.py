"""The container file, executed line by line in roots of Debian that debootstrap makes, as no registry of images is needed then."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from repricer.benchmarks.loopback import free_port
from repricer.serving import DecisionLog, example_state
from repricer.serving.http.api_keys import add_key

from .checks import Skip, check
from .debian import program
from .service import ROOT, bundle, bundle_path, folder

_HOST_CERTIFICATES, _CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt", "/etc/host-certificates.crt"
_IGNORED = shutil.ignore_patterns(".*", "build", "dist", "demo", "runs", "*.egg-info", "__pycache__", "*.nb[ic]")


@functools.cache
def release() -> Path:
    """The folder `dist` that `make release` writes, signed."""
    source, key = folder() / "release", folder() / "release.key.pem"
    shutil.copytree(ROOT, source, ignore=_IGNORED)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    done = subprocess.run(
        ["sh", source / "deploy/release.sh"],
        env=os.environ | {"PYTHON": sys.executable, "KEY": str(key)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return source / "dist"


@dataclass
class Image:
    """What the container file makes: a root, and how a container starts in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    home: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def run(self, words: list[str], user: str = "0:0") -> subprocess.CompletedProcess[str]:
        """Run a command in the root."""
        return subprocess.run(
            ["chroot", f"--userspec={user}", self.root, *words],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PIP_CERT": _CERTIFICATES} | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@functools.cache
def _workplace() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="repricer-root-")


@functools.cache
def base() -> Path:
    """A root of Debian; as the host's, it may reach the package registries."""
    if os.geteuid():
        raise Skip("debootstrap needs root")
    root = Path(_workplace().name) / "base"
    made = subprocess.run(
        [program("debootstrap", "debootstrap"), "--variant=minbase", "trixie", root], capture_output=True, check=False
    )
    if made.returncode:
        raise Skip("debootstrap could not reach Debian's mirror")
    return root


def _steps() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (ROOT / "deploy/Containerfile").read_text())
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in lines]


@functools.cache
def image() -> Image:
    """Execute the container file."""
    stages: dict[str, Image] = {}
    made = Image(base())
    for word, rest in _steps():
        words = shlex.split(rest)
        if word == "FROM":
            assert words[0] == "docker.io/library/debian:trixie-slim"
            made = stages[words[2] if len(words) == 3 else "last"] = Image(
                Path(_workplace().name) / f"stage{len(stages)}"
            )
            subprocess.run(["cp", "--archive", base(), made.root], check=True)
            _reach_registries(made.root)
        elif word == "COPY":
            stage = re.match(r"--from=(.*)", words[0])
            start = stages[stage[1]].root / words[1].lstrip("/") if stage else release() / words[-2]
            _copy(start, made.root, words[-1])
        elif word == "RUN":
            done = made.run(words)
            assert done.returncode == 0, (rest, done.stderr[-2000:])
        elif word == "ENV":
            made.environment |= {
                name: value.replace("$PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
                for name, _, value in (pair.partition("=") for pair in words)
            }
        elif word == "USER":
            made.user = rest
        elif word == "WORKDIR":
            made.home = rest
        elif word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
            name = {"CMD": "command", "HEALTHCHECK": "health"}.get(word, "entrypoint")
            setattr(made, name, json.loads(rest[rest.index("[") :]))
        else:
            assert word in ("EXPOSE", "STOPSIGNAL"), word
    return made


def _copy(start: Path, root: Path, end: str) -> None:
    goal = root / end.lstrip("/")
    if start.is_dir():
        shutil.copytree(start, goal, symlinks=True, dirs_exist_ok=True)
    else:
        goal.mkdir(parents=True, exist_ok=True)
        shutil.copy2(start, goal)


def _reach_registries(root: Path) -> None:
    """An engine gives a container the host's names; here it also gets pip's settings and certificates."""
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf"):
        if Path(path).exists():
            shutil.copy(path, root / path[1:])
    if Path(_HOST_CERTIFICATES).exists():
        shutil.copy(_HOST_CERTIFICATES, root / _CERTIFICATES[1:])


@contextlib.contextmanager
def container(port: int) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A service in the image, its root read-only; an API key, and the folder with its log."""
    made, state = image(), Path(tempfile.mkdtemp(prefix="repricer-state-"))
    token = add_key(state / "keys.json", role="price", name="till")
    shutil.copytree(bundle_path(), state / "bundle")
    uid, gid = made.user.split(":")
    subprocess.run(["chown", "--recursive", f"{uid}:{gid}", state], check=True)
    for name in ("bundle", "run/secrets"):
        (made.root / name).mkdir(parents=True, exist_ok=True)
    words = [*made.entrypoint, *made.command, "--port", str(port)]
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in made.environment.items())
    script = f"""set -e
        mount --bind {made.root} {made.root}; cd {made.root}
        mount -o remount,ro,bind {made.root}; mount -t proc proc proc; mount -t tmpfs tmpfs tmp
        mount --bind {state} var/lib/repricer
        mount --bind {state}/bundle bundle; mount -o remount,ro,bind bundle
        mount --bind {state} run/secrets; mount -o remount,ro,bind run/secrets
        exec chroot --userspec={made.user} . env -i {environment} sh -c 'cd {made.home}; exec "$@"' sh {shlex.join(words)}"""
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError, http.client.HTTPException):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).read()
                break
            assert process.poll() is None, "the container ended"
            time.sleep(0.1)
        yield process, token, state
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(state)


@functools.cache
def served() -> dict[str, float]:
    """Whether it is well, whose process it is, whether its root can be written, prices in its log after its end."""
    made, port = image(), free_port()
    with container(port) as (process, token, state):
        health = [word.replace(":8000", f":{port}") for word in made.health]
        status = Path(f"/proc/{process.pid}/status").read_text()
        inside = f"/proc/{process.pid}/root"
        write = "; ".join(
            f"touch {inside}{place}/x 2>/dev/null && echo {place}" for place in ("", "/opt/repricer", "/bundle")
        )
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        body = json.dumps(example_state(bundle().catalogue)).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/prices", body, headers)
        json.loads(urllib.request.urlopen(request, timeout=10).read())
        found = {
            "health": float(made.run(health, made.user).returncode),
            "uid": float(re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0]),
            "writable": float(
                len(subprocess.run(["sh", "-c", write], capture_output=True, check=False).stdout.split())
            ),
        }
        process.terminate()
        process.wait(timeout=30)
        with contextlib.closing(DecisionLog(state / "decisions.db")) as log:
            return found | {"decisions": float(log.verify().rows)}


_OF = "container file in a root of debootstrap"


@check("fleet", f"{_OF}: MiB of its Python environment", "<=", 400)
def environment_size() -> float:
    done = subprocess.run(["du", "-sm", image().root / "opt/repricer"], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[0])


@check("fleet", f"{_OF}: user of the service", "==", 10001)
def container_user() -> float:
    return served()["uid"]


@check("fleet", f"{_OF}: exit code of its health check", "==", 0)
def container_health() -> float:
    return served()["health"]


@check("fleet", f"{_OF}: places of its root that can be written", "==", 0, "of 3")
def container_writes() -> float:
    return served()["writable"]


@check("fleet", f"{_OF}: decisions in its log after its end, less those given", "==", 0)
def container_prices() -> float:
    return served()["decisions"] - 1


@check("fleet", "release: hashes that match and whose signature is valid", "==", 5, "files")
def signed_hashes() -> float:
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "release.pub.pem"]
    subprocess.run(
        [*verify, "-in", "SHA256SUMS", "-sigfile", "SHA256SUMS.sig"], cwd=release(), check=True, capture_output=True
    )
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=release(), check=True, capture_output=True)
    return float(done.stdout.count(b": OK"))


@check("fleet", "release: packages of the container that the bill of materials lacks", "==", 0)
def bill_of_materials() -> float:
    document = json.loads((release() / "repricer.cdx.json").read_text())
    listed = {(one["name"].lower().replace("_", "-"), one["version"]) for one in document["components"]}
    code = "import importlib.metadata as m; print(*[f'{d.name} {d.version}' for d in m.distributions()], sep='\\n')"
    rows = image().run(["/opt/repricer/bin/python", "-c", code]).stdout.split("\n")
    there = {(name.lower().replace("_", "-"), version) for name, version in (row.split() for row in rows if row)}
    return float(len(there - listed - {("repricer", document["metadata"]["component"]["version"])}))
