"""The run folder: where each stage lies, and what an evaluation reads from it."""

from pathlib import Path
from typing import Final

from attacks import Attack
from data import ImageData
from data.store import Store
from detectors import Classifier, Detector, load
from experiments.fitting import DONE
from experiments.settings import Settings, read_settings
from experiments.stages import plan
from saliency import SaliencyModel

SETTINGS: Final = "pipeline.yaml"


class Run:
    """A run folder that `train.py pipeline` made, and its parts.

    Args:
        folder: The run folder, wherever it was moved to.

    Raises:
        FileNotFoundError: If there is no such folder, or no pipeline made it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / SETTINGS
        if not path.is_file():
            lacks = f"holds no {SETTINGS}" if self.folder.is_dir() else "does not exist"
            msg = (
                f"the run folder {self.folder} {lacks}: make a run with `python train.py pipeline --config "
                "configs/<data set>.yaml`, and give its folder as --run"
            )
            raise FileNotFoundError(msg)
        self.settings: Settings = read_settings(["--config", str(path)])
        plan(self.settings)  # imports the user's own classes, which the loader then knows

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.folder / "report"

    def data(self) -> ImageData:
        """Return the image data module of the run."""
        return self.settings.data

    def attacks(self) -> dict[str, Attack]:
        """Return the attacks of the run by name."""
        return self.settings.attacks

    def store(self) -> Store | None:
        """Return the store of adversarial sets; None if the run makes them on the fly."""
        kept = self.settings.sections["store"]
        return None if kept is None else Store(self.folder / kept)

    def classifier(self) -> Classifier:
        """Return the attacked classifier: the first seed's."""
        return load(self.classifier_path(self.settings.seeds[0]), Classifier)

    def second(self) -> Classifier:
        """Return the classifier of the same family and another seed, that baselines and transfer attacks need."""
        return load(self.second_path(), Classifier)

    def saliency(self) -> SaliencyModel:
        """Return the learnt saliency model."""
        return load(self.saliency_path("mask"), SaliencyModel)

    def detector(self, name: str, attack: str, seed: int) -> Detector:
        """Return a trained detector."""
        return load(self.detector_path(name, attack, seed), Detector)

    def retrained(self, name: str, seed: int) -> Detector:
        """Return a detector that was retrained against an attack that saw it."""
        return load(self.retrained_path(name, seed), Detector)

    def classifier_path(self, seed: int) -> Path:
        """Return where the finished classifier of a seed lies."""
        return self.folder / "classifier" / f"seed_{seed}" / DONE

    def second_path(self) -> Path:
        """Return where the finished second classifier lies."""
        return self.folder / "classifier" / "second" / DONE

    def saliency_path(self, stage: str) -> Path:
        """Return where the finished encoder, selector or mask lies."""
        return self.folder / "saliency" / stage / DONE

    def detector_path(self, name: str, attack: str, seed: int) -> Path:
        """Return where a finished detector lies."""
        return self.folder / "detectors" / name / attack / f"seed_{seed}" / DONE

    def retrained_path(self, name: str, seed: int) -> Path:
        """Return where a retrained detector lies."""
        return self.folder / "retrained" / name / f"seed_{seed}" / DONE

    def finished(self) -> list[Path]:
        """Return the checkpoints of all finished stages."""
        paths = [self.folder / stage.name / DONE for stage in plan(self.settings)]
        return [path for path in paths if path.is_file()]
