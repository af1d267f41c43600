"""Reading and writing of picture files, against Pillow, tifffile and hand-made files."""

import errno
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from skimage.color import rgb2lab

from common import photos
from common.photos import PhotoError
from common.photos.formats import decoding
from tests import drawn
from tests.photos.files import gamma, icc, parametric, png16, saved, table, tiff, xyz

RGB = drawn.picture(3, 40, 60)
GREY = np.ascontiguousarray(RGB[..., 1])
ALPHA = np.broadcast_to(np.linspace(0, 255, 60).astype(np.uint8), (40, 60))
RGBA = np.dstack([RGB, ALPHA])
GREY16 = (GREY.astype(np.uint16) * 257) ^ 0x35  # values that 8 bits cannot hold
RGB16 = (RGB.astype(np.uint16) * 257) ^ 0x35
ALPHA16 = ALPHA.astype(np.uint16) * 257
RGBA16 = np.dstack([RGB16, ALPHA16])
BLACK_WHITE = np.where(GREY > 100, 255, 0).astype(np.uint8)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


ADOBE = {
    b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
    b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
    b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
}
WIDE = icc(b"RGB", {**ADOBE, **{name: gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")}})
WIDE_PARAMETRIC = icc(
    b"RGB",
    {
        **ADOBE,
        **{
            name: parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
            for name in (b"rTRC", b"gTRC", b"bTRC")
        },
    },
)
GREY18 = icc(b"GRAY", {b"kTRC": gamma(1.8)})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _cmyk_lab(corner):
    c, m, y, k = corner
    return 100 * (1 - k) * (1 - 0.2 * (c + m + y)), 40 * (m - c) * (1 - k), 40 * (y - c) * (1 - k)


CMYK_ICC = icc(b"CMYK", {b"A2B0": table(4, _cmyk_lab)}).replace(b"XYZ \x07", b"Lab \x07", 1)
RGB_TABLE = icc(
    b"RGB", {b"A2B0": table(3, lambda c: (100 * sum(c) / 3, 30 * (c[0] - c[1]), 0))}
).replace(b"XYZ \x07", b"Lab \x07", 1)


def only(pages):
    (page,) = pages
    return page.pixels


# --- Reading --------------------------------------------------------------------------------------

PALETTE = Image.fromarray(RGB).quantize(16)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
CMYK = Image.fromarray(RGB).convert("CMYK")
CLEAR = 255 * (np.abs(GREY.astype(int) - GREY[0, 0]) > 0).astype(np.uint8)
EXACT = {
    "jpeg grey": (saved(GREY, "JPEG", quality=100), None),
    "png grey": (saved(GREY, "PNG"), GREY),
    "png rgb": (saved(RGB, "PNG"), RGB),
    "png rgba": (saved(RGBA, "PNG"), RGBA),
    "png grey alpha": (saved(np.dstack([GREY, ALPHA]), "PNG"), np.dstack([GREY] * 3 + [ALPHA])),
    "png 1 bit": (saved(Image.fromarray(BLACK_WHITE).convert("1", dither=0), "PNG"), BLACK_WHITE),
    "png palette": (saved(PALETTE, "PNG"), PALETTE_RGB),
    "png palette transparent": (
        saved(PALETTE, "PNG", transparency=3),
        np.dstack([PALETTE_RGB, np.where(np.asarray(PALETTE) == 3, 0, 255)]).astype(np.uint8),
    ),
    "png grey, one value transparent": (
        saved(GREY, "PNG", transparency=int(GREY[0, 0])),
        np.dstack([GREY] * 3 + [CLEAR]),
    ),
    "png grey 16": (png16(GREY16, 0), GREY16),
    "png grey alpha 16": (
        png16(np.dstack([GREY16, ALPHA16]), 4),
        np.dstack([GREY16] * 3 + [ALPHA16]),
    ),
    "png rgb 16": (png16(RGB16, 2), RGB16),
    "png rgba 16": (png16(RGBA16, 6), RGBA16),
    "png grey 16, one value transparent": (
        png16(GREY16, 0, (b"tRNS", struct.pack(">H", GREY16[0, 0]))),
        np.dstack([GREY16] * 3 + [CLEAR.astype(np.uint16) * 257]),
    ),
    "webp": (saved(RGB, "WEBP", lossless=True), RGB),
    "webp alpha": (saved(RGBA, "WEBP", lossless=True, exact=True), RGBA),
    "bmp": (saved(RGB, "BMP"), RGB),
    "bmp grey": (saved(GREY, "BMP"), GREY),
    "gif": (saved(PALETTE, "GIF"), PALETTE_RGB),
    "ppm 16": (b"P5 60 40 65535\n" + GREY16.astype(">u2").tobytes(), GREY16),
    "tiff grey": (tiff(GREY, photometric="minisblack"), GREY),
    "tiff white is zero": (tiff(255 - GREY, photometric="miniswhite"), GREY),
    "tiff white is zero 16": (tiff(65535 - GREY16, photometric="miniswhite"), GREY16),
    "tiff white is zero 16, big-endian": (
        tiff(65535 - GREY16, photometric="miniswhite", byteorder=">"),
        GREY16,
    ),
    "tiff fax": (
        saved(Image.fromarray(BLACK_WHITE).convert("1", dither=0), "TIFF", compression="group4"),
        BLACK_WHITE,
    ),
    "tiff lzw": (saved(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "tiff rgba": (tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGBA),
    "tiff palette": (saved(PALETTE, "TIFF"), PALETTE_RGB),
    "tiff grey 16": (tiff(GREY16, photometric="minisblack"), GREY16),
    "tiff grey alpha 16": (
        tiff(
            np.dstack([GREY16, ALPHA16]),
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        ),
        np.dstack([GREY16] * 3 + [ALPHA16]),
    ),
    "tiff rgb 16": (tiff(RGB16, photometric="rgb"), RGB16),
    "tiff rgb 16 big-endian": (tiff(RGB16, photometric="rgb", byteorder=">"), RGB16),
    "tiff rgb 16 deflate": (
        tiff(RGB16, photometric="rgb", compression="zlib", predictor=True),
        RGB16,
    ),
    "tiff rgb 16 planes": (
        tiff(np.moveaxis(RGB16, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        RGB16,
    ),
    "tiff rgba 16": (tiff(RGBA16, photometric="rgb", extrasamples=["unassalpha"]), RGBA16),
    "tiff rgb 16 lzw": (
        cv2.imencode(".tif", RGB16[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes(),
        RGB16,
    ),
    "tiff grey 16 lzw": (
        cv2.imencode(".tif", GREY16, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes(),
        GREY16,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_pixels(read, name):
    data, expected = EXACT[name]
    pixels = only(read(data))
    if expected is None:  # lossy: what Pillow makes of it
        expected = np.asarray(Image.open(io.BytesIO(data)))
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


def test_alpha_times_colour_is_divided_out(read):
    share = ALPHA16[..., None] / 65535
    stored = np.dstack([np.round(RGB16 * share).astype(np.uint16), ALPHA16])
    pixels = only(read(tiff(stored, photometric="rgb", extrasamples=["assocalpha"])))
    np.testing.assert_array_equal(pixels[..., 3], ALPHA16)
    opaque = ALPHA16 > 30000  # below, the rounding of what was stored shows
    np.testing.assert_allclose(pixels[..., :3][opaque], RGB16[opaque], atol=2)


def test_twelve_bit_white_is_white(read):
    packed = bytes([0xFF, 0xFF, 0xFF, 0x00, 0x08, 0x00])  # 4095, 4095, 0, 2048
    tags = [
        (256, 4),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 6),
    ]
    directory = (
        struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        + bytes(4)
    )
    pixels = only(read(b"II*\0" + struct.pack("<I", 14) + packed + directory))
    np.testing.assert_array_equal(pixels, [[65535, 65535, 0, round(2048 * 65535 / 4095)]])


def test_cmyk_without_a_profile(read):
    for data in (saved(CMYK, "TIFF"), saved(CMYK, "JPEG", quality=100, subsampling=0)):
        np.testing.assert_allclose(only(read(data)).astype(int), RGB, atol=6)  # JPEG's rounding


def test_cmyk_with_a_profile(read):
    data = saved(CMYK, "TIFF", icc_profile=CMYK_ICC)
    expected = ImageCms.profileToProfile(
        CMYK,
        ImageCms.ImageCmsProfile(io.BytesIO(CMYK_ICC)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    pixels = only(read(data))
    # Pillow and imagecodecs join the two profiles into tables of their own.
    np.testing.assert_allclose(pixels.astype(int), np.asarray(expected).astype(int), atol=1)
    assert np.abs(pixels.astype(int) - np.asarray(CMYK.convert("RGB"))).max() > 20


def test_lab_tiff(read):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(Image.fromarray(RGB), *profiles, outputMode="LAB")
    (page,) = read(saved(stored, "TIFF"))
    assert page.depth == 8
    np.testing.assert_allclose(page.pixels / 257, RGB, atol=12)


def test_every_page_of_a_tiff_in_its_size_and_depth(read):
    pages = read(tiff(GREY, GREY16[:20], GREY[:, :30], photometric="minisblack"))
    for page, expected in zip(pages, (GREY, GREY16[:20], GREY[:, :30]), strict=True):
        assert page.pixels.dtype == expected.dtype
        np.testing.assert_array_equal(page.pixels, expected)


# --- Orientation ----------------------------------------------------------------------------------


def exif(orientation):
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x8298] = orientation, "Zeiss", "A. Photographer"
    block[0x8769] = {0x9003: "1936:05:01 12:00:00", 0xA001: 1, 0xA002: 60, 0xA003: 40}
    block[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    loaded = Image.Exif()  # as from a file: Pillow puts no other kind into a TIFF
    loaded.load(block.tobytes())
    return loaded


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF 16"])
def test_orientation_is_applied(read, kind, orientation):
    if kind == "TIFF 16":
        data = tiff(RGB16, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        stored, scale = Image.fromarray(RGB), 257
    else:
        data = saved(
            RGB, kind, exif=exif(orientation), **({"lossless": True} if kind == "WEBP" else {})
        )
        stored, scale = (
            Image.open(io.BytesIO(saved(RGB, kind) if kind == "JPEG" else saved(RGB, "PNG"))),
            1,
        )
    turned = stored.copy()
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int) * scale
    np.testing.assert_allclose(only(read(data)), expected, atol=0x35 if scale > 1 else 0)
    eight = photos.decode(data, 32, "squash").astype(int)
    np.testing.assert_allclose(
        eight, photos.fit(np.round(expected / scale).astype(np.uint8), 32, "squash"), atol=1
    )


# --- Profiles -------------------------------------------------------------------------------------


def lightness(pixels):
    scale = np.iinfo(pixels.dtype).max
    rgb = pixels / scale if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2) / scale
    return rgb2lab(rgb)[..., 0]


@pytest.mark.parametrize("pixels", [GREY, GREY16], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_profile(read, pixels, kind):
    if kind == "TIFF":
        data = tiff(pixels, photometric="minisblack", iccprofile=GREY18)
    elif pixels is GREY:
        data = saved(pixels, kind, icc_profile=GREY18)
    else:
        data = png16(pixels, 0, (b"iCCP", b"grey\0\0" + zlib.compress(GREY18)))
    (page,) = read(data)
    assert page.depth == (16 if pixels is GREY16 else 8)
    light = (pixels / np.iinfo(pixels.dtype).max) ** (461 / 256)  # CIE: L* of a relative luminance
    expected = np.where(light > 0.008856, 116 * np.cbrt(light) - 16, 903.3 * light)
    # To the precision of 16 bits, since a result's 8 bits are rounded yet again.
    np.testing.assert_allclose(lightness(page.pixels), expected, atol=0.01)
    assert np.abs(lightness(pixels) - expected).max() > 7


@pytest.mark.parametrize(
    "profile", [WIDE, WIDE_PARAMETRIC, RGB_TABLE], ids=["gamma", "parametric", "table"]
)
@pytest.mark.parametrize("deep", [False, True], ids=["8 bit", "16 bit"])
def test_colour_profile(read, profile, deep):
    data = tiff(RGB16 if deep else RGB, photometric="rgb", iccprofile=profile)
    expected = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(RGB),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(int)
    converted = only(read(data))
    assert converted.dtype == (np.uint16 if deep else np.uint8)
    eight = np.round(converted / 257).astype(int) if deep else converted
    np.testing.assert_allclose(eight, expected, atol=2)  # Little CMS rounds its curves
    assert np.abs(eight - RGB).max() > 10


def test_srgb_and_unfit_profiles_change_nothing(read, tmp_path):
    for data in (
        saved(RGB, "PNG", icc_profile=SRGB),
        saved(RGB, "PNG", icc_profile=GREY18),
        saved(RGB, "PNG", icc_profile=b"nonsense"),
        saved(RGB, "PNG", icc_profile=WIDE[:150]),
    ):
        np.testing.assert_array_equal(only(read(data)), RGB)
    np.testing.assert_array_equal(only(read(saved(GREY, "PNG", icc_profile=SRGB))), GREY)


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EXACT if "one value" not in name])
def test_a_truncated_file_is_an_error(read, name):
    data = EXACT[name][0]
    if name.startswith("tiff") or name == "gif":  # TIFF's directory may lie before its pixels
        data = data[: len(data) - 40]
    with pytest.raises(PhotoError):
        read(data[: len(data) * 2 // 3])
    with pytest.raises(PhotoError):
        photos.decode(data[: len(data) * 2 // 3], 32, "squash")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a picture"),
        (b"hello, world" * 20, "not a picture"),
        (b"II*\0", "damaged"),
        (tiff(RGB.astype(np.float32), photometric="rgb"), "8 or 16 bits"),
        (tiff(GREY.astype(np.float32)), "8 or 16 bits"),
        (tiff(GREY.astype(np.int32)), "8 or 16 bits"),
        (tiff(GREY, subfiletype=1, extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "camera raw"),
    ],
    ids=["empty", "text", "header", "float rgb", "float", "int", "raw"],
)
def test_reason(read, data, reason):
    for refused in (lambda: read(data), lambda: photos.decode(data, 32, "squash")):
        with pytest.raises(PhotoError, match=reason):
            refused()


def headed(width, height):
    """A PNG of one pixel whose header claims another size."""
    data = png16(np.zeros((1, 1), np.uint16), 0)
    data = data[:16] + struct.pack(">II", width, height) + data[24:]
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


def test_the_cap_is_checked_before_decoding(read):
    with pytest.raises(PhotoError, match="1600 megapixels, more than 300"):
        read(headed(40000, 40000))
    pages = tiff(GREY[:4, :4], GREY, photometric="minisblack")
    with pytest.raises(PhotoError, match="60 x 40 is 0 megapixels, more than 0.001"):
        read(pages, max_megapixels=0.001)
    with pytest.raises(PhotoError, match="more than 0.001"):
        photos.decode(saved(RGB, "JPEG"), 32, "squash", max_megapixels=0.001)


def test_the_cap_takes_the_place_of_pillows(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(headed(20000, 10000))  # 200 megapixels, where Pillow refuses above 179
    before = Image.MAX_IMAGE_PIXELS
    with photos.read(path) as photo:
        assert photo.shapes == [(10000, 20000)]
    assert before == Image.MAX_IMAGE_PIXELS


def test_camera_raw_by_name(tmp_path):
    path = tmp_path / "photo.X3F"
    path.write_bytes(b"anything")
    assert photos.is_picture(path)
    with pytest.raises(PhotoError, match="JPEG or TIFF"), photos.read(path):
        pass


# --- Finding --------------------------------------------------------------------------------------


def test_find_and_is_picture(tmp_path):
    for name in (
        "b.jpg",
        "a/ö.v1.final.PNG",
        "a/写真.webp",
        ".hidden.jpg",
        ".cache/c.jpg",
        "notes.txt",
        "no suffix",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"text")
    (tmp_path / "no suffix").write_bytes(saved(RGB, "JPEG"))
    paths = photos.find(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "a/ö.v1.final.PNG",
        "a/写真.webp",
        "b.jpg",
        "no suffix",
        "notes.txt",
    ]
    assert [photos.is_picture(path) for path in paths] == [True, True, True, True, False]
    assert not photos.is_picture(tmp_path / ".hidden.jpg")


# --- Geometry -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fit_averages_areas(dtype):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 128, 3)).astype(dtype)
    mean = pixels.astype(np.float64).reshape(16, 4, 16, 8, 3).mean(axis=(1, 3))
    fitted = photos.fit(pixels, 16, "squash")
    assert fitted.dtype == dtype
    np.testing.assert_allclose(fitted, mean, atol=0.51 if dtype != np.float32 else 1e-4)
    centre = photos.fit(pixels, 16, "centre")
    np.testing.assert_allclose(
        centre,
        pixels[:, 32:96].astype(np.float64).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)),
        atol=0.51 if dtype != np.float32 else 1e-4,
    )
    boxed = photos.fit(pixels, 16, "letterbox", pad=7)
    np.testing.assert_array_equal(boxed[[0, 3, 12, 15]], np.full((4, 16, 3), 7))
    np.testing.assert_allclose(
        boxed[4:12],
        pixels.astype(np.float64).reshape(8, 8, 16, 8, 3).mean(axis=(1, 3)),
        atol=0.51 if dtype != np.float32 else 1e-4,
    )


def test_fit_pads_with_white():
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        boxed = photos.fit(np.zeros((10, 30), dtype), 9, "letterbox")
        assert boxed.shape == (9, 9) and boxed[0, 0] == white and boxed[4, 4] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (7, 300), (97, 61), (200, 333)])
@pytest.mark.parametrize("cut", ["squash", "letterbox"])
def test_fit_and_unfit_by_bands(shape, cut):
    rng = np.random.default_rng(0)
    pixels = rng.random(shape, np.float32)
    whole = photos.fit(pixels, 32, cut, pad=1.0)
    bands = (pixels[start : start + 7] for start in range(0, shape[0], 7))
    assert whole.shape == (32, 32)
    np.testing.assert_allclose(photos.fit(bands, 32, cut, 1.0, shape), whole, atol=1e-5)
    small = rng.random((32, 32, 2), np.float32)
    full = photos.unfit(small, shape, cut)
    assert full.shape == (*shape, 2)
    for start in range(0, shape[0], 7):
        rows = start, min(start + 7, shape[0])
        np.testing.assert_array_equal(photos.unfit(small, shape, cut, rows), full[slice(*rows)])


@pytest.mark.parametrize("cut", ["squash", "letterbox"])
def test_unfit_undoes_fit(cut):
    y, x = np.mgrid[0:1:120j, 0:1:200j]
    ramps = np.stack([x, y], axis=2).astype(np.float32)
    back = photos.unfit(photos.fit(ramps, 40, cut, pad=9.0), (120, 200), cut)
    inner = slice(6, -6)  # bilinear is flat beyond the outermost centres
    np.testing.assert_allclose(back[inner, inner], ramps[inner, inner], atol=1e-3)


def test_a_centre_has_no_way_back():
    with pytest.raises(ValueError, match="squash"):
        photos.unfit(np.zeros((8, 8, 2), np.float32), (8, 8), "centre")
    with pytest.raises(ValueError, match="letterbox"):
        photos.fit(RGB, 8, "stretch")


def test_decode_puts_alpha_over_white():
    clear = photos.decode(saved(np.dstack([RGB, 0 * GREY]), "PNG"), 16, "squash")
    assert clear.shape == (16, 16, 3) and clear.min() == 255
    grey = photos.decode(saved(GREY, "PNG"), 16, "squash")
    np.testing.assert_array_equal(grey[..., 0], photos.fit(GREY, 16, "squash"))


@pytest.mark.parametrize("cut", photos.CUTS)
def test_decode_at_a_reduced_scale_is_close(cut):
    picture = drawn.picture(5, 700, 1000)
    reduced = photos.decode(saved(picture, "JPEG", quality=95), 64, cut)
    np.testing.assert_allclose(reduced.astype(int), photos.fit(picture, 64, cut), atol=6)


# --- Writing --------------------------------------------------------------------------------------


def rewritten(tmp_path, data, name="photo"):
    """Read a file, double its grey channel to colour, write it; the path and the Photo."""
    source, target = tmp_path / name, tmp_path / f"result-{name}"
    source.write_bytes(data)
    with photos.read(source) as photo:

        def pages():
            for page in photo.pages():
                if page.pixels.ndim == 2:
                    page.pixels = np.repeat(page.pixels[..., None], 3, 2)
                yield page

        photos.write(target, pages(), photo)
    return target, photo


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG 16", "WEBP", "TIFF", "TIFF 16"])
def test_metadata_is_kept(tmp_path, kind):
    block = exif(6)
    if kind == "PNG 16":
        data = png16(
            RGB16,
            2,
            (b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
            (b"eXIf", block.tobytes().removeprefix(b"Exif\0\0")),
            (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        )
    elif kind == "PNG":
        xmp = PngImagePlugin.PngInfo()
        xmp.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = saved(RGB, kind, exif=block, dpi=(300, 150), pnginfo=xmp)
    elif kind.startswith("TIFF"):
        block[700] = XMP
        picture = Image.fromarray(RGB if kind == "TIFF" else GREY16)
        data = saved(picture, "TIFF", exif=block, dpi=(300, 150))
    else:
        data = saved(RGB, kind, exif=block, dpi=(300, 150), xmp=XMP)
    target, photo = rewritten(tmp_path, data)
    assert not photo.notes
    with Image.open(target) as image:
        image.load()
        assert image.format == kind.split()[0] and image.size == (40, 60)  # upright
        kept = image.getexif()
        assert kept.get(0x0112, 1) == 1
        assert kept[0x8298] == "A. Photographer"
        details = kept.get_ifd(0x8769)
        assert details[0x9003] == "1936:05:01 12:00:00"
        assert (details[0xA001], details[0xA002], details[0xA003]) == (1, 40, 60)
        assert kept.get_ifd(0x8825)[2] == (52.0, 31.0, 0.0)
        kept_xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        kept_xmp = kept_xmp.encode() if isinstance(kept_xmp, str) else kept_xmp
        assert kept_xmp == XMP.replace(b'"6"', b'"1"')
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        if kind != "WEBP":  # which has no field for it
            assert image.info["dpi"] == pytest.approx((150, 300), rel=1e-3)  # turned as well


@pytest.mark.parametrize(
    "name",
    [
        "png rgb",
        "png rgba",
        "png rgb 16",
        "png rgba 16",
        "webp",
        "webp alpha",
        "bmp",
        "tiff lzw",
        "tiff rgba",
        "tiff rgb 16",
        "tiff rgba 16",
        "tiff rgb 16 deflate",
    ],
)
def test_pixels_are_written_exactly(tmp_path, name):
    data, expected = EXACT[name]
    target, photo = rewritten(tmp_path, data)
    assert photo.written == photo.format == name.split()[0].upper()
    assert Image.open(target).format == photo.format
    with photos.read(target) as again:
        (page,) = again.pages()
    assert page.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(page.pixels, expected)
    if photo.format == "TIFF":  # an outside reader, and the compression kept or replaced
        with tifffile.TiffFile(target) as file:
            np.testing.assert_array_equal(file.asarray(), expected)
            assert (file.pages[0].compression == 1) == ("lzw" not in name and "deflate" not in name)


def test_all_pages_are_written(tmp_path):
    target, _ = rewritten(tmp_path, tiff(GREY, GREY16[:20], GREY[:, :30], photometric="minisblack"))
    with tifffile.TiffFile(target) as file:
        for page, expected in zip(file.pages, (GREY, GREY16[:20], GREY[:, :30]), strict=True):
            np.testing.assert_array_equal(page.asarray()[..., 1], expected)
            assert page.dtype == expected.dtype


@pytest.mark.parametrize(
    ("data", "format_", "note"),
    [
        (saved(PALETTE, "GIF"), "GIF", "GIF in, PNG out"),
        (saved(RGB, "PPM"), "PPM", "PPM in, PNG out"),
        (saved(RGB, "JPEG2000"), "JPEG2000", "JPEG2000 in, PNG out"),
    ],
)
def test_other_formats_become_png(tmp_path, data, format_, note):
    target, photo = rewritten(tmp_path, data)
    assert (photo.format, photo.written) == (format_, "PNG") and note in photo.notes
    assert Image.open(target).format == "PNG"


def test_an_animation_gives_its_first_picture(tmp_path):
    frames = [Image.fromarray(drawn.picture(seed, 20)) for seed in range(3)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    target, photo = rewritten(tmp_path, data)
    assert any("first" in note for note in photo.notes)
    np.testing.assert_array_equal(np.asarray(Image.open(target)), np.asarray(frames[0]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about this very EXIF
@pytest.mark.parametrize(
    "block", [b"II*\0\xff\xff\xff\x7f", b"nonsense", b"MM\0*\0\0\0\x08\0\xff\1"]
)
def test_damaged_exif_is_no_reason_to_fail(tmp_path, block):
    target, _ = rewritten(tmp_path, saved(RGB, "JPEG", exif=b"Exif\0\0" + block), "photo.jpg")
    assert Image.open(target).size == (60, 40)


@pytest.mark.parametrize("pixels", [RGB, GREY])
def test_png_holds_the_pixels_and_without_compression_has_one_length(pixels):
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(photos.png(pixels)))), pixels)
    lengths = {len(photos.png(values, compression=0)) for values in (pixels, 0 * pixels)}
    assert len(lengths) == 1 and lengths.pop() > pixels.nbytes


def test_png_refuses_other_arrays():
    with pytest.raises(ValueError, match=r"png\(\) takes .* Received: shape \(40, 60, 4\), uint8"):
        photos.png(RGBA)


def test_lightness_of_a_jpeg_and_of_a_lossy_webp(tmp_path):
    picture = drawn.picture(9, 200, 300)
    target, _ = rewritten(tmp_path, saved(picture, "JPEG", quality=75), "photo.jpg")
    with Image.open(target) as image:
        assert [sampling[1:3] for sampling in image.layer] == [(1, 1)] * 3  # 4:4:4
    with photos.read(tmp_path / "photo.jpg") as photo:
        expected = next(photo.pages()).pixels
    error = np.abs(lightness(np.asarray(Image.open(target))) - lightness(expected))
    # README's bounds are over photos: 98.5 % within 0.5 of a grey photo, the worst 1.4.
    assert error.max() < 1.4 and np.mean(error <= 0.5) > 0.97
    target, _ = rewritten(tmp_path, saved(picture, "WEBP", quality=50), "photo.webp")
    with photos.read(tmp_path / "photo.webp") as photo:
        np.testing.assert_array_equal(
            np.asarray(Image.open(target).convert("RGB")), next(photo.pages()).pixels
        )


def test_a_picture_longer_than_a_png_says_so(tmp_path):
    wide = b"P5 1000001 1 255\n" + bytes(1_000_001)
    with pytest.raises(PhotoError, match=r"longer than the 1,000,000 pixels of a \.png"):
        rewritten(tmp_path, wide, "wide.pgm")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ValueError("too wide"), (PhotoError, r"cannot be written \(too wide\)")),
        (RuntimeError("code -2"), (PhotoError, "cannot be written")),
        (OSError(errno.ENOSPC, "full"), (OSError, "full")),
        (MemoryError(), (MemoryError, "")),
        (NameError("typo"), (NameError, "typo")),
    ],
)
def test_errors_of_encoders(tmp_path, monkeypatch, kind, raised, expected):
    data = saved(RGB, kind)

    def fail(*_, **__):
        raise raised

    for place, name in ((cv2, "imencode"), (Image.Image, "save"), (tifffile.TiffWriter, "write")):
        monkeypatch.setattr(place, name, fail)
    error, words = expected
    with pytest.raises(error, match=words):
        rewritten(tmp_path, data, "photo")


def test_a_defect_of_ours_is_no_damage_of_the_file():
    with pytest.raises(NameError), decoding():
        raise NameError("typo")
    with pytest.raises(PhotoError, match="damaged"), decoding():
        raise UnboundLocalError("a decoder's, on hostile bytes")
