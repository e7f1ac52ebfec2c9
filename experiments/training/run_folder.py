"""What an evaluation reads from a run folder: settings, data, attacks, and the finished models."""

import shlex
from contextlib import nullcontext
from pathlib import Path

from attacks import Attack
from attacks.errors import InputError
from data import ImageData
from data.store.store import Store
from detectors import Classifier, Detector, load
from experiments.parser import folder_of
from experiments.training import layout
from experiments.training.layout import SETTINGS
from experiments.training.settings import Settings, read_settings
from experiments.training.untrusted_runs import installed_code_only, is_within, refuse_links_out, refuse_other_settings
from saliency import SaliencyModel


class Run:
    """A run folder that `train.py pipeline` made, and its parts.

    Args:
        folder: The run folder, wherever it was moved to.
        apart: Folder for all that an evaluation writes: report, scores, adversarial sets; None: the run's own.
        trusted: Whether the run may have modules imported that are not installed, and lead out of its folder.

    Raises:
        FileNotFoundError: If there is no such folder, or no pipeline made it.
        ValueError: If the run does what only a trusted one may.
    """

    def __init__(self, folder: str | Path, apart: str | Path | None = None, *, trusted: bool = False) -> None:
        self.folder = folder_of("run", folder)
        self.apart = None if apart is None else folder_of("report", apart)
        self.trusted = trusted
        path = self.folder / SETTINGS
        if not path.is_file():
            lacks = f"holds no {SETTINGS}" if self.folder.is_dir() else "does not exist"
            msg = (
                f"the run folder {self.folder} {lacks}: make a run with `python train.py pipeline --config "
                "configs/<data set>.yaml`, and give its folder as --run"
            )
            raise FileNotFoundError(msg)
        if not trusted:
            refuse_links_out(self.folder)
            refuse_other_settings(path)
        with nullcontext() if trusted else installed_code_only(self.folder):
            self.settings: Settings = read_settings([f"--config={path.resolve()}"])
        self._check_store()

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.folder / "report" if self.apart is None else self.apart

    @property
    def named(self) -> str:
        """The options of `evaluate.py` that name this run and its report, as a shell takes them."""
        return shlex.join(["--run", str(self.folder), *([] if self.apart is None else ["--report", str(self.apart)])])

    @property
    def resumed(self) -> str:
        """The options of `train.py pipeline` that go on with this run, as a shell takes them."""
        return shlex.join(["--config", str(self.folder / SETTINGS), "--run", str(self.folder)])

    def data(self) -> ImageData:
        """Return the image data module of the run."""
        return self.settings.data

    def attacks(self) -> dict[str, Attack]:
        """Return the attacks of the run by name."""
        return self.settings.attacks

    def store(self) -> Store | None:
        """Return the store of adversarial sets; None if the run makes them on the fly."""
        kept = self.settings.sections["store"]
        if kept is None:
            return None
        return Store(self.folder / kept if self.apart is None else self.apart / "adversarial")

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
        return self.folder / layout.CLASSIFIER.format(seed=seed) / layout.DONE

    def second_path(self) -> Path:
        """Return where the finished second classifier lies."""
        return self.folder / layout.SECOND / layout.DONE

    def saliency_path(self, part: str) -> Path:
        """Return where the finished encoder, selector or mask lies."""
        return self.folder / layout.SALIENCY.format(part=part) / layout.DONE

    def detector_path(self, name: str, attack: str, seed: int) -> Path:
        """Return where a finished detector lies."""
        return self.folder / layout.DETECTOR.format(name=name, attack=attack, seed=seed) / layout.DONE

    def retrained_path(self, name: str, seed: int) -> Path:
        """Return where a retrained detector lies."""
        return self.folder / layout.RETRAINED.format(name=name, seed=seed) / layout.DONE

    def finished(self) -> list[Path]:
        """Return the checkpoints of all finished stages, in the order in which they run."""
        paths = [self.folder / name / layout.DONE for name in layout.stage_folders(self.settings.sections)]
        return [path for path in paths if path.is_file()]

    def _check_store(self) -> None:
        store = self.store()
        if store is not None and self.apart is None and not self.trusted and not is_within(store.folder, self.folder):
            msg = (
                f"{self.folder} keeps its adversarial sets outside of it, in {store.folder}: add --trust if this run "
                "is yours, or --report FOLDER to have the report and these sets made there"
            )
            raise InputError(msg)
