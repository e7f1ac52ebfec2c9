"""Files of every kind become bytes of one shape; those that cannot are named."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from data.decoding import LazyPixels, UndecodableError, decode, decode_all
from tests.data.pictures import picture, write

SHAPE = (3, 16, 20)


def as_planes(image):
    return image.transpose(2, 0, 1)


def mean_difference(first, second):
    return np.abs(first.astype(float) - second.astype(float)).mean()


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "tiff"])
def test_lossless_file_of_the_right_size_is_read_to_the_bit(ending, tmp_path):
    path = write(tmp_path / f"x.{ending}")
    image = decode(str(path), SHAPE)
    assert (image.shape, image.dtype) == (SHAPE, np.uint8)
    assert np.array_equal(image, as_planes(picture(0)))


@pytest.mark.parametrize("ending", ["jpg", "webp", "gif"])
def test_lossy_file_is_nearly_the_picture(ending, tmp_path):
    image = decode(str(write(tmp_path / f"x.{ending}")), SHAPE)
    assert mean_difference(image, as_planes(picture(0))) < 8


def test_content_decides_what_a_file_is_not_its_name(tmp_path):
    path = write(tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(decode(str(path), SHAPE), as_planes(picture(0)))


@pytest.mark.parametrize("size", [(48, 32), (32, 48), (64, 64), (128, 32), (24, 8)])
def test_short_side_is_scaled_and_the_centre_cut_as_torchvision_does(size, tmp_path):
    path = write(tmp_path / "x.png", size=size)
    ours = decode(str(path), (3, 16, 16))
    reference = v2.Compose([v2.Resize(16, antialias=True), v2.CenterCrop(16)])
    theirs = reference(torch.from_numpy(as_planes(picture(0, size)).copy())).numpy()
    assert mean_difference(ours, theirs) < 0.5


def test_oblong_shapes_are_filled_from_the_centre(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[8:32] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert decode(str(tmp_path / "x.png"), (3, 10, 20)).min() == 255  # rows 10 to 30


def test_large_jpeg_decoded_at_a_fraction_is_nearly_the_whole_one_scaled(tmp_path):
    path = write(tmp_path / "x.jpg", size=(1600, 1200), quality=95)
    with Image.open(path) as whole:
        expected = np.asarray(whole.resize((20, 15), Image.Resampling.BILINEAR))
    assert mean_difference(decode(str(path), (3, 15, 20)), as_planes(expected)) < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_photographs_are_turned_upright(orientation, tmp_path):
    upright = Image.fromarray(picture(0, (32, 24)))
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert mean_difference(decode(str(tmp_path / "x.jpg"), (3, 24, 32)), as_planes(np.asarray(upright))) < 4


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK"])
def test_other_modes_are_converted(mode, tmp_path):
    grey = Image.fromarray(picture(0)).convert("L")
    source = grey.convert("RGB").convert(mode)
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    source.save(path)
    expected = np.asarray(source.convert("RGB"))
    assert np.array_equal(decode(str(path), SHAPE), as_planes(expected))


def test_cmyk_jpeg_has_the_right_colours(tmp_path):
    Image.new("RGB", (20, 16), (255, 0, 0)).convert("CMYK").save(tmp_path / "x.jpg")
    assert decode(str(tmp_path / "x.jpg"), SHAPE).mean((1, 2)) == pytest.approx([255, 0, 0], abs=6)


def test_16_bit_grey_is_scaled_not_cut_off(tmp_path):
    values = np.linspace(0, 65535, 320).reshape(16, 20).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    image = decode(str(tmp_path / "x.png"), (1, 16, 20))
    assert np.array_equal(image[0], np.round(values / 257).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_lie_on_white(mode, tmp_path):
    image = Image.new("RGBA", (20, 16), (0, 0, 0, 0))
    options = {"transparency": 0} if mode == "P" else {}
    (Image.new("P", (20, 16)) if mode == "P" else image.convert(mode)).save(tmp_path / "x.png", **options)
    assert decode(str(tmp_path / "x.png"), SHAPE).min() == 255


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_grey_is_the_luminance(ending, tmp_path):
    path = write(tmp_path / f"x.{ending}")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    assert mean_difference(decode(str(path), (1, 16, 20))[0], expected) < 1


def broken(path, kind):
    """Write a file that is no usable image."""
    whole = write(path.with_suffix(".jpg" if kind == "cut" else ".png"), size=(64, 64)).read_bytes()
    if kind == "floating point":
        Image.fromarray(np.ones((16, 20), np.float32)).save(path, format="tiff")
        return str(path)
    damaged = {
        "empty": b"",
        "text": b"not an image",
        "cut": whole[: len(whole) // 2],
        "cut in the header": whole[:20],
        "another checksum": whole[:60] + b"\x00\x01\x02\x03" + whole[64:],
    }
    path.write_bytes(damaged[kind])
    return str(path)


KINDS = ["empty", "text", "cut", "cut in the header", "another checksum", "floating point"]


@pytest.mark.parametrize("kind", KINDS)
def test_broken_file_is_named(kind, tmp_path):
    path = broken(tmp_path / "x", kind)
    with pytest.raises(UndecodableError, match=r"/x cannot be decoded \(.*\): repair it or take it out"):
        decode(path, SHAPE)


def test_missing_file_is_no_broken_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"/x\.png cannot be read \(No such file"):
        decode(str(tmp_path / "x.png"), SHAPE)


def test_results_stand_in_the_order_of_the_files_with_errors_in_place(tmp_path):
    paths = [str(write(tmp_path / f"{seed}.png", seed)) for seed in range(9)]
    paths.insert(4, broken(tmp_path / "x", "text"))
    results = decode_all(paths, SHAPE)
    assert isinstance(results.pop(4), UndecodableError)
    assert all(np.array_equal(image, as_planes(picture(seed))) for seed, image in enumerate(results))


def test_lazy_pixels_are_the_files_at_the_positions(tmp_path):
    pixels = LazyPixels([str(write(tmp_path / f"{seed}.png", seed)) for seed in range(5)], SHAPE)
    batch = pixels[torch.tensor([3, 0, 3])]
    assert (batch.shape, batch.dtype) == ((3, *SHAPE), torch.uint8)
    assert all(np.array_equal(batch[row], as_planes(picture(seed))) for row, seed in enumerate([3, 0, 3]))


def test_lazy_pixels_name_a_broken_file(tmp_path):
    pixels = LazyPixels([str(write(tmp_path / "0.png")), broken(tmp_path / "x", "cut")], SHAPE)
    with pytest.raises(UndecodableError, match="/x cannot be decoded"):
        pixels[torch.tensor([0, 1])]
