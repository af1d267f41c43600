"""Colours as files state them: L* of what is read against one computed from primaries and curve."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.color import rgb2lab

from common import photos
from common.photos import PhotoError
from common.photos.profiles import srgb_profile
from tests import drawn
from tests.photos.files import chunk, gamma, icc, parametric, png16, saved, table, tiff, xyz

RGB = 64 + drawn.picture(7, 40, 60) // 2  # within sRGB, whatever space it is taken for
GREY = np.ascontiguousarray(RGB[..., 1])
RGB16 = (RGB.astype(np.uint16) * 257) ^ 0x35
D65 = (0.3127, 0.329)
SRGB = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
BT2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046)


def adobe(curve):
    """A profile with Adobe RGB's primaries and a curve."""
    columns = {
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
    }
    return icc(b"RGB", {**columns, **{name: curve for name in (b"rTRC", b"gTRC", b"bTRC")}})


ICC_ADOBE = adobe(gamma(563 / 256))


def power(exponent):
    return lambda values: values**exponent


def srgb_curve(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def bt709(values):
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def lightness(pixels, primaries, curve):
    """CIE's L* of values in a space of white D65, by its definition."""
    light = curve(pixels / np.iinfo(pixels.dtype).max)
    if pixels.ndim == 3:
        columns = [(x / y, 1, (1 - x - y) / y) for x, y in np.reshape(primaries, (3, 2))]
        white = (D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1])
        light = light @ np.linalg.solve(np.transpose(columns), white)
    return np.where(light > 0.008856, 116 * np.cbrt(light) - 16, 903.3 * light)


def lightness_of_srgb(pixels):
    values = pixels / np.iinfo(pixels.dtype).max
    return rgb2lab(values if values.ndim == 3 else np.repeat(values[..., None], 3, 2))[..., 0]


def png(pixels, *chunks):
    """A PNG of 8 or 16 bits with chunks after its header."""
    if pixels.dtype == np.uint16:
        return png16(pixels, 2 if pixels.ndim == 3 else 0, *chunks)
    data = saved(pixels, "PNG")
    return data[:33] + b"".join(chunk(*each) for each in chunks) + data[33:]


def exif(space=0xFFFF, index="R03"):
    block = Image.Exif()
    block[0x8769] = {0xA001: space, 0xA005: {1: index} if index else {}}
    return block


def chrm(primaries):
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in (*D65, *primaries)))


def avif(primaries, transfer):
    """An AVIF without a profile, its code points replaced."""
    data = saved(RGB, "AVIF", quality=100, subsampling="4:4:4")
    start = data.index(b"colrnclx") + 8
    return data[:start] + struct.pack(">HH", primaries, transfer) + data[start + 4 :]


def bmp(profile=None):
    """A BMP of version 4 with Adobe RGB's primaries and gamma, or of version 5 with a profile."""
    pixels = saved(RGB, "BMP")[54:]
    size = 124 if profile else 108
    places = np.reshape(ADOBE, (3, 2))
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in places]).T
    white = (D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1])
    ends = (columns * np.linalg.solve(columns, white)).T
    head = struct.pack("<IiiHHIIiiII", size, 60, 40, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    head += bytes(16) + (b"DEBM" if profile else bytes(4))
    head += np.round(ends * 2**30).astype("<u4").tobytes()
    head += struct.pack("<3I", *[round(563 / 256 * 2**16)] * 3)
    if profile:
        head += struct.pack("<4I", 4, size + len(pixels), len(profile), 0)
    total = 14 + len(head) + len(pixels) + len(profile or b"")
    start = struct.pack("<2sIHHI", b"BM", total, 0, 0, 14 + len(head))
    return start + head + pixels + (profile or b"")


def jp2(profile):
    """A lossless JPEG 2000 whose colour box holds a profile."""
    data = saved(RGB, "JPEG2000", irreversible=False)
    start = data.index(b"colr") - 4
    (size,) = struct.unpack(">I", data[start : start + 4])
    box = struct.pack(">I4sBBB", 11 + len(profile), b"colr", 2, 0, 0) + profile
    head = data.index(b"jp2h") - 4
    (length,) = struct.unpack(">I", data[head : head + 4])
    data = data[:start] + box + data[start + size :]
    return data[:head] + struct.pack(">I", length - size + len(box)) + data[head + 4 :]


def primaries_tags(primaries, *more):
    fractions = [round(10_000 * value) for value in primaries]
    white = [round(10_000 * value) for value in D65]
    return [
        (318, 5, 2, [value for each in white for value in (each, 10_000)], True),
        (319, 5, 6, [value for each in fractions for value in (each, 10_000)], True),
        *more,
    ]


LINEAR = (301, 3, 256, [257 * i for i in range(256)], True)
ADOBE_RGB = ADOBE, power(563 / 256)
WRONG_ICCP = b"iCCP", b"wrong\0\0" + zlib.compress(ICC_ADOBE)
STATED = {
    "PNG gAMA 1": (png(RGB, (b"gAMA", struct.pack(">I", 100_000))), SRGB, power(1)),
    "PNG gAMA 1/2.2": (png(RGB, (b"gAMA", struct.pack(">I", 45_455))), SRGB, power(2.2)),
    "PNG gAMA, 16 bits": (png(RGB16, (b"gAMA", struct.pack(">I", 100_000))), SRGB, power(1)),
    "PNG gAMA, grey": (png(GREY, (b"gAMA", struct.pack(">I", 55_556))), SRGB, power(1.8)),
    "PNG gAMA and cHRM": (
        png(RGB, (b"gAMA", struct.pack(">I", 45_455)), chrm(ADOBE)),
        ADOBE,
        power(2.2),
    ),
    "PNG cHRM": (png(RGB, chrm(P3)), P3, srgb_curve),
    "PNG cICP": (png(RGB, (b"cICP", bytes([12, 13, 0, 1]))), P3, srgb_curve),
    "PNG cICP, BT.2020, 16 bits": (
        png(RGB16, (b"cICP", bytes([9, 14, 0, 1]))),
        BT2020,
        bt709,
    ),
    "PNG cICP before iCCP": (
        png(RGB, (b"cICP", bytes([12, 13, 0, 1])), WRONG_ICCP),
        P3,
        srgb_curve,
    ),
    "PNG iCCP before sRGB": (png(RGB, WRONG_ICCP, (b"sRGB", b"\0")), *ADOBE_RGB),
    "PNG sRGB before gAMA": (
        png(RGB, (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000)), chrm(P3)),
        SRGB,
        srgb_curve,
    ),
    "PNG sRGB before EXIF": (
        png(RGB, (b"sRGB", b"\0"), (b"eXIf", exif().tobytes()[6:])),
        SRGB,
        srgb_curve,
    ),
    "PNG EXIF": (png(RGB, (b"eXIf", exif().tobytes()[6:])), *ADOBE_RGB),
    "PNG EXIF, grey": (png(GREY, (b"eXIf", exif().tobytes()[6:])), *ADOBE_RGB),
    "WebP EXIF": (saved(RGB, "WEBP", lossless=True, exif=exif()), *ADOBE_RGB),
    "WebP ICC before EXIF": (
        saved(RGB, "WEBP", lossless=True, exif=exif(), icc_profile=srgb_profile()),
        SRGB,
        srgb_curve,
    ),
    "WebP ICC": (saved(RGB, "WEBP", lossless=True, icc_profile=ICC_ADOBE), *ADOBE_RGB),
    "WebP EXIF ColorSpace 2": (saved(RGB, "WEBP", lossless=True, exif=exif(2, "")), *ADOBE_RGB),
    "WebP EXIF sRGB": (saved(RGB, "WEBP", lossless=True, exif=exif(1, "R98")), SRGB, srgb_curve),
    "TIFF primaries and curve": (
        tiff(RGB16, photometric="rgb", extratags=primaries_tags(P3, LINEAR)),
        P3,
        power(1),
    ),
    "TIFF primaries": (tiff(RGB, photometric="rgb", extratags=primaries_tags(P3)), P3, power(2.2)),
    "TIFF primaries of sRGB": (
        tiff(RGB, photometric="rgb", extratags=primaries_tags(SRGB)),
        SRGB,
        srgb_curve,
    ),
    "TIFF ICC": (tiff(RGB16, photometric="rgb", iccprofile=ICC_ADOBE), *ADOBE_RGB),
    "BMP 4": (bmp(), *ADOBE_RGB),
    "BMP 5": (bmp(ICC_ADOBE), *ADOBE_RGB),
    "JPEG 2000 ICC": (jp2(ICC_ADOBE), *ADOBE_RGB),
}


@pytest.mark.parametrize("name", STATED)
def test_lightness_is_what_the_file_states(read, name):
    data, primaries, curve = STATED[name]
    stored = RGB16 if "16 bits" in name or name in ("TIFF ICC", "TIFF primaries and curve") else RGB
    stored = GREY if "grey" in name else stored
    (page,) = read(data)
    expected = lightness(stored, primaries, curve)
    np.testing.assert_allclose(lightness_of_srgb(page.pixels), expected, atol=0.3)
    if curve is not srgb_curve or primaries != SRGB:
        assert np.abs(lightness_of_srgb(stored) - expected).max() > 0.3


def test_a_camera_says_adobe_rgb_by_exif_alone(tmp_path, read):
    data = saved(RGB, "JPEG", quality=100, subsampling=0, exif=exif())
    stored = np.asarray(Image.open(io.BytesIO(data)))
    (page,) = read(data)
    np.testing.assert_allclose(
        lightness_of_srgb(page.pixels), lightness(stored, *ADOBE_RGB), atol=0.3
    )
    with photos.read(tmp_path / "photo") as photo:
        photos.write(tmp_path / "result.jpg", photo.pages(), photo)
    details = Image.open(tmp_path / "result.jpg").getexif().get_ifd(0x8769)
    index = Image.open(tmp_path / "result.jpg").getexif().get_ifd(0xA005)
    assert (details[0xA001], index[1]) == (1, "R98")  # what the result is


@pytest.mark.parametrize(
    ("points", "primaries", "curve"), [((12, 13), P3, srgb_curve), ((9, 1), BT2020, bt709)]
)
def test_code_points_of_an_avif(read, points, primaries, curve):
    stored = np.asarray(Image.open(io.BytesIO(avif(1, 13))))
    (page,) = read(avif(*points))
    expected = lightness(stored, primaries, curve)
    np.testing.assert_allclose(lightness_of_srgb(page.pixels), expected, atol=0.3)


def test_exif_that_names_no_colour_space_is_noted(tmp_path):
    (tmp_path / "photo").write_bytes(saved(RGB, "PNG", exif=exif(0xFFFF, "")))
    with photos.read(tmp_path / "photo") as photo:
        np.testing.assert_array_equal(next(photo.pages()).pixels, RGB)
        assert any("uncalibrated" in note for note in photo.notes)


def described(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)


HDR = {
    "cICP PQ": png(RGB, (b"cICP", bytes([9, 16, 0, 1]))),
    "cICP HLG": png(RGB16, (b"cICP", bytes([9, 18, 0, 1]))),
    "iCCP by name": png(RGB, (b"iCCP", b"ITUR_2100_PQ_FULL\0\0" + zlib.compress(ICC_ADOBE))),
    "ICC by its code points": tiff(
        RGB,
        photometric="rgb",
        iccprofile=icc(b"RGB", {b"cicp": b"cicp\0\0\0\0" + bytes([9, 16, 0, 1])}),
    ),
    "ICC by description": saved(
        RGB,
        "JPEG",
        icc_profile=icc(b"RGB", {b"desc": described(b"Rec2020 Gamut with PQ Transfer")}),
    ),
    "AVIF PQ": avif(9, 16),
    "AVIF HLG": avif(9, 18),
}


@pytest.mark.parametrize("name", HDR)
def test_hdr_is_one_clear_line(read, name):
    with pytest.raises(PhotoError, match=r"^HDR \((PQ|HLG)\), .* save it as SDR"):
        read(HDR[name])
    with pytest.raises(PhotoError, match="HDR"):
        photos.decode(HDR[name], 32, "squash")


@pytest.mark.parametrize(
    "profile",
    [
        adobe(parametric(2.2, 0, 0.1)),
        adobe(parametric(2.2, 0, 0.1, 0.0)),
        adobe(parametric(0)),
        adobe(parametric(-1)),
        adobe(gamma(0)),
        adobe(b"curv\0\0\0\0" + struct.pack(">I3H", 3, 65535, 30000, 0)),
        adobe(b"curv\0\0\0\0" + struct.pack(">I", 1 << 30)),
        adobe(b"para\0\0\0\0" + struct.pack(">HH", 9, 0)),
        adobe(gamma(2.2)).replace(xyz(0.20528, 0.62567, 0.06087), xyz(0.60974, 0.31111, 0.01947)),
    ],
)
@pytest.mark.parametrize("pixels", [RGB, RGB16], ids=["8 bit", "16 bit"])
@pytest.mark.filterwarnings("error")
def test_a_profile_without_sense_is_left_out_with_a_note(tmp_path, pixels, profile):
    (tmp_path / "photo").write_bytes(tiff(pixels, photometric="rgb", iccprofile=profile))
    with photos.read(tmp_path / "photo") as photo:
        np.testing.assert_array_equal(next(photo.pages()).pixels, pixels)
        assert any("colour profile" in note and "left out" in note for note in photo.notes)


@pytest.mark.parametrize(
    ("profile", "curve"),
    [
        (adobe(parametric(2.0, 0.9, 0.1)), lambda x: (0.9 * x + 0.1) ** 2),
        (adobe(parametric(2.0, 0.9, 0.0, 0.1)), lambda x: (0.9 * x) ** 2 + 0.1),
        (
            adobe(parametric(2.0, 0.9, 0.1, 0.05, 0.0, 0.0, 0.0)),
            lambda x: (0.9 * x + 0.1) ** 2,
        ),
    ],
)
def test_parametric_curves(read, profile, curve):
    (page,) = read(tiff(RGB16, photometric="rgb", iccprofile=profile))
    expected = lightness(RGB16, ADOBE, curve)
    np.testing.assert_allclose(lightness_of_srgb(page.pixels), expected, atol=0.3)


def test_a_profile_of_tables_is_applied_in_16_bits(read):
    profile = icc(b"RGB", {b"A2B0": table(3, lambda corner: (100 * sum(corner) / 3, 0, 0))})
    profile = profile.replace(b"XYZ \x07", b"Lab \x07", 1)
    ramp = np.repeat(np.linspace(0, 65535, 4000).astype(np.uint16)[None, :, None], 3, axis=2)
    data = tiff(ramp, photometric="rgb", iccprofile=profile)
    (page,) = read(data)
    assert len(np.unique(page.pixels[..., 1])) > 3000
    expected = ramp[0, :, 0] / 655.35
    np.testing.assert_allclose(lightness_of_srgb(page.pixels)[0], expected, atol=0.5)
    grey = tiff(ramp[..., 0], photometric="minisblack", iccprofile=profile)
    (page,) = read(grey)
    assert page.pixels.ndim == 2
    np.testing.assert_allclose(lightness_of_srgb(page.pixels)[0], expected, atol=0.5)


@pytest.mark.parametrize("value", [1, 2**32 - 1])
def test_a_gamma_without_sense_is_left_out_with_a_note(tmp_path, value):
    gama = chunk(b"gAMA", struct.pack(">I", value))
    png = saved(RGB, "PNG")
    (tmp_path / "photo").write_bytes(png[:33] + gama + png[33:])
    with photos.read(tmp_path / "photo") as photo:
        np.testing.assert_array_equal(next(photo.pages()).pixels, RGB)
        assert "gamma" in photo.notes[0] and "left out" in photo.notes[0]


def test_the_profile_of_results_does_not_depend_on_the_time(tmp_path):
    assert struct.unpack(">6H", srgb_profile()[24:36]) == (2024, 1, 1, 0, 0, 0)  # ICC.1, 7.2
    with tifffile.TiffWriter(tmp_path / "photo.tif") as file:
        file.write(RGB, photometric="rgb")
    for name in ("a.tif", "b.tif"):
        srgb_profile.cache_clear()
        with photos.read(tmp_path / "photo.tif") as photo:
            photos.write(tmp_path / name, photo.pages(), photo)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_gif_may_have_a_profile(read):
    """As the ICC's own extension puts it: blocks behind ICCRGBG1012."""
    flat = np.repeat(RGB[:1, :16], 4, axis=0)  # few colours: its palette holds them all
    data = saved(flat, "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    blocks = b"".join(
        bytes([len(ICC_ADOBE[i : i + 255])]) + ICC_ADOBE[i : i + 255]
        for i in range(0, len(ICC_ADOBE), 255)
    )
    profile = b"!\xff\x0bICCRGBG1012" + blocks + b"\0"
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    (page,) = read(data[:start] + profile + data[start:])
    expected = lightness(stored, *ADOBE_RGB)
    np.testing.assert_allclose(lightness_of_srgb(page.pixels[..., :3]), expected, atol=0.3)
    assert np.abs(lightness_of_srgb(stored) - expected).max() > 0.3
