"""Metadata of results: kept with its types, and true of the result; read by other libraries."""

import io
import shutil
import struct
import subprocess
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image

from common import photos
from tests import drawn
from tests.photos.files import chunk, saved, tiff

RGB = drawn.picture(3, 40, 60)
IPTC = b"\x1c\x02\x78\0\x0ca caption, ok\x1c\x02\x19\0\x05words"


@pytest.fixture
def rewrite(tmp_path):
    """A picture file's bytes -> (path of the result, notes)."""

    def run(data, name="photo"):
        source, target = tmp_path / name, tmp_path / f"result-{name}"
        source.write_bytes(data)
        with photos.read(source) as photo:
            pages = list(photo.pages())
            for page in pages:
                if page.pixels.ndim == 2:
                    page.pixels = np.repeat(page.pixels[..., None], 3, axis=2)
            photos.write(target, pages, photo)
        return target, photo.notes

    return run


# --- EXIF -----------------------------------------------------------------------------------------


def block(order="<", orientation=6):
    """An EXIF block with a MakerNote at a known offset, a UserComment and a thumbnail."""

    def entry(tag, kind, count, value):
        return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")

    def number(value, layout="I"):
        return struct.pack(order + layout, value)

    thumbnail = saved(np.zeros((8, 8), np.uint8), "JPEG")
    top, details, second, values = 8, 110, 220, 270
    comment, note = b"UNICODE\0" + "Größe".encode("utf-16-le"), b"Maker\0\1\2\xff offsets inside"
    end = values + 8 + 8 + len(comment) + len(note)
    data = (b"II*\0" if order == "<" else b"MM\0*") + number(top)
    data += number(5, "H")
    data += entry(271, 2, 4, b"Can\0") + entry(274, 3, 1, number(orientation, "H"))
    data += entry(282, 5, 1, number(values)) + entry(283, 5, 1, number(values + 8))
    data += entry(34665, 4, 1, number(details)) + number(second)
    data = data.ljust(details, b"\0") + number(6, "H")
    data += entry(0x927C, 7, len(note), number(values + 16 + len(comment)))
    data += entry(0x9286, 7, len(comment), number(values + 16))
    data += entry(0x9214, 3, 2, struct.pack(order + "HH", 10, 20))
    data += entry(0xA001, 3, 1, number(1, "H"))
    data += entry(0xA002, 3, 1, number(60, "H")) + entry(0xA003, 4, 1, number(40))
    data = data.ljust(second, b"\0") + number(2, "H")
    data += entry(513, 4, 1, number(end)) + entry(514, 4, 1, number(len(thumbnail)))
    data = data.ljust(values, b"\0") + struct.pack(order + "IIII", 300, 1, 150, 1)
    return data + comment + note + thumbnail, values + 16 + len(comment), note, comment


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_keeps_its_bytes_but_for_what_is_untrue(rewrite, kind, order):
    exif, place, note, comment = block(order)
    prefix = b"" if kind == "PNG" else b"Exif\0\0"
    target, notes = rewrite(saved(RGB, kind, exif=prefix + exif))
    assert not notes
    with Image.open(target) as image:
        image.load()
        kept = image.info["exif"].removeprefix(b"Exif\0\0")
        details = image.getexif().get_ifd(0x8769)
        resolution = [float(image.getexif()[tag]) for tag in (282, 283)]
        assert image.getexif()[274] == 1
        assert not image.getexif().get_ifd(1)  # the thumbnail of the grey, lying photo
    assert kept[place : place + len(note)] == note  # in place: it may hold offsets
    assert len(kept) < len(exif) and b"\xff\xd8\xff" not in kept
    start = kept.index(struct.pack(order + "HHI", 0x9286, 7, len(comment)))  # still UNDEFINED
    assert start and comment in kept
    assert (details[0xA002], details[0xA003], details[0xA001]) == (40, 60, 1)
    assert 0x9214 not in details and resolution == [150, 300]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(rewrite, value):
    for data in (
        saved(RGB, "PNG", exif=block(orientation=value)[0]),
        tiff(RGB, photometric="rgb", extratags=[(274, 3, 1, value, True)]),
    ):
        target, _ = rewrite(data)
        np.testing.assert_array_equal(np.asarray(Image.open(target)), RGB)


def test_a_damaged_directory_of_gps_loses_nothing_else(rewrite):
    data = with_exif(tiff(RGB, photometric="rgb"))
    pointer = data.rindex(struct.pack("<HHI", 34853, 4, 1)) + 8
    target, notes = rewrite(data[:pointer] + b"\xff\xff\xff\x7f" + data[pointer + 4 :])
    assert any("damaged" in note for note in notes)
    with tifffile.TiffFile(target) as file:
        assert file.pages[0].tags[34665].value["UserComment"] == "a comment"


@pytest.mark.parametrize("cut", [9, 40, 120, 230])
def test_an_exif_block_that_breaks_off_is_left_out_or_kept_in_part(rewrite, cut):
    target, _ = rewrite(saved(RGB, "PNG", exif=block()[0][:cut]))
    with Image.open(target) as image:
        image.load()


# --- JPEG -----------------------------------------------------------------------------------------


def jpeg(*segments, **options):
    """A JPEG with segments, (marker, data), after its JFIF header."""
    data = saved(RGB, "JPEG", quality=95, **options)
    body = b"".join(
        struct.pack(">BBH", 0xFF, name, len(each) + 2) + each for name, each in segments
    )
    return data[:20] + body + data[20:]


def resource(number, data):
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(data)) + data + b"\0" * (len(data) % 2)


def segments(path):
    with Image.open(path) as image:
        return image.applist


def test_segments_of_a_jpeg(rewrite):
    long = resource(1028, IPTC) + resource(1036, b"thumbnail") + resource(1061, b"digest")
    target, notes = rewrite(
        jpeg(
            (0xFE, b"a comment, \xe4"),
            (0xFE, b"another"),
            (0xED, b"Photoshop 3.0\0" + long[:50]),
            (0xED, b"Photoshop 3.0\0" + long[50:]),
            (0xE0, b"JFXX\0\x10 thumbnail"),
            (0xE2, b"MPF\0 untrue"),
            (0xE5, b"of some camera"),
            (0xEC, b"Ducky\0\1"),
        )
    )
    kept = segments(target)
    assert not notes
    assert [data for name, data in kept if name == "COM"] == [b"a comment, \xe4", b"another"]
    photoshop = [data for name, data in kept if name == "APP13"]
    assert photoshop == [b"Photoshop 3.0\0" + resource(1028, IPTC) + resource(1061, b"digest")]
    assert ("APP5", b"of some camera") in kept and ("APP12", b"Ducky\0\1") in kept
    assert not any(data.startswith((b"MPF", b"JFXX")) for _, data in kept)


def test_image_resources_beyond_a_segment(rewrite):
    parts = [resource(number, bytes([number % 256]) * 50_000) for number in (1028, 1090, 1091)]
    data = b"".join(parts)
    pieces = [
        (0xED, b"Photoshop 3.0\0" + data[i : i + 60_000]) for i in range(0, len(data), 60_000)
    ]
    target, _ = rewrite(jpeg(*pieces))
    kept = [data for name, data in segments(target) if name == "APP13"]
    assert b"".join(each.removeprefix(b"Photoshop 3.0\0") for each in kept) == data


def test_content_credentials_are_left_out_with_a_note(rewrite):
    target, notes = rewrite(jpeg((0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumb signed")))
    assert any("content credentials" in note for note in notes)
    assert not any(name == "APP11" for name, _ in segments(target))


ULTRA_HDR = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"
 xmlns:C="http://ns.google.com/photos/1.0/container/"
 xmlns:Item='http://ns.google.com/photos/1.0/container/item/'
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"
 GCamera:MotionPhotoVersion="1" GCamera:BurstID="7"
 xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a box"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"
 xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6">
 <t:ImageWidth>60</t:ImageWidth><hdrgm:GainMapMax>2.5</hdrgm:GainMapMax>
 <C:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><C:Item Item:Semantic="Primary"/></rdf:li>
 <rdf:li rdf:parseType="Resource"><C:Item Item:Semantic="GainMap" Item:Length="99"/></rdf:li>
 </rdf:Seq></C:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_xmp_announces_no_picture_that_is_gone(rewrite):
    exif = Image.Exif()
    exif[274] = 6
    data = saved(RGB, "JPEG", xmp=ULTRA_HDR, exif=exif)
    target, notes = rewrite(data + saved(RGB[..., 0], "JPEG"))
    with Image.open(target) as image:
        kept = image.info["xmp"]
    (description,) = ElementTree.fromstring(kept)[0]
    values = {name.rpartition("}")[2]: value for name, value in description.items()}
    assert values == {"BurstID": "7", "source": "a box", "Rating": "4", "Orientation": "1"}
    assert [(each.tag.rpartition("}")[2], each.text) for each in description] == [
        ("ImageWidth", "40")
    ]
    assert b"gain-map" not in kept and b"container" not in kept
    assert any("gain map" in note for note in notes) and any("motion" in note for note in notes)


def test_a_film_in_samsungs_trailer_is_noted(rewrite):
    data = saved(RGB, "JPEG")
    target, notes = rewrite(
        data + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data film SEFH\x6a\0\0\0SEFT"
    )
    assert any("motion photo" in note for note in notes)
    assert b"MotionPhoto_Data" not in target.read_bytes()


def test_a_stereo_pair_gives_its_first_picture_and_no_index_of_two(rewrite):
    frames = [Image.fromarray(drawn.picture(seed, 40)) for seed in (1, 2)]
    target, notes = rewrite(saved(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert any("stereo" in note for note in notes)
    with Image.open(target) as image:
        assert image.format == "JPEG" and "mp" not in image.info
        assert not any(data.startswith(b"MPF") for _, data in image.applist)


# --- Pixels that are not square -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "density"), [(0, (2, 1)), (0, (1, 1)), (1, (300, 150)), (2, (118, 59))]
)
def test_density_of_a_jpeg(rewrite, unit, density):
    data = jpeg()
    data = data[:13] + struct.pack(">BHH", unit, *density) + data[18:]
    target, _ = rewrite(data)
    with Image.open(target) as image:
        assert (image.info["jfif_unit"], image.info["jfif_density"]) == (unit, density)
    exif = Image.Exif()
    exif[274] = 6
    data = jpeg(exif=exif)
    target, _ = rewrite(data[:13] + struct.pack(">BHH", unit, *density) + data[18:])
    with Image.open(target) as image:
        assert (image.info["jfif_unit"], image.info["jfif_density"]) == (unit, density[::-1])


@pytest.mark.parametrize("unit", [0, 1])
def test_density_of_a_png(rewrite, unit):
    data = saved(RGB, "PNG")
    data = data[:33] + chunk(b"pHYs", struct.pack(">IIB", 2835, 5670, unit)) + data[33:]
    target, _ = rewrite(data)
    assert chunk(b"pHYs", struct.pack(">IIB", 2835, 5670, unit)) in target.read_bytes()


@pytest.mark.parametrize("unit", ["NONE", "INCH", "CENTIMETER"])
@pytest.mark.parametrize("orientation", [1, 8])
def test_density_of_a_tiff(rewrite, unit, orientation):
    turn = [(274, 3, 1, orientation, True)]
    data = tiff(RGB, photometric="rgb", resolution=(2, 1), resolutionunit=unit, extratags=turn)
    target, _ = rewrite(data)
    with tifffile.TiffFile(target) as file:
        tags = file.pages[0].tags
        expected = [(2, 1), (1, 1)][:: 1 if orientation == 1 else -1]
        assert [tags[282].value, tags[283].value] == expected
        assert tags[296].value.name == unit


# --- PNG ------------------------------------------------------------------------------------------


def test_chunks_of_a_png(rewrite):
    kept = [
        (b"tEXt", b"Author\0M\xfcller"),
        (b"zTXt", b"Description\0\0" + zlib.compress(b"long")),
        (b"iTXt", b"Title\0\0\0de\0\0" + "Größe".encode()),
        (b"tIME", struct.pack(">HBBBBB", 1999, 12, 31, 23, 59, 58)),
        (b"sTER", b"\1"),
        (b"prIv", b"of some program, safe to copy"),
    ]
    gone = [(b"bKGD", bytes(6)), (b"gAMA", struct.pack(">I", 45_455)), (b"sRGB", b"\0"),
            (b"sBIT", b"\5\5\5"), (b"iDOT", b"offsets"), (b"caBX", b"signed")]  # fmt: skip
    data = saved(RGB, "PNG")
    end = len(data) - 12
    data = (
        data[:33]
        + b"".join(chunk(*each) for each in kept[1:] + gone)
        + data[33:end]
        + chunk(*kept[0])
        + data[end:]
    )
    target, notes = rewrite(data)
    written = target.read_bytes()
    for name, content in kept:
        assert written.count(chunk(name, content)) == 1
    assert not any(chunk(*each) in written for each in gone)
    assert sum("bKGD" in note or "credentials" in note for note in notes) == len(notes) == 2
    with Image.open(target) as image:
        image.load()
        assert image.text["Title"] == "Größe" and image.text["Author"] == "Müller"


def test_exif_in_a_pngs_text_becomes_a_chunk_that_is_true(rewrite):
    exif = block()[0]
    text = f"\nexif\n{len(exif) + 6:8}\n" + (b"Exif\0\0" + exif).hex()
    data = saved(RGB, "PNG")
    raw = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text.encode()))
    target, _ = rewrite(data[:33] + raw + data[33:])
    with Image.open(target) as image:
        assert image.size == (40, 60) and image.getexif()[274] == 1
        assert "Raw profile type exif" not in image.text


# --- TIFF -----------------------------------------------------------------------------------------

XP = "Straße".encode("utf-16-le") + b"\0\0"
TAGS = {
    270: (2, "a caption\0"),
    316: (2, "a scanner's host\0"),
    297: (3, (0, 2)),
    315: (2, "A. Photographer\0"),
    18246: (3, (3,)),
    33723: (7, IPTC),
    34377: (7, resource(1028, IPTC)),
    40091: (1, XP),
    65000: (5, (1, 3)),
    65001: (12, (0.1, 2.5)),
    65002: (9, (-7,)),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_tags_of_every_page_of_a_tiff(rewrite, big, order):
    tags = [
        (code, kind, len(value) // 2 if kind == 5 else len(value), value, False)
        for code, (kind, value) in TAGS.items()
    ]
    layers = (37724, 7, 6, b"layers", True)
    data = tiff(RGB, RGB[:20], photometric="rgb", bigtiff=big, byteorder=order,
                extratags=[*tags, layers])  # fmt: skip
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        stored = [{code: page.tags[code] for code in TAGS} for page in file.pages]
        target, notes = rewrite(data)
        assert [note for note in notes if "layers" in note]
        with tifffile.TiffFile(target) as result:
            assert result.is_bigtiff == big and result.byteorder == order
            for page, expected in zip(result.pages, stored, strict=True):
                for code, tag in expected.items():
                    kept = page.tags[code]
                    assert (kept.dtype, kept.count, kept.value) == (tag.dtype, tag.count, tag.value)
                assert 37724 not in page.tags
            np.testing.assert_array_equal(result.pages[1].asarray(), RGB[:20])


def with_exif(data):
    """A little-endian TIFF or BigTIFF with directories of EXIF and GPS, made by hand."""
    big = data[2] == 43
    word, layout, head = (8, "Q", "Q") if big else (4, "I", "H")

    def entry(tag, kind, count, value):
        return struct.pack("<HH" + layout, tag, kind, count) + value.ljust(word, b"\0")

    def table(*entries):
        packed = b"".join(entries) + bytes(word)
        return struct.pack("<" + head, len(entries)) + packed

    link = 8 if big else 4
    (first,) = struct.unpack_from("<" + layout, data, link)
    (count,) = struct.unpack_from("<" + head, data, first)
    start = first + struct.calcsize("<" + head)
    size = 4 + 2 * word
    entries = [data[start + i * size : start + (i + 1) * size] for i in range(count)]
    data += b"\0" * (len(data) % 2)
    comment = b"ASCII\0\0\0a comment"
    data, exif_at = data + comment, len(data) + len(comment)
    data += table(
        entry(0x9286, 7, len(comment), struct.pack("<" + layout, exif_at - len(comment))),
        entry(0xA002, 3, 1, struct.pack("<H", 60)),
    )
    gps_at = len(data)
    data += table(entry(1, 2, 2, b"N\0"))
    entries += [entry(34665, 4, 1, struct.pack("<I", exif_at))]
    entries += [entry(34853, 4, 1, struct.pack("<I", gps_at))]
    place = len(data)
    data += table(*sorted(entries, key=lambda each: int.from_bytes(each[:2], "little")))
    return data[:link] + struct.pack("<" + layout, place) + data[link + word :]


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_exif_and_gps_of_a_tiff(rewrite, big):
    data = with_exif(tiff(RGB, photometric="rgb", bigtiff=big, extratags=[(274, 3, 1, 6, True)]))
    target, notes = rewrite(data)
    assert not notes
    with tifffile.TiffFile(target) as file:
        tags = file.pages[0].tags
        assert tags[34665].value["UserComment"] == "a comment"
        assert tags[34665].value["PixelXDimension"] == 40
        assert tags[34853].value["GPSLatitudeRef"] == "N"
        assert 274 not in tags and file.pages[0].shape == (60, 40, 3)


# --- Other formats, which become PNG --------------------------------------------------------------


def text_of(path):
    with Image.open(path) as image:
        image.load()
        return image.text


def test_comments_of_other_formats(rewrite):
    gif, _ = rewrite(saved(Image.fromarray(RGB).quantize(8), "GIF", comment=b"a comment"))
    assert text_of(gif)["Comment"] == "a comment"
    ppm, _ = rewrite(b"P5\n# a comment\n# of two lines\n4 1\n255\n\1\n#\2")
    assert text_of(ppm)["Comment"] == "a comment\nof two lines"


def test_exif_of_a_heif_that_its_decoder_has_turned(rewrite):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    target, _ = rewrite(saved(RGB, "HEIF", exif=block(orientation=6)[0], quality=90))
    with Image.open(target) as image:
        exif = image.getexif()
        assert image.size == (40, 60) and exif[274] == 1
        assert (float(exif[282]), float(exif[283])) == (150, 300)
        assert 0x9214 not in exif.get_ifd(0x8769)


# --- Other programs -------------------------------------------------------------------------------

exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="no exiftool")
exiv2 = pytest.mark.skipif(shutil.which("exiv2") is None, reason="no exiv2")
WRITTEN = (
    "-EXIF:Make=Zeiss", "-EXIF:UserComment=Größe", "-EXIF:GPSLatitude=52.5",
    "-EXIF:GPSLatitudeRef=N", "-EXIF:ImageDescription=Über den Dächern", "-EXIF:XPTitle=Straße",
    "-EXIF:XPKeywords=a;b", "-EXIF:HostComputer=host", "-EXIF:Rating=3", "-EXIF:ColorSpace#=1",
    "-EXIF:DateTimeOriginal=1936:05:01 12:00:00", "-EXIF:LensInfo=24 70 2.8 4",
    "-EXIF:CameraOwnerName=Me", "-IPTC:Caption-Abstract=Größe", "-IPTC:Keywords=one",
    "-IPTC:Keywords=two", "-XMP:Title=A title", "-XMP-xmp:Rating=4", "-XMP-dc:Subject=one",
    "-XMP-dc:Subject=two", "-Photoshop:CopyrightFlag=true", "-Comment=a comment",
    "-PNG:Author=me", "-PNG:ModifyDate=2001:01:01 00:00:00",
)  # fmt: skip
GROUPS = (
    "IFD0",
    "ExifIFD",
    "GPS",
    "IPTC",
    "XMP-dc",
    "XMP-xmp",
    "XMP-x",
    "Photoshop",
    "PNG",
    "File",
)
# What says how the pixels lie in the file.
OF_PIXELS = ("StripOffsets", "StripByteCounts", "RowsPerStrip", "BitsPerSample", "Compression",
             "ImageWidth", "ImageHeight", "ExifByteOrder", "ProfileName", "EncodingProcess",
             "YCbCrSubSampling", "ResolutionUnit", "XResolution", "YResolution")  # fmt: skip


def tags_of(path):
    """{(group, tag): value} of a file by ExifTool."""
    command = ["exiftool", "-G1", "-a", "-s", "-u", "-t", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[tuple[str, str], list[str]] = {}
    for group, tag, value in (line.split("\t", 2) for line in lines):
        if group in GROUPS and tag not in OF_PIXELS and not tag.startswith("File"):
            found.setdefault((group, tag), []).append(value)
    return found


@pytest.mark.slow
@exiftool
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exiftool_finds_what_it_wrote(rewrite, tmp_path, kind):
    path = tmp_path / "source"
    path.write_bytes(saved(RGB, kind))
    command = ["exiftool", "-m", "-q", "-overwrite_original", *WRITTEN, str(path)]
    subprocess.run(command, capture_output=True, check=True)
    target, notes = rewrite(path.read_bytes())
    assert not notes
    expected = tags_of(path)
    assert len(expected) > 15
    kept = tags_of(target)
    assert {key: kept.get(key) for key in expected} == expected
    command = ["exiftool", "-validate", "-warning", "-error", "-a", str(target)]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "Error" not in report


@pytest.mark.slow
@exiv2
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exiv2_finds_the_same_types(rewrite, tmp_path, kind):
    exif = block("<", orientation=1)[0]
    prefix = b"Exif\0\0" if kind in ("JPEG", "WEBP") else b""
    options = {} if kind == "TIFF" else {"exif": prefix + exif}
    data = saved(RGB, kind, **options)
    path = tmp_path / "source"
    path.write_bytes(with_exif(tiff(RGB, photometric="rgb")) if kind == "TIFF" else data)
    target, _ = rewrite(path.read_bytes())

    def values(file):
        command = ["exiv2", "-PEkycv", str(file)]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return {line.split()[0]: line.split()[1:] for line in lines.splitlines()}

    expected, kept = values(path), values(target)
    compared = [key for key in expected if ".Photo." in key or ".GPSInfo." in key]
    assert len(compared) >= 3
    assert {key: kept.get(key) for key in compared} == {key: expected[key] for key in compared}
