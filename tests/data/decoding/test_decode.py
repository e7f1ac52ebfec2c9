"""Files of every kind become bytes of one shape; those that cannot are named."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from data.decoding.decode import LazyPixels, UndecodableError, decode, decode_all
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


def write_png(path, depth, colour, rows, transparent=()):
    """Write a PNG of any depth; rows of samples, the colour that is transparent as samples."""

    def chunk(kind, contents):
        checksum = struct.pack(">I", zlib.crc32(kind + contents))
        return struct.pack(">I", len(contents)) + kind + contents + checksum

    def packed(samples):
        bits = "".join(f"{sample:0{depth}b}" for sample in samples)
        bits += "0" * (-len(bits) % 8)
        return b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), depth, colour, 0, 0, 0)
    declared = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(map(packed, rows))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + declared + pixels + chunk(b"IEND", b""))
    return str(path)


GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


@pytest.mark.parametrize(
    ("depth", "samples", "transparent", "expected"),
    [
        (1, [0, 1], (1,), [0, 255]),
        (1, [0, 1], (0,), [255, 255]),
        (2, [0, 1, 2, 3], (), [0, 85, 170, 255]),
        (2, [0, 1, 2, 3], (1,), [0, 255, 170, 255]),
        (4, [0, 1, 5, 15], (5,), [0, 17, 255, 255]),
        (8, [0, 1, 100, 255], (100,), [0, 1, 255, 255]),
        (16, [0, 257, 25700, 25701, 65535], (25700,), [0, 1, 255, 100, 255]),
        (16, [128, 129, 65000], (0,), [0, 1, 253]),  # rounded, 257 to a level
    ],
)
def test_a_grey_that_a_png_declares_transparent_lies_on_white(depth, samples, transparent, expected, tmp_path):
    path = write_png(tmp_path / "x.png", depth, GREY, [samples], transparent)
    assert decode(path, (1, 1, len(expected)))[0, 0].tolist() == expected
    assert decode(path, (3, 1, len(expected)))[:, 0].tolist() == [expected] * 3


@pytest.mark.parametrize(
    ("depth", "scale", "transparent"),
    [(8, 1, (10, 20, 30)), (16, 257, (2570, 5140, 7710)), (16, 256, (2560, 5120, 7680))],
)
def test_a_colour_that_a_png_declares_transparent_lies_on_white(depth, scale, transparent, tmp_path):
    samples = [value * scale for value in (10, 20, 30, 10, 20, 31)]
    path = write_png(tmp_path / "x.png", depth, RGB, [samples], transparent)
    assert decode(path, (3, 1, 2))[:, 0].T.tolist() == [[255, 255, 255], [10, 20, 31]]


def test_alpha_of_16_bits_blends_with_white(tmp_path):
    grey = [0, 65535, 25700, 32768, 0, 0]  # opaque black, half grey, invisible black
    path = write_png(tmp_path / "x.png", 16, GREY_ALPHA, [grey])
    assert decode(path, (1, 1, 3))[0, 0].tolist() == pytest.approx([0, (100 + 255) / 2, 255], abs=1)
    colours = [65535, 0, 0, 65535, 0, 0, 65535, 16384, 0, 0, 0, 0]
    path = write_png(tmp_path / "x.png", 16, RGBA, [colours])
    expected = [[255, 0, 0], [191, 191, 255], [255, 255, 255]]
    assert np.abs(decode(path, (3, 1, 3))[:, 0].T - np.array(expected)).max() <= 1


def write_tiff(path, pixels, bits=16, photometric=1, sample_format=1, alpha=None):
    """Write samples (H, W) or (H, W, 2) as a TIFF; photometric 0: white is 0; alpha 1: multiplied into the grey."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    contents = pixels.tobytes()
    if bits == 12:
        digits = "".join(f"{value:012b}" for value in pixels.reshape(-1).tolist())
        contents = int(digits, 2).to_bytes(len(digits) // 8, "big")
    lists = 8 + len(contents)  # where values lie that do not fit into a tag
    each = [(258, bits), (339, sample_format)]
    tags = [
        (256, 4, 1, pixels.shape[1]),
        (257, 4, 1, pixels.shape[0]),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
    ]
    tags += [(273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, len(pixels)), (279, 4, 1, len(contents))]
    tags += [(tag, 3, channels, value | value << 16 if channels == 2 else value) for tag, value in each]
    tags += [(338, 3, 1, alpha)] if alpha else []
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    path.write_bytes(struct.pack("<2sHI", b"II", 42, lists) + contents + directory + bytes(4))
    return str(path)


SIXTEEN = np.array([[0, 257], [25700, 65535]], np.uint16)


def test_tiffs_of_16_and_12_bits_are_scaled(tmp_path):
    path = tmp_path / "x.tiff"
    assert decode(write_tiff(path, SIXTEEN), (1, 2, 2))[0].tolist() == [[0, 1], [100, 255]]
    inverted = write_tiff(path, SIXTEEN, photometric=0)
    assert decode(inverted, (1, 2, 2))[0].tolist() == [[255, 254], [155, 0]]
    twelve = np.array([[0, 16], [2048, 4095]])
    assert decode(write_tiff(path, twelve, 12), (1, 2, 2))[0].tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize(
    ("kind", "sample_format"),
    [(np.uint32, 1), (np.int32, 2), (np.int16, 2), (np.int8, 2), (np.float32, 3)],
)
def test_numbers_of_unknown_range_are_refused(kind, sample_format, tmp_path):
    pixels = np.array([[0, 1], [100, 127]], kind)
    path = write_tiff(tmp_path / "x.tiff", pixels, 8 * pixels.itemsize, sample_format=sample_format)
    with pytest.raises(
        UndecodableError, match=r"\(its pixels are floating-point, 32-bit or signed numbers, of unknown"
    ):
        decode(path, SHAPE)


@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_of_tiffs_blends_with_white(channels, tmp_path):
    pixels = np.array([[[50, 128], [0, 0], [9, 255]]], np.uint8)
    for alpha, first in {1: 50 + 127, 2: 25 + 127}.items():
        path = write_tiff(tmp_path / "x.tiff", pixels, 8, alpha=alpha)
        image = decode(path, (channels, 1, 3))
        assert image[:, 0].tolist() == [pytest.approx([first, 255, 9], abs=1)] * channels


@pytest.mark.parametrize(("channels", "expected"), [(3, [200, 30, 60]), (1, [84.2])])  # .299 R + .587 G + .114 B
@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "CMYK", "PA", "RGBX"])
def test_tiffs_of_other_colour_spaces_have_the_right_colours(mode, channels, expected, tmp_path):
    if mode == "PA":
        image = Image.new("PA", (20, 16), (7, 255))
        image.putpalette([0] * 21 + [200, 30, 60] + [0] * 744)
    else:
        image = Image.new("RGB", (20, 16), (200, 30, 60)).convert(mode)
    image.save(tmp_path / "x.tiff")
    assert decode(str(tmp_path / "x.tiff"), (channels, 16, 20))[:, 3, 4].tolist() == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tiff"])
def test_of_several_frames_the_first_is_taken(ending, tmp_path):
    first, second = (Image.new("RGB", (20, 16), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    options = {} if ending == "tiff" else {"duration": 100}
    first.save(tmp_path / f"x.{ending}", save_all=True, append_images=[second], **options)
    image = decode(str(tmp_path / f"x.{ending}"), SHAPE)
    assert image.mean((1, 2)).tolist() == pytest.approx([250, 0, 0], abs=4)


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
