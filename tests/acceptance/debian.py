"""What a check needs of Debian: installed or downloaded where this may be done, else the check is skipped and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .checks import Skip

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """The path of a program."""
    if shutil.which(name, path=_PATH) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        # Nothing but the program is wanted: RUNLEVEL keeps its package from starting a service.
        unattended = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *words], env=unattended, **quiet)
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise Skip(f"{name} is not installed and could not be; apt-get install {package}")
    return found


def downloaded(package: str, folder: Path) -> Path:
    """The file of a package, which is not installed: a check reads data in it."""
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        for command in (["apt-get", "download", package], ["apt-get", "update"], ["apt-get", "download", package]):
            subprocess.run(command, cwd=folder, capture_output=True, check=False)
            if found := list(folder.glob(f"{package}_*.deb")):
                return found[0]
    raise Skip(f"{package} could not be downloaded; apt-get download {package}")
