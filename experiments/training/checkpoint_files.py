"""Lightning's checkpoints, written as all other files are: beside their target, flushed, then renamed."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO

from saliency.files import write_tensors


class WholeFiles(TorchCheckpointIO):
    """Replaces a checkpoint at once: Lightning copies it where the folder of temporary files is on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; one of another machine, as s3://..., in Lightning's way.

        Raises:
            UnwrittenError: If it cannot be written; what was there before is there still.
        """
        if storage_options is None and "://" not in str(path):
            write_tensors(Path(path), checkpoint)
        else:
            super().save_checkpoint(checkpoint, path, storage_options)


def whole(plugin: CheckpointIO) -> CheckpointIO:
    """Return the plugin that writes checkpoints; Lightning's usual one, also inside another, becomes `WholeFiles`."""
    if type(plugin) is AsyncCheckpointIO and plugin.checkpoint_io is not None:
        return AsyncCheckpointIO(whole(plugin.checkpoint_io))
    return WholeFiles() if type(plugin) is TorchCheckpointIO else plugin
