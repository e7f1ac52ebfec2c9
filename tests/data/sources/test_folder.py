"""Any folder of images: its layouts, its classes, and what is refused."""

import json
import warnings
from pathlib import Path

import pytest
import torch

from data import ImageFolder
from tests.data.pictures import picture, write, write_classes


@pytest.fixture
def make(tmp_path):
    """Make a data module of a folder, with pictures of their own size."""

    def made(root, **options):
        return ImageFolder(str(root), **{"size": [16, 20], "cache": str(tmp_path / "cache"), **options})

    return made


def all_positions(data):
    data.setup()
    return sorted(position for part in data._sets.values() for position in part.positions.tolist())


def test_class_folders_in_the_root(make, tmp_path):
    data = make(write_classes(tmp_path / "x", ("cat", "ape", "Bee")))
    assert (data.shape, data.classes, data.class_names) == ((3, 16, 20), 3, ("Bee", "ape", "cat"))
    assert all_positions(data) == list(range(60))
    assert len(data.split("test")) == 12


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_test_folder_is_the_test_split(name, make, tmp_path):
    write_classes(tmp_path / "x" / "train")
    write_classes(tmp_path / "x" / name, count=3, first=100)
    data = make(tmp_path / "x")
    assert data.class_names == ("a", "b")
    test = data.split("test")
    assert sorted(test.positions.tolist()) == list(range(40, 46))
    expected = [torch.from_numpy(picture(seed).copy()).permute(2, 0, 1) for seed in (100, 101, 102, 1100, 1101, 1102)]
    batch = test.__getitems__(list(range(6)))
    for image, label, position in zip(*batch, strict=True):
        assert torch.equal((image * 255).round().byte(), expected[position - 40])
        assert label == (position - 40) // 3


def test_test_folder_goes_before_a_validation_folder(make, tmp_path):
    for name, count in {"train": 20, "val": 3, "test": 2}.items():
        write_classes(tmp_path / "x" / name, count=count)
    assert len(make(tmp_path / "x").split("test")) == 4


def test_train_folder_alone_gives_a_fifth_to_the_test_split(make, tmp_path):
    write_classes(tmp_path / "x" / "train")
    write(tmp_path / "x" / "test" / "1.png")  # without classes: unlabelled
    assert len(make(tmp_path / "x").split("test")) == 8


def test_nested_files_count_and_hidden_and_other_ones_do_not(make, tmp_path):
    root = Path(write_classes(tmp_path / "x"))
    write(root / "a" / "deep" / "er" / "x.JPEG")
    for path in ("a/Thumbs.db", "a/._00.png", "b/notes.txt", ".hidden/x.png", "__MACOSX/x.png", "x.png"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"no image")
    data = make(root)
    assert data.classes == 2
    assert len(all_positions(data)) == 41


def test_jfif_and_avif_are_images_where_pil_decodes_them_and_else_named(make, tmp_path):
    root = Path(write_classes(tmp_path / "x"))
    write(root / "a" / "photo.png")
    (root / "a" / "photo.png").rename(root / "a" / "photo.JFIF")  # the content decides
    (root / "b" / "photo.avif").write_bytes(b"a version of AVIF that nobody decodes")
    with pytest.warns(UserWarning, match=r"1 of 42 image files in .* left out, the first is b/photo\.avif"):
        assert len(all_positions(make(root))) == 41


def test_class_named_train_is_a_class(make, tmp_path):
    assert make(write_classes(tmp_path / "x", ("bus", "train"))).class_names == ("bus", "train")


def test_relative_root(make, tmp_path, monkeypatch):
    write_classes(tmp_path / "x" / "train")
    monkeypatch.chdir(tmp_path / "x")
    assert len(all_positions(make("."))) == 40


@pytest.mark.parametrize(("size", "channels", "shape"), [(8, 1, (1, 8, 8)), ([6, 9], 3, (3, 6, 9))])
def test_shape_is_known_without_the_folder_and_kept_by_the_images(size, channels, shape, make, tmp_path):
    data = make(tmp_path / "x", size=size, channels=channels)
    assert data.shape == shape
    write_classes(tmp_path / "x")
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape[1:] == shape
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
    assert 0 <= batch.images.min() < batch.images.max() <= 1


@pytest.mark.parametrize("size", [0, -1, [], [3], [3, 0], [1, 2, 3]])
def test_size_of_another_kind_is_refused(size, make, tmp_path):
    with pytest.raises(ValueError, match=r"size must be one number of at least 1, or two as \[height, width\], got"):
        make(tmp_path, size=size)


def test_a_class_with_one_image_is_in_one_split(make, tmp_path):
    root = Path(write_classes(tmp_path / "x", ("a",), count=30))
    write(root / "b" / "1.PNG", seed=500)
    data = make(root)
    assert len(all_positions(data)) == 31
    assert sum((part.labels == 1).sum().item() for part in data._sets.values()) == 1


def test_too_few_different_images_are_refused(make, tmp_path):
    for name in ("a", "b"):
        for number in range(20):
            write(tmp_path / "x" / name / f"{number}.png")
    with pytest.warns(UserWarning, match="^39 image files"), pytest.raises(ValueError, match="copies do not count"):
        make(tmp_path / "x").setup()


def test_other_channels_are_refused(make, tmp_path):
    with pytest.raises(ValueError, match=r"channels must be 1 \(grey\) or 3 \(RGB\), got 4"):
        make(tmp_path, channels=4)


def test_missing_folder_is_refused_with_its_path(make, tmp_path):
    data = make(tmp_path / "nowhere")
    for ask in (lambda: data.classes, data.prepare_data, data.setup):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere: give .* --data\.root"):
            ask()


def test_folder_without_class_folders_is_refused(make, tmp_path):
    write(tmp_path / "x" / "1.png")
    with pytest.raises(
        FileNotFoundError, match=r"/x has 1 images and no sub-folders: move the images of each class into"
    ):
        make(tmp_path / "x").setup()


def test_one_class_is_refused(make, tmp_path):
    write_classes(tmp_path / "x", ("pictures",))
    with pytest.raises(
        ValueError, match=r"/x has one sub-folder, pictures, but a class per sub-folder and at least two"
    ):
        make(tmp_path / "x").setup()


@pytest.mark.parametrize(("tests", "named"), [(("a",), "b is"), (("a", "c"), "b, c are"), (("a", "b", "d"), "d is")])
def test_test_images_of_other_classes_are_refused(tests, named, make, tmp_path):
    write_classes(tmp_path / "x" / "train")
    write_classes(tmp_path / "x" / "test", tests, count=1)
    with pytest.raises(ValueError, match=rf"train and test/ must have the same classes, but {named} in one of them"):
        make(tmp_path / "x").setup()


def test_class_without_images_is_refused(make, tmp_path):
    root = Path(write_classes(tmp_path / "x"))
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"/x has no usable image of the class empty: add images .*\.jpg"):
        make(root).setup()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("with_test", [True, False])
def test_splits_are_disjoint_and_complete(with_test, cached, make, tmp_path):
    write_classes(tmp_path / "x" / "train")
    if with_test:
        write_classes(tmp_path / "x" / "test", count=5, first=100)
    options = {} if cached else {"cache": None}
    assert all_positions(make(tmp_path / "x", **options)) == list(range(50 if with_test else 40))


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("training", "testing"), ("TRAIN", "Val")])
def test_names_of_the_two_folders_in_other_writings(train, test, make, tmp_path):
    write_classes(tmp_path / "x" / train)
    write_classes(tmp_path / "x" / test, count=3, first=100)
    data = make(tmp_path / "x")
    assert data.class_names == ("a", "b")
    assert len(data.split("test")) == 6


def test_split_folders_are_never_taken_for_classes(make, tmp_path):
    for name in ("train", "test"):
        for number in range(3):
            write(tmp_path / "x" / name / f"{number}.png", seed=number)
    with pytest.raises(ValueError, match="has test, train without classes in them: one sub-folder per class"):
        make(tmp_path / "x").class_names  # noqa: B018


def test_a_file_that_links_lead_to_twice_is_one_image(make, tmp_path):
    write_classes(tmp_path / "x")
    (tmp_path / "x" / "a" / "again").symlink_to(tmp_path / "x" / "a")
    assert len(make(tmp_path / "x").read()[1]) == 40


def test_a_test_folder_without_a_usable_image_is_refused(make, tmp_path):
    write_classes(tmp_path / "x" / "train")
    for name in ("a", "b"):
        (tmp_path / "x" / "test" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="has a place for test images of its own, but none that can be used: add some"):
        make(tmp_path / "x").setup()


def splits_of(data):
    """Return the names of the splits that each file is in; files by their place in the listing."""
    data.setup()
    found = {}
    for name, part in data._sets.items():
        for position in part.positions.tolist():
            found.setdefault(data.find().names[position], set()).add(name)
    return found


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("splits", ["disjoint", "paper"])
def test_copies_of_an_image_stay_in_one_split_and_are_told(splits, cached, make, tmp_path):
    root = Path(write_classes(tmp_path / "x"))
    for number in range(10):
        for name in ("a", "b"):
            contents = (root / name / f"{number:02}.png").read_bytes()
            for copy in range(3):
                (root / name / f"copy {number} {copy}.png").write_bytes(contents)
    (root / "b" / "wrong.png").write_bytes((root / "a" / "00.png").read_bytes())
    data = make(root, splits=splits, **({} if cached else {"cache": None}))
    told = (
        rf"^61 image files in {root} are copies of others \(1 of them with another class\), the first is "
        r"a/copy 0 0\.png, a copy of a/00\.png: copies stay in one split"
    )
    with pytest.warns(UserWarning, match=told):
        found = splits_of(data)
    assert len(found) == 101
    for number in range(10):
        for name in ("a", "b"):
            copies = [found[f"{name}/copy {number} {copy}.png"] for copy in range(3)]
            assert copies == [found[f"{name}/{number:02}.png"]] * 3
    assert found["b/wrong.png"] == found["a/00.png"]
    assert len(data.split("test")) == pytest.approx(20, abs=4)


@pytest.mark.parametrize("cached", [True, False])
def test_training_images_that_are_test_images_too_are_left_out(cached, make, tmp_path):
    root = tmp_path / "x"
    write_classes(root / "train")
    write_classes(root / "test", count=3, first=100)
    for copied, of in {"train/b/copy.png": "test/b/01.png", "test/b/copy.png": "train/b/03.png"}.items():
        (root / copied).write_bytes((root / of).read_bytes())
    (root / "train" / "a" / "link.png").symlink_to(root / "test" / "a" / "00.png")
    (root / "test" / "b" / "twice.png").write_bytes((root / "test" / "b" / "02.png").read_bytes())
    data = make(root, **({} if cached else {"cache": None}))
    with pytest.warns(UserWarning, match=r"^4 image files .* training images that are also among the set's own test"):
        found = splits_of(data)
    tested = sorted(name for name, splits in found.items() if splits == {"test"})
    assert tested == [
        *(f"test/a/{number:02}.png" for number in range(3)),
        *(f"test/b/{name}.png" for name in ("00", "01", "02", "copy", "twice")),
    ]
    assert len(found) == len(tested) + 39
    assert not {"train/b/copy.png", "train/b/03.png", "train/a/link.png"} & found.keys()
    assert splits_of(make(root, test_limit=1)).keys() & {"train/b/03.png"} == set()


def test_without_copies_splits_are_as_ever_and_nothing_is_told(make, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = make(write_classes(tmp_path / "x"))
        data.setup()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    parts = [data.split(name).positions.tolist() for name in data._sets]
    assert dict(zip(data._sets, parts, strict=True)) == {
        "classifier_train": order[:13],
        "classifier_train_validation": order[13:14],
        "detector_train": order[14:26],
        "detector_train_validation": order[26:27],
        "calibration": order[27:32],
        "test": order[32:],
    }


def test_a_damaged_record_of_copies_is_refused(make, tmp_path):
    root = Path(write_classes(tmp_path / "x"))
    (root / "a" / "copy.png").write_bytes((root / "a" / "00.png").read_bytes())
    make(root).prepare_data()
    (about,) = (tmp_path / "cache").glob("*.json")
    contents = json.loads(about.read_text())
    assert contents["copies"] == {"a/copy.png": "a/00.png"}
    for wrong in ({"a/copy.png": "a/other.png"}, {"a/copy.png": 3}, ["a/copy.png"], None, 5, [["a/copy.png", ["a"]]]):
        about.write_text(json.dumps(contents | {"copies": wrong}))
        with pytest.raises(ValueError, match=rf"{about.name} are damaged \(it is not what was written"):
            make(root).setup()
