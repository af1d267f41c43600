"""Every layout, depth and codec against the arrays that were encoded; what is left out is said."""

import io
import itertools
import struct
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from common import photos
from common.photos import PhotoError, formats, segments
from tests import drawn
from tests.photos.files import chunk, png16, saved, tiff

RGB = drawn.picture(3, 40, 60)
ALPHA = np.broadcast_to(np.linspace(0, 255, 60).astype(np.uint8), (40, 60))
SMOOTH = np.stack(np.broadcast_arrays(*np.mgrid[40:200:40j, 60:220:60j], 128), axis=2)
SMOOTH = SMOOTH.astype(np.uint8)
TURNED = {  # of EXIF's orientation, by its words: where the 0th row and the 0th column are
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.swapaxes(np.rot90(stored, 2), 0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


def drawing(channels, bits):
    """(40, 60, channels): grey or RGB, then up to two ramps, over all values of `bits`."""
    colour = RGB if channels > 2 else RGB[..., 1:2]
    ramps = [ALPHA[..., ::step] for step in (1, -1)][: channels - colour.shape[2]]
    stacked = np.dstack([colour, *ramps]) / 255
    noise = np.random.default_rng(bits).uniform(-0.5, 0.5, stacked.shape) / 255
    values = np.clip(stacked + noise, 0, 1) * (2**bits - 1)
    return np.round(values).astype(np.uint8 if bits <= 8 else np.uint16)


def whole_range(values, bits):
    """Values of `bits` bits as 8 or 16 of the result: 0 stays, the highest becomes the highest."""
    full = 255 if bits <= 8 else 65535
    return np.round(values.astype(np.float64) * full / (2**bits - 1)).astype(int)


def shown(values):
    """The result of (H, W, 1 to 4): grey, grey as RGB with alpha, RGB, RGBA."""
    if values.shape[2] == 2:
        return values[..., [0, 0, 0, 1]]
    return values[..., 0] if values.shape[2] == 1 else values


def only(pages):
    (page,) = pages
    return page.pixels


@pytest.fixture
def noted(tmp_path):
    """The only page of a picture file given as bytes, and its notes."""

    def page(data, name="photo", **options):
        path = tmp_path / name
        path.write_bytes(data)
        with photos.read(path, **options) as photo:
            (page,) = photo.pages()
        return page, photo.notes

    return page


# --- TIFF -----------------------------------------------------------------------------------------

LOSSLESS = {
    None: {},
    "lzw": {},
    "zlib": {},
    "adobe_deflate": {},
    "packbits": {},
    "lzma": {},
    "zstd": {},
    "lerc": {},
    "png": {},
    "jpegxl": {"lossless": True},
    "jpeg2000": {"reversible": True, "level": 0},
    "webp": {"lossless": True},
}


@pytest.mark.parametrize("compression", LOSSLESS)
def test_every_layout_of_a_tiff(read, compression):
    tried = 0
    codec = compression in ("lerc", "png", "jpegxl", "jpeg2000", "webp")
    for bits, channels, planar, tile, (order, big) in itertools.product(
        (8, 16),
        (1, 2, 3, 4),
        ("contig", "separate"),
        (None, (16, 16)),
        (("<", False), (">", True), (">", False)),
    ):
        if codec and bits == 16 and order == ">":
            continue  # tifffile writes none
        if compression == "webp" and (bits, planar) != (8, "contig"):
            continue
        if compression == "webp" and channels < 3 or channels == 1 and planar == "separate":
            continue
        predictors = (False, True) if compression in ("lzw", "zlib", "zstd") else (False,)
        for predictor in predictors:
            tried += 1
            orientation = tried % 8 + 1
            values = drawing(channels, bits)
            planes = np.moveaxis(values, 2, 0).copy() if planar == "separate" else values
            data = tiff(
                values[..., 0] if channels == 1 else planes,
                byteorder=order,
                bigtiff=big,
                photometric="rgb" if channels > 2 else "minisblack",
                planarconfig=planar if channels > 1 else None,
                extrasamples=["unassalpha"] if channels in (2, 4) else None,
                tile=tile,
                rowsperstrip=None if tile else 7,
                **({"predictor": True} if predictor else {}),
                compression=compression,
                compressionargs=LOSSLESS[compression],
                extratags=[(274, 3, 1, orientation, True)],
            )
            (page,) = read(data)
            expected = TURNED[orientation](shown(values))
            assert page.depth == bits and page.pixels.dtype == expected.dtype
            np.testing.assert_array_equal(page.pixels, expected)
    assert tried


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4"])
def test_a_tiff_of_another_writer_is_turned_once(read, compression, orientation):
    image = Image.fromarray(RGB)
    if compression == "group4":
        image = image.convert("1")
    data = saved(image, "TIFF", compression=compression, tiffinfo={274: orientation})
    stored = np.asarray(image.convert("L") if compression == "group4" else image)
    np.testing.assert_array_equal(only(read(data)), TURNED[orientation](stored))


@pytest.mark.parametrize("kind", ["minisblack", "miniswhite", "palette"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits(read, bits, kind):
    values = drawing(1, bits)[..., 0]
    packed = np.packbits(
        np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(40, -1), axis=1
    )
    tags = [(258, 3, 1, bits), (262, 3, 1, {"minisblack": 1, "miniswhite": 0, "palette": 3}[kind])]
    colours = np.random.default_rng(bits).integers(0, 256, (3, 2**bits)).astype(np.uint16)
    if kind == "palette":
        tags.append((320, 3, colours.size, (colours * 257).astype("<u2").tobytes()))
    result = only(read(bare_tiff(packed.tobytes(), tags)))
    if kind == "palette":
        np.testing.assert_array_equal(result, colours.T[values])
    else:
        expected = whole_range(values, bits)
        np.testing.assert_array_equal(result, 255 - expected if kind == "miniswhite" else expected)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_odd_bits(read, bits):
    values = drawing(3, bits)
    stream = np.unpackbits(values.astype(">u2")[..., None].view(np.uint8), axis=3)
    packed = np.packbits(stream.reshape(40, 60, 3, 16)[..., 16 - bits :].reshape(40, -1), axis=1)
    tags = [(258, 3, 3, struct.pack("<3H", *[bits] * 3)), (262, 3, 1, 2), (277, 3, 1, 3)]
    (page,) = read(bare_tiff(packed.tobytes(), tags))
    assert page.depth == 16
    np.testing.assert_array_equal(page.pixels, whole_range(values, bits))


def bare_tiff(pixels, tags, height=40, width=60):
    """A little-endian TIFF written by hand, of one strip: tags are (code, type, count, value)."""
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        *([] if any(tag[0] == 259 for tag in tags) else [(259, 3, 1, 1)]),
        (273, 4, 1, 8),
        *([] if any(tag[0] == 278 for tag in tags) else [(278, 4, 1, height)]),
        (279, 4, 1, len(pixels)),
        *tags,
    ]
    body = bytearray(pixels.ljust(len(pixels) + len(pixels) % 2, b"\0"))
    entries = []
    for code, kind, count, value in sorted(tags):
        if isinstance(value, bytes):
            if len(value) > 4:
                body += value
                value = struct.pack("<I", 8 + len(body) - len(value))
            entries.append(struct.pack("<HHI", code, kind, count) + value.ljust(4, b"\0"))
        else:
            entries.append(struct.pack("<HHII", code, kind, count, value))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + bytes(body) + directory


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("tagged", [False, True], ids=["no ExtraSamples", "unspecified"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4])
def test_infrared_is_no_alpha_and_is_kept(tmp_path, bits, tagged, planar, channels):
    values = drawing(channels, bits)
    colour, infrared = values[..., :-1], values[..., -1]
    writer = io.BytesIO()
    with tifffile.TiffWriter(writer) as tiff_writer:
        tiff_writer.write(
            np.moveaxis(values, 2, 0).copy() if planar == "separate" else values,
            photometric="rgb" if channels == 4 else "minisblack",
            planarconfig=planar,
            metadata=None,
            extrasamples=["unspecified"],
            extratags=[(274, 3, 1, 6, True)],
        )
    data = writer.getvalue()
    if not tagged:  # another tag's number in the place of ExtraSamples, in order
        data = data.replace(struct.pack("<HH", 338, 3), struct.pack("<HH", 337, 3))
    source, target = tmp_path / "scan.tif", tmp_path / "result.tif"
    source.write_bytes(data)
    with photos.read(source) as photo:
        (page,) = photo.pages()
        upright = TURNED[6](colour)
        np.testing.assert_array_equal(page.pixels, upright[..., 0] if channels == 2 else upright)
        np.testing.assert_array_equal(page.extra[..., 0], TURNED[6](infrared))
        assert "infrared" in "; ".join(photo.notes)
        page.pixels = np.ascontiguousarray(upright[..., [0, 0, 0]] if channels == 2 else upright)
        expected = page.pixels.copy()
        photos.write(target, [page], photo)
    with tifffile.TiffFile(target) as file:
        written = file.pages[0].asarray()
        np.testing.assert_array_equal(written, np.dstack([expected, TURNED[6](infrared)]))
        assert file.pages[0].extrasamples == (0,)


def test_alpha_beside_infrared(read):
    values = np.dstack([drawing(4, 8), ALPHA[:, ::-1]])
    data = tiff(values, photometric="rgb", extrasamples=["unspecified", "unassalpha"])
    (page,) = read(data)
    np.testing.assert_array_equal(page.pixels, values[..., [0, 1, 2, 4]])
    np.testing.assert_array_equal(page.extra, values[..., 3:4])


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_at_its_depth(read, bits):
    inks = drawing(4, bits)
    share = 1 - inks.astype(np.float64) / (2**bits - 1)
    expected = share[..., :3] * share[..., 3:] * (2**bits - 1)
    for order, compression in itertools.product("<>", (None, "lzw")):
        data = tiff(inks, photometric="separated", byteorder=order, compression=compression)
        (page,) = read(data)
        assert page.depth == bits and page.pixels.dtype == inks.dtype
        np.testing.assert_allclose(page.pixels, expected, atol=1)


LAB = np.array([[50.0, 40, -30], [100, 0, 0], [0, 0, 0], [70, -20, 45], [30, 10, 10]])


@pytest.mark.parametrize(
    ("photometric", "stored", "tolerance"),
    [
        (8, np.round(LAB * [2.55, 1, 1]).astype(np.int8), 260),
        (8, np.round(LAB * [655.35, 256, 256]).astype(int).astype(np.int16), 12),
        (9, np.round(LAB * [2.55, 1, 1] + [0, 128, 128]).astype(np.uint8), 260),
        (9, np.round(LAB * [652.8, 256, 256] + [0, 32768, 32768]).astype(np.uint16), 12),
    ],
    ids=["CIELab 8", "CIELab 16", "ICCLab 8", "ICCLab 16"],
)
def test_lab_of_every_encoding(read, photometric, stored, tolerance):
    # CIE's formulas and the sRGB profile's matrix, to D50.
    y = (LAB[:, 0] + 16) / 116
    f = np.stack([y + LAB[:, 1] / 500, y, y - LAB[:, 2] / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    matrix = [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
    linear = np.clip(xyz @ np.linalg.inv(matrix).T, 0, 1)
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    bits = 8 * stored.itemsize
    tags = [
        (258, 3, 3, struct.pack("<3H", *[bits] * 3)),
        (262, 3, 1, photometric),
        (277, 3, 1, 3),
    ]
    (page,) = read(bare_tiff(stored.tobytes(), tags, 1, len(LAB)))
    assert page.depth == bits
    np.testing.assert_allclose(page.pixels[0], 65535 * expected, atol=tolerance)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_jpeg_in_tiff(read, planar):
    values = np.moveaxis(RGB, 2, 0).copy() if planar == "separate" else RGB
    data = tiff(
        values, photometric="rgb", planarconfig=planar, compression="jpeg", tile=(32, 32),
        compressionargs={"level": 98},
    )  # fmt: skip
    np.testing.assert_allclose(only(read(data)).astype(int), RGB, atol=24)  # colour by halves
    ycc = saved(Image.fromarray(RGB), "TIFF", compression="jpeg", quality=98)
    np.testing.assert_allclose(only(read(ycc)).astype(int), RGB, atol=24)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_ycbcr_without_jpeg(read, compression, factor):
    # TIFF 6.0, section 21: a unit is factor x factor values of Y, then the mean Cb and Cr.
    stored = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr")).astype(float)
    blocks = stored.reshape(40 // factor, factor, 60 // factor, factor, 3)
    y = np.moveaxis(blocks[..., 0], 1, 2).reshape(*blocks.shape[0:3:2], -1)
    units = np.concatenate([y, blocks.mean(axis=(1, 3))[..., 1:]], axis=2)
    data = np.round(units).astype(np.uint8).tobytes()
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}[compression]
    tags = [
        (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
        (259, 3, 1, compression),
        (262, 3, 1, 6),
        (274, 3, 1, 6),
        (277, 3, 1, 3),
        (530, 3, 2, struct.pack("<2H", factor, factor)),
        (532, 5, 6, struct.pack("<12I", 0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),
    ]
    pixels = only(read(bare_tiff(encode(data), tags)))
    np.testing.assert_allclose(pixels.astype(int), TURNED[6](SMOOTH), atol=3 if factor == 1 else 9)


def thumbnail(photometric="rgb", full=None, **options):
    """A TIFF whose first page is a thumbnail with a SubIFD."""
    file = io.BytesIO()
    full = drawing(3, 16) if full is None else full
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB[::4, ::4].copy(), photometric="rgb", subifds=1, metadata=None, **options)
        writer.write(full, photometric=photometric, metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"subfiletype": 1}])
def test_a_thumbnail_gives_way_to_its_picture(read, options):
    turned = {"extratags": [(274, 3, 1, 8, True)]}
    (page,) = read(thumbnail(**options, **turned))
    np.testing.assert_array_equal(page.pixels, TURNED[8](drawing(3, 16)))


def test_a_pyramid_is_its_first_picture(read):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb", subifds=2, metadata=None)
        writer.write(RGB[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(RGB[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(only(read(file.getvalue())), RGB)


@pytest.mark.parametrize("name", ["photo.tif", "photo.nef", "photo"])
def test_a_mosaic_of_filters_is_raw_whatever_its_name(read, name):
    mosaic = thumbnail(photometric=32803, full=drawing(1, 16)[..., 0])
    with pytest.raises(PhotoError, match="camera raw"):
        read(mosaic, name)


def test_masks_are_left_out(tmp_path):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(RGB[..., 0] > 100, photometric="mask", subfiletype=4, metadata=None)
    path = tmp_path / "photo.tif"
    path.write_bytes(file.getvalue())
    with photos.read(path) as photo:
        np.testing.assert_array_equal(only(photo.pages()), RGB)
    assert "mask" in "; ".join(photo.notes)


def test_a_page_that_is_a_thumbnail_is_left_out(tmp_path):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(RGB, photometric="rgb", metadata=None)
    path = tmp_path / "photo.tif"
    path.write_bytes(file.getvalue())
    with photos.read(path) as photo:
        np.testing.assert_array_equal(only(photo.pages()), RGB)
    assert "thumbnail" in "; ".join(photo.notes)


LARGER = np.zeros((2000, 3000, 3), np.uint8)


@pytest.mark.parametrize(
    ("codec", "compression"),
    [
        ("jpeg8", 7),
        ("jpeg2k", 34712),
        ("png", 34933),
        ("webp", 50001),
        ("jpegxl", 50002),
        ("lerc", 34887),
    ],
)
def test_what_is_larger_than_its_strip_is_not_decoded(read, codec, compression):
    options = {"codecformat": "j2k"} if codec == "jpeg2k" else {}
    data = getattr(imagecodecs, f"{codec}_encode")(LARGER, **options)
    tags = [
        (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
    ]
    with pytest.raises(PhotoError, match="3000 x 2000"):
        read(bare_tiff(data, tags, 16, 16))


def test_the_size_that_a_jpeg_xl_says():
    for height, width in ((1, 1), (8, 8), (90, 160), (513, 700), (3, 9000), (1080, 1920)):
        pixels = np.zeros((height, width), np.uint8)
        for container in (False, True):
            data = imagecodecs.jpegxl_encode(pixels, usecontainer=container)
            assert segments.shape(data[: segments.HEAD]) == (height, width)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([(262, 3, 1, 1), (277, 3, 1, 3)], "3 samples a pixel as grey"),
        ([(277, 3, 1, 3)], "without a PhotometricInterpretation"),
        ([(262, 3, 1, 5), (277, 3, 1, 3)], "3 samples a pixel as CMYK"),
        ([(262, 3, 1, 10), (277, 3, 1, 3)], "ITULAB"),
        ([(262, 3, 1, 2), (277, 3, 1, 3), (259, 3, 1, 34661)], "compressed by"),
    ],
)
def test_a_tiff_of_another_layout_says_which(read, tags, reason):
    bits = (258, 3, 3, struct.pack("<3H", 8, 8, 8))
    with pytest.raises(PhotoError, match=reason):
        read(bare_tiff(RGB.tobytes(), [bits, *tags]))


def test_a_picture_has_pixels(read):
    tags = [(258, 3, 1, 8), (262, 3, 1, 1)]
    with pytest.raises(PhotoError, match="no pixels"):
        read(bare_tiff(bytes(10), tags, 10, 0))


def test_directories_that_lead_back_are_read_once(read):
    tags = [(258, 3, 3, struct.pack("<3H", 8, 8, 8)), (262, 3, 1, 2), (277, 3, 1, 3)]
    data = bare_tiff(RGB.tobytes(), tags)
    np.testing.assert_array_equal(only(read(data[:-4] + data[4:8])), RGB)


@pytest.mark.parametrize("compression", [1, 5])
def test_a_tiff_that_lacks_strips_is_no_picture(read, compression):
    strip = imagecodecs.lzw_encode(bytes(600)) if compression == 5 else bytes(600)
    tags = [(258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (278, 4, 1, 10)]
    with pytest.raises(PhotoError, match="truncated"):  # four of them are due
        read(bare_tiff(strip, tags))


def test_tiles_without_end_are_not_read(read):
    tags = [
        *((258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)),
        *((322, 4, 1, 100_000), (323, 4, 1, 100_000), (324, 4, 1, 8), (325, 4, 1, 14)),
    ]
    with pytest.raises(PhotoError, match="tiles far larger"):
        read(bare_tiff(zlib.compress(bytes(1000)), tags, 10, 10))


# --- JPEG 2000 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 4, 8, 9, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_2000_at_every_depth(read, bits, channels):
    values = drawing(channels, bits)
    for container in ("jp2", "j2k"):
        data = imagecodecs.jpeg2k_encode(
            values[..., 0] if channels == 1 else values,
            level=0,
            reversible=True,
            bitspersample=bits,
            codecformat=container,
        )
        (page,) = read(data)
        assert page.depth == (8 if bits <= 8 else 16)
        np.testing.assert_array_equal(page.pixels, shown(whole_range(values, bits)))
        with pytest.raises(PhotoError):
            read(data[: len(data) * 2 // 3])


def test_jpeg_2000_of_another_writer(read):
    for mode, values in (("RGB", RGB), ("RGBA", drawing(4, 8)), ("L", RGB[..., 1])):
        data = saved(Image.fromarray(values), "JPEG2000", irreversible=False)
        np.testing.assert_array_equal(only(read(data)), values, mode)


def box(kind, content):
    """A box of a JP2."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def jp2(values, bits, space, *boxes):
    """A JP2 made by hand: space is a number of colr, boxes stand in its header."""
    codestream = imagecodecs.jpeg2k_encode(
        values[..., 0] if values.shape[2] == 1 else values,
        level=0, reversible=True, bitspersample=bits, codecformat="j2k", mct=False,
    )  # fmt: skip
    size = struct.pack(">IIHBBBB", *values.shape, bits - 1, 7, 0, 0)
    colour = struct.pack(">BBBI", 1, 0, 0, space)
    header = box(b"ihdr", size) + box(b"colr", colour) + b"".join(boxes)
    return b"".join(
        [
            box(b"jP  ", b"\r\n\x87\n"),
            box(b"ftyp", b"jp2 \0\0\0\0jp2 "),
            box(b"jp2h", header),
            box(b"jp2c", codestream),
        ]
    )


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_says_what_its_channels_are(noted, bits):
    values = drawing(4, bits)
    expected = whole_range(values, bits)

    def defined(kind):
        channels = [(i, 0, i + 1) for i in range(3)] + [(3, kind, 0)]
        return box(b"cdef", struct.pack(">H12H", 4, *np.ravel(channels)))

    page, _ = noted(jp2(values, bits, 16, defined(1)))
    np.testing.assert_array_equal(page.pixels, expected)
    page, notes = noted(jp2(values, bits, 16, defined(65535)))
    np.testing.assert_array_equal(page.pixels, expected[..., :3])
    assert "left out" in "; ".join(notes)
    inks, _ = noted(jp2(values, bits, 12))
    full = 255 if bits == 8 else 65535
    share = 1 - values / (2**bits - 1)
    np.testing.assert_allclose(inks.pixels, full * share[..., :3] * share[..., 3:], atol=2)


def test_a_jpeg_2000_of_five_components_is_not_damaged(read):
    five = np.dstack([RGB, RGB[..., :2]]).astype(np.uint8)
    data = imagecodecs.jpeg2k_encode(five, level=0, reversible=True, codecformat="jp2", mct=False)
    with pytest.raises(PhotoError, match="of these components is not read"):
        read(data)


def test_a_palette_in_jpeg_2000(read):
    indices = drawing(1, 8)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    palette = box(b"pclr", struct.pack(">HB3B", 256, 3, 7, 7, 7) + colours.tobytes())
    mapping = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, i) for i in range(3)))
    pixels = only(read(jp2(indices, 8, 16, palette, mapping)))
    np.testing.assert_array_equal(pixels, colours[indices[..., 0]])


def test_the_metadata_of_jpeg_2000_and_of_photoshop_are_found(read):
    block = Image.Exif()
    block[0x8769] = {0x9003: "1936:05:01 12:00:00"}
    exif, xmp = block.tobytes().removeprefix(b"Exif\0\0"), b"<x:xmpmeta>drawn</x:xmpmeta>"
    uuids = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + xmp)
    uuids += box(b"uuid", b"JpgTiffExif->JP2" + exif)
    resources = b"".join(
        struct.pack(">4sHHI", b"8BIM", code, 0, len(data)) + data + bytes(len(data) % 2)
        for code, data in ((0x0422, exif), (0x0424, xmp))
    )
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 40, 60, 8, 3)
    planes = np.moveaxis(RGB, 2, 0).tobytes()
    psd = header + struct.pack(">II", 0, len(resources)) + resources + bytes(6) + planes
    for data in (jp2(RGB, 8, 16) + uuids, psd):
        (page,) = read(data)
        np.testing.assert_array_equal(page.pixels, RGB)
        kept = page.metadata
        assert kept.xmp == xmp and b"1936:05:01 12:00:00" in kept.exif


def test_the_cap_of_jpeg_2000_is_that_of_its_codestream(read):
    data = saved(RGB, "JPEG2000")
    size = data.index(b"\xff\x4f\xff\x51") + 8
    large = data[:size] + struct.pack(">II", 40000, 40000) + data[size + 8 :]
    with pytest.raises(PhotoError, match="1600 megapixels"):
        read(large)


# --- AVIF, HEIF, PPM ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_avif_at_every_depth(read, bits, channels):
    values = drawing(channels, bits)
    data = imagecodecs.avif_encode(
        values[..., 0] if channels == 1 else values,
        level=100,  # lossless
        bitspersample=bits,
        pixelformat="444" if channels > 2 else None,
        speed=9,
    )
    (page,) = read(data)
    assert page.depth == (8 if bits == 8 else 16)
    expected = shown(whole_range(values, bits))
    pixels = page.pixels
    if channels == 1 and pixels.ndim == 3:  # as older versions of Pillow read grey
        expected = expected[..., None]
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


@pytest.mark.parametrize("orientation", TURNED)
def test_avif_and_heif_are_turned_once(read, orientation):
    block = Image.Exif()
    block[274] = orientation
    exif = block.tobytes()
    data = saved(RGB, "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    expected = TURNED[orientation](RGB).astype(int)
    np.testing.assert_allclose(only(read(data)).astype(int), expected, atol=6)
    heif = pytest.importorskip("pillow_heif", reason="make setup HEIF=1 was not used")
    for mode, stored, full in (("RGB", RGB, 255), ("RGB;16", RGB.astype(np.uint16) * 257, 65535)):
        image = heif.from_bytes(mode=mode, size=(60, 40), data=stored.tobytes())
        image.info["exif"] = exif
        file = io.BytesIO()
        image.save(file, quality=-1, chroma=444)
        pixels = only(read(file.getvalue()))
        np.testing.assert_allclose(pixels * (255 / full), expected, atol=4)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_heif_with_pillow_heif(read, monkeypatch, bits, channels):
    heif = pytest.importorskip("pillow_heif", reason="make setup HEIF=1 was not used")
    values = whole_range(drawing(channels, bits), bits)
    mode = "RGBA"[:channels]
    monkeypatch.setattr(heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    image = heif.from_bytes(
        mode=mode if bits == 8 else f"{mode};16",
        size=(60, 40),
        data=values.astype(np.uint8 if bits == 8 else np.uint16).tobytes(),
    )
    file = io.BytesIO()
    image.save(file, quality=-1, chroma=444, matrix_coefficients=0)
    (page,) = read(file.getvalue(), "photo.heic")
    assert page.depth == (8 if bits == 8 else 16)
    # RGB is stored as it is; values above 8 bits are cut to their upper ones by the writer.
    np.testing.assert_allclose(page.pixels, values, atol=1 if bits == 8 else 65535 / 2**bits + 2)


def test_heif_without_pillow_heif(tmp_path):
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        for name in ("photo.heic", "photo.hif", "photo.jpg"):
            path = tmp_path / name
            path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
            assert photos.is_picture(path)
            with pytest.raises(PhotoError, match="HEIF=1"), photos.read(path):
                pass


@pytest.mark.parametrize("most", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_netpbm_at_every_depth(read, kind, most):
    bits = int(most).bit_length()
    values = drawing(3 if kind in ("P3", "P6") else 1, bits)
    header = f"{kind}\n# drawn\n60 40\n{most}\n".encode()
    if kind in ("P2", "P3"):
        body = b"\n".join(
            b" ".join(b"%d" % value for value in row) for row in values.reshape(40, -1)
        )
    else:
        body = values.astype(">u1" if bits == 8 else ">u2").tobytes()
    (page,) = read(header + body)
    assert page.depth == (8 if bits == 8 else 16)
    np.testing.assert_array_equal(page.pixels, shown(whole_range(values, bits)))
    with pytest.raises(PhotoError):
        read(header + body[: len(body) // 2])


# --- PNG ------------------------------------------------------------------------------------------

MANY = zlib.compress(b"a word " * 400_000)  # 2.8 MB
WRONG = bytearray(chunk(b"tEXt", b"Title\0A caption"))
WRONG[-1] ^= 1
BESIDE = {
    "a wrong checksum": (bytes(WRONG), "checksum"),
    "a compressed text over 1 MB": (chunk(b"zTXt", b"Comment\0\0" + MANY), "1 MB"),
    "an international text over 1 MB": (chunk(b"iTXt", b"Comment\0\1\0\0\0" + MANY), "1 MB"),
    "a profile over 1 MB": (chunk(b"iCCP", b"big\0\0" + MANY), "1 MB"),
    "a short pHYs": (chunk(b"pHYs", b"\0\0"), "damaged"),
    "a short gAMA": (chunk(b"gAMA", b""), None),
    "a short cHRM": (chunk(b"cHRM", b"\0"), None),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", BESIDE)
def test_what_lies_beside_the_pixels_of_a_png_hinders_nothing(noted, kind, place, bits):
    extra, words = BESIDE[kind]
    values = drawing(3, bits)
    data = png16(values, 2) if bits == 16 else saved(values, "PNG")
    at = 33 if place == "before" else len(data) - 12
    page, notes = noted(data[:at] + extra + data[at:])
    assert page.depth == bits
    np.testing.assert_array_equal(page.pixels, values)
    if words and not (place == "after" and kind in ("a profile over 1 MB", "a short pHYs")):
        assert words in "; ".join(notes)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_without_its_end(noted, bits):
    values = drawing(4, bits)
    data = png16(values, 6) if bits == 16 else saved(values, "PNG")
    page, notes = noted(data[:-12])
    np.testing.assert_array_equal(page.pixels, values)
    assert "end marker" in "; ".join(notes)
    for cut in (13, 20, 40, len(data) // 2):
        with pytest.raises(PhotoError):
            noted(data[:-cut])


@pytest.mark.parametrize("kind", [0, 2])
def test_one_colour_stands_for_transparent(read, kind):
    values = drawing(3 if kind else 1, 16)
    clear = values[7, 9]
    data = png16(values, kind, (b"tRNS", clear.astype(">u2").tobytes()))
    expected = np.where((values == clear).all(axis=2), 0, 65535).astype(np.uint16)
    np.testing.assert_array_equal(only(read(data))[..., 3], expected)
    colours = np.broadcast_to(values, (40, 60, 3))
    np.testing.assert_array_equal(only(read(data))[..., :3], colours)


# --- JPEG -----------------------------------------------------------------------------------------

LARGE = drawn.picture(8, 200, 300)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": 0}]
)
def test_a_jpeg_without_its_end(noted, options):
    small = saved(RGB, "JPEG", quality=100, subsampling=0)  # of which decoders need no end
    assert "end marker" in "; ".join(noted(small[:-2])[1])
    for more in (b"more", b"\xff\xda of something else", b"\xff\xd8\xff\xda\0\2"):
        assert not noted(small + more)[1]
    data = saved(LARGE, "JPEG", quality=90, **options)
    whole = np.asarray(Image.open(io.BytesIO(data)))
    for cut in (1, 2):
        page, notes = noted(data[:-cut])
        np.testing.assert_array_equal(page.pixels, whole)
        assert "end marker" in "; ".join(notes)
        np.testing.assert_array_equal(
            photos.decode(data[:-cut], 32, "squash"), photos.decode(data, 32, "squash")
        )
    for cut in (5, 12, 100, len(data) // 3, len(data) // 2):
        with pytest.raises(PhotoError, match="truncated"):
            noted(data[:-cut])
        with pytest.raises(PhotoError, match="truncated"):
            photos.decode(data[:-cut], 32, "squash")


def test_a_progressive_jpeg_that_lacks_scans_is_cut_off(read):
    data = saved(LARGE, "JPEG", quality=90, progressive=True)
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        end = data.rindex(b"\xff\xc4", 0, scan)  # its table stands before it
        for cut in (end, scan):
            with pytest.raises(PhotoError, match="truncated|damaged"):
                read(data[:cut])


def test_kinds_of_jpeg_that_are_not_read(read):
    eight = saved(RGB, "JPEG")
    for data in (
        eight.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),  # SOF1, 12 bits
        imagecodecs.jpegls_encode(RGB),
        imagecodecs.ljpeg_encode(drawing(1, 12)[..., 0], bitspersample=12),
    ):
        with pytest.raises(PhotoError, match="JPEG is not read; save it as TIFF or PNG"):
            read(data, "photo.jpg")


def test_a_stereo_pair_is_said(noted):
    pair = [Image.fromarray(RGB), Image.fromarray(RGB[:, ::-1].copy())]
    file = io.BytesIO()
    pair[0].save(file, "MPO", save_all=True, append_images=pair[1:], quality=100, subsampling=0)
    page, notes = noted(file.getvalue(), "photo.mpo")
    np.testing.assert_allclose(page.pixels.astype(int), RGB, atol=4)
    assert "first only" in "; ".join(notes)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('hdrgm:Version="1.0" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"', "gain map"),
        ('GCamera:MotionPhoto="1"', "motion photo"),
        ('GCamera:MicroVideo="1"', "motion photo"),
    ],
)
def test_what_a_jpeg_holds_besides_is_said(noted, said, words):
    xmp = f"<x:xmpmeta><rdf:Description {said}/></x:xmpmeta>".encode()
    page, notes = noted(saved(RGB, "JPEG", xmp=xmp) + b"more")
    assert page.pixels.shape == (40, 60, 3) and words in "; ".join(notes)


# --- Not read, and why ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        (b"8BPS\0\2" + bytes(40), "PSB"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "camera raw"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "camera raw"),
        (b"II\x1a\0\0\0HEAPCCDR" + bytes(40), "camera raw"),
        (b"IIU\0" + bytes(40), "camera raw"),
        (b"IIRO" + bytes(40), "camera raw"),
        (b"FUJIFILMCCD-RAW" + bytes(40), "camera raw"),
        (b"FOVb" + bytes(40), "camera raw"),
        (b"\0MRM" + bytes(40), "camera raw"),
    ],
)
def test_the_reason_is_that_of_the_first_bytes(tmp_path, head, reason):
    for name in ("photo.jpg", "photo.tif", "photo"):
        path = tmp_path / name
        path.write_bytes(head)
        assert photos.is_picture(path)
        with pytest.raises(PhotoError, match=reason), photos.read(path):
            pass
    with pytest.raises(PhotoError, match=reason):
        photos.decode(head, 32, "squash")


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        *((f".{raw}", "camera raw") for raw in ("rwl", "x3f", "crw", "nef", "iiq", "3fr")),
        (".jxl", "JPEG XL"),
        (".psb", "PSB"),
    ],
)
def test_the_reason_is_that_of_the_suffix(tmp_path, suffix, reason):
    path = tmp_path / f"photo{suffix.upper()}"
    path.write_bytes(b"II*\0" + bytes(100) if reason == "camera raw" else bytes(100))
    assert photos.is_picture(path)
    with pytest.raises(PhotoError, match=reason), photos.read(path):
        pass


def test_pillow_warns_of_nothing(read):
    damaged = saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        formats._openers.cache_clear()  # as in a new process
        read(damaged)
    assert not caught


def test_a_file_that_ends_in_its_header_is_damaged(read):
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "JPEG2000", "AVIF"):
        with pytest.raises(PhotoError, match="damaged"):
            read(saved(RGB, kind)[:20])


@pytest.mark.parametrize("suffix", [".heic", ".cr2", ".jxl", ".png", ".tif"])
def test_a_jpeg_is_read_whatever_its_name(noted, suffix):
    page, _ = noted(saved(RGB, "JPEG"), f"photo{suffix}")
    assert page.pixels.shape == RGB.shape


def test_reasons_and_notes_are_short_lines_whatever_a_file_says_of_itself(read, tmp_path):
    wrong = chunk(b"a\x1b\rb", b"")[:-1] + b"!"  # an escape sequence's beginning; a wrong checksum
    data = saved(RGB, "PNG")
    (tmp_path / "a.png").write_bytes(data[:33] + wrong + data[33:])
    with photos.read(tmp_path / "a.png") as photo:
        list(photo.pages())
    assert photo.notes == ["a? b with a wrong checksum: left out"]
    kind = struct.pack("<HHII", 259, 3, 1, 1)  # the compression: not one value, but 400
    many = tiff(RGB).replace(kind, struct.pack("<HHII", 259, 3, 400, 8))
    with pytest.raises(PhotoError, match=r"compressed by \(.*\.\.\.$") as error:
        read(many)
    assert len(str(error.value)) == formats.LONGEST
