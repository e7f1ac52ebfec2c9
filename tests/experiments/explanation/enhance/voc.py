"""A made-up folder of Pascal VOC's layout."""

from pathlib import Path

from tests.data.pictures import write

OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>"
    "<part><name>head</name></part></object>"
)


def write_voc(root, photographs, size=(60, 40)):
    """Write photographs, {file: [(name, box)]}, and return the root; size is (width, height)."""
    folder = Path(root) / "VOCdevkit/VOC2012"
    for number, (file, objects) in enumerate(photographs.items()):
        write(folder / f"JPEGImages/{file}.jpg", seed=number, size=size)
        told = "".join(OBJECT.format(*box, name=name) for name, box in objects)
        about = f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{told}</annotation>"
        (folder / "Annotations").mkdir(parents=True, exist_ok=True)
        (folder / f"Annotations/{file}.xml").write_text(about)
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("\n".join(photographs) + "\n")
    return root
