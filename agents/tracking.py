"""Training logs: TensorBoard files in the run folder, and Weights & Biases on request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

TENSORBOARD_FOLDER = "tensorboard"


class WandbWriter(KVWriter):
    """Sends all figures to one Weights & Biases run, which a resumed training continues.

    Args:
        folder: The run folder; the same folder continues the same run.
    """

    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]  an extra

        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._run = wandb.init(project=project, id=name, name=folder.name, config=dict(config), resume="allow")

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Send all numeric figures."""
        figures = {key: value for key, value in key_values.items() if isinstance(value, int | float)}
        self._run.log(figures, step=step)

    def close(self) -> None:
        """Finish the Weights & Biases run."""
        self._run.finish()


def make_logger(folder: Path | None, wandb_project: str | None, config: Mapping[str, Any]) -> Logger:
    """A logger of Stable-Baselines3 for a run folder; without a folder, one that writes nothing.

    Args:
        wandb_project: Name of a Weights & Biases project, or None.

    Raises:
        ValueError: A Weights & Biases project without a folder.
    """
    if folder is None:
        if wandb_project is not None:
            raise ValueError("wandb_project needs a run folder, which identifies the run; got none; give out")
        return Logger(None, [])
    writers: list[KVWriter] = [TensorBoardOutputFormat(str(folder / TENSORBOARD_FOLDER))]
    if wandb_project is not None:
        writers.append(WandbWriter(wandb_project, folder, config))
    return Logger(str(folder), writers)
