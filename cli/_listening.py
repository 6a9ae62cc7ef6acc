"""What the commands share that answer over HTTP: where they listen, who can reach that address, and their run."""

from __future__ import annotations

import functools
import gc
import ipaddress
import logging
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from ._options import FILE

_GRACE_SECONDS = 10
_OBJECTS = 20_000
_YOUNG_ROUNDS = 1_000
_TURN_SECONDS = 5e-4
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


class Listening(NamedTuple):
    """Where a command listens.

    Attributes:
        host: The address.
        port: Its port.
        behind_proxy: Whether callers reach it through a proxy alone.
        tls_certificate: PEM file of the certificate and those that signed it; None for plain HTTP.
        tls_key: PEM file of its key.
    """

    host: str
    port: int
    behind_proxy: bool
    tls_certificate: Path | None
    tls_key: Path | None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The address for a browser."""
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://{self._named_host}:{self.port}"

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """The names by which this machine names the service."""
        return (*_THIS_MACHINE, self._named_host)

    @property
    def _named_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def tls(self) -> ssl.SSLContext | None:
        """The certificate and its key, as a server needs them; None for plain HTTP.

        Raises:
            ValueError: A file cannot be read, or the two are no certificate and its key.
        """
        if self.tls_certificate is None or self.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.tls_certificate, self.tls_key, password="")
        except OSError as error:
            got = f"{self.tls_certificate} and {self.tls_key}: {error.strerror or error}"
            must = "--tls-certificate and --tls-key must be PEM files of a certificate and its key"
            raise ValueError(f"{must}; got {got}; name others") from None
        return context

    def check(self, keys: Path | None) -> None:
        """Raise ValueError where others could reach what must not be theirs, or read what is on its way.

        Args:
            keys: File of API keys.
        """
        if (self.tls_certificate is None) != (self.tls_key is None):
            given = "--tls-key" if self.tls_certificate is None else "--tls-certificate"
            raise ValueError(f"--tls-certificate and --tls-key must be given together; got {given} alone; give both")
        self.tls()
        if self.is_local:
            return
        if keys is None:
            raise ValueError(
                f"without --keys the service must listen on this machine only; got --host {self.host}; "
                "add a key (`repricer keys add FILE --role price`) and pass --keys FILE"
            )
        if self.tls_certificate is None and not self.behind_proxy:
            raise ValueError(
                "--host must be this machine's own (127.0.0.1, ::1) without a certificate and without --behind-proxy; got "
                f"--host {self.host}; pass --tls-certificate and --tls-key, or put a proxy with TLS before it "
                "(deploy/haproxy) and pass --behind-proxy"
            )


def listening_options(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options; the command gets them as one argument, `listening`.

    Args:
        port: The port by default.
    """
    options = (
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.option(
            "--port", default=port, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on."
        ),
        click.option(
            "--behind-proxy",
            is_flag=True,
            help="A proxy with the TLS, Host check and limits of deploy/haproxy stands before --host, which other machines "
            "can reach.",
        ),
        click.option("--tls-certificate", type=FILE, help="PEM file of a certificate and its chain: speak TLS."),
        click.option("--tls-key", type=FILE, help="PEM file of its key, without a passphrase."),
    )

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> Any:
            listening = Listening(**{name: given.pop(name) for name in Listening._fields})
            return command(listening=listening, **given)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return with_options


def run(app: Any, listening: Listening, *, log_level: str, drain: float = 0.0) -> None:
    """Answer requests until a signal stops it.

    Args:
        app: The application.
        listening: Where.
        log_level: Of the lines on standard error.
        drain: Seconds between SIGTERM and the end.
    """
    from ..serving.http.processes.json_logging import log_settings
    from ..serving.http.processes.server import serve

    # Answers have no cycles to look for every few of them, nor have reports of outcomes: to look through all that a long
    # one holds takes longer than a price.
    gc.set_threshold(_OBJECTS, _YOUNG_ROUNDS, 20)
    # No line of the log names a thread or a process.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # What is computed beside prices must let them have the interpreter soon.
    sys.setswitchinterval(_TURN_SECONDS)
    serve(
        app,
        listening.host,
        listening.port,
        drain=drain,
        log_config=log_settings(log_level),
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        tls=listening.tls(),
    )
