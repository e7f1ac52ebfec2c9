"""`train.py predict` writes what the module predicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from saliency.files import replacing


class PredictionFile(BasePredictionWriter):
    """Writes every batch's predictions, joined, to `predictions.npz` in the trainer's root folder."""

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def write_on_epoch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002 - Lightning's signature
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],  # noqa: ARG002
    ) -> None:
        """Write one array per name that `predict_step` returns; several processes write one file each."""
        if not predictions:
            return
        rank = f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = Path(trainer.default_root_dir) / f"predictions{rank}.npz"
        arrays = {name: torch.cat([batch[name] for batch in predictions]).cpu().numpy() for name in predictions[0]}
        with replacing(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        lightning.pytorch.utilities.rank_zero_info(f"predictions: {path} ({', '.join(arrays)})")
