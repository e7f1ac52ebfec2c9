"""An image at growing epsilon with all its maps (Figures 1 and 3)."""

from torch import Tensor

from experiments.pictures import Panel, grid
from experiments.similarity.measured import Measured
from experiments.similarity.versions import CLEAN, Version


def panels(measured: Measured) -> dict[str, bytes]:
    """Return a picture of each image shown: its versions over the maps of every method."""
    return {f"maps_{number + 1}": _picture(measured, number) for number in range(len(measured.rows))}


def _picture(measured: Measured, number: int) -> bytes:
    explained, row = measured.explained, int(measured.rows[number])
    label = int(explained.labels[row])
    versions = [CLEAN, *(Version("untargeted", epsilon) for epsilon in measured.plan.epsilons)]
    rows = [("image", [_image(measured, version, number) for version in versions])]
    rows += [
        (_wrapped(name), [_map(measured.shown[name, version][number]) for version in versions])
        for name in explained.methods
    ]
    note = (
        "Under an image the class predicted, red where it is not the clean image's; each map is of that class, and "
        "scaled by its own largest absolute value, which stands under it: with sign, blue is below 0 and red above; "
        "without, dark is 0."
    )
    title = f"Image {int(explained.rows[row])}, {explained.classes[label]}, under untargeted FGSM"
    columns = ["clean", *(f"epsilon {epsilon:g}" for epsilon in measured.plan.epsilons)]
    return grid(title, columns, rows, note, size=1.05)


def _image(measured: Measured, version: Version, number: int) -> Panel:
    row = measured.rows[number]
    predicted = int(measured.predictions[version][row])
    caption = measured.explained.classes[predicted]
    image = measured.pictures[version][number]
    return Panel(image, caption, warns=predicted != int(measured.explained.predictions[row]))


def _map(values: Tensor) -> Panel:
    """Return a map scaled by its own maximum, on a scale that is symmetric where it has a sign."""
    most = values.abs().max().item()
    scaled = values / (most or 1.0)
    if scaled.min() < 0:
        return Panel(scaled, f"{most:.2g}", low=-1.0, high=1.0, colours="RdBu_r")
    return Panel(scaled, f"{most:.2g}", colours="viridis")


def _wrapped(name: str) -> str:
    """Return a method's name in lines as short as a panel is high."""
    return name.replace("_", "\n", 1).replace("_", " ")
