"""Which picture files are read and written, at which depth, with which metadata: docs/formats.md.

    python -m benchmarks.formats            # print the tables
    python -m benchmarks.formats --write    # replace those of docs/formats.md

Drawn pictures are encoded in every way that Pillow, tifffile and imagecodecs offer, read, and
compared with what was encoded; then written, and read again. A slow test holds the page to it.
"""

import argparse
import io
import itertools
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from common import files, photos

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
HEIGHT, WIDTH = 32, 48
CHANNELS = {"grey": 1, "grey, alpha": 2, "RGB": 3, "RGB, alpha": 4, "CMYK": 4}


class Kind(NamedTuple):
    """A way to encode: the format, bits a sample, the channels that it has, and
    encode(values, channels, bits) -> the bytes of one file, or of several. `off`: how far a lossy
    one may be, of 255."""

    format: str
    bits: tuple[int, ...]
    channels: tuple[str, ...]
    encode: Callable
    off: float = 0.0


def drawing(channels: str, bits: int) -> np.ndarray:
    """(HEIGHT, WIDTH, C): smooth, up to the highest value, its lowest bits in use."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    fields = np.stack([x, y, (x + y) / 2, 1 - x], axis=2)
    if CHANNELS[channels] < 3:
        fields = fields[..., [2, 3]]
    values = np.round(fields[..., : CHANNELS[channels]] * (2**bits - 1))
    return np.ascontiguousarray(values, np.uint8 if bits <= 8 else np.uint16)


def expected(values: np.ndarray, channels: str, bits: int) -> np.ndarray:
    """The picture that a file of these values is, RGB or RGBA, float64 in [0, 1]."""
    share = values / (2**bits - 1)
    if channels == "CMYK":
        return (1 - share[..., :3]) * (1 - share[..., 3:])
    return share[..., {1: [0, 0, 0], 2: [0, 0, 0, 1]}.get(values.shape[2], slice(None))]


# --- Encoders -------------------------------------------------------------------------------------


def plain(values):
    """Grey without its axis of channels."""
    return values[..., 0] if values.shape[2] == 1 else values


def pillow(kind, **options):
    def encode(values, channels, bits):
        mode = {"grey": "L", "grey, alpha": "LA", "RGB, alpha": "RGBA"}.get(channels, channels)
        file = io.BytesIO()
        image = Image.frombytes(mode, (WIDTH, HEIGHT), values.tobytes())
        image.save(file, kind, **options)
        return file.getvalue()

    return encode


def bilevel(kind, **options):
    def encode(values, channels, bits):
        file = io.BytesIO()
        Image.fromarray(values[..., 0] > 0).save(file, kind, **options)
        return file.getvalue()

    return encode


def palette(kind):
    def encode(values, channels, bits):
        colours = np.arange(256, dtype=np.uint8)  # red and green of 16 levels each
        image = Image.fromarray((values[..., 0] & 0xF0) | (values[..., 1] >> 4), "P")
        image.putpalette(np.stack([colours & 0xF0, colours << 4, 0 * colours], 1).tobytes())
        values[:] = np.stack([values[..., 0] & 0xF0, values[..., 1] & 0xF0, 0 * values[..., 2]], 2)
        file = io.BytesIO()
        image.save(file, kind)
        return file.getvalue()

    return encode


def netpbm(values, channels, bits):
    kind = "P6" if channels == "RGB" else "P5"
    header = f"{kind} {WIDTH} {HEIGHT} {2**bits - 1}\n".encode()
    return header + values.astype("u1" if bits <= 8 else ">u2").tobytes()


def jpeg2000(values, channels, bits):
    for codec in ("jp2", "j2k"):
        yield imagecodecs.jpeg2k_encode(
            plain(values), level=0, reversible=True, bitspersample=bits, codecformat=codec
        )


def avif(values, channels, bits):
    chroma = "444" if channels.startswith("RGB") else None
    return imagecodecs.avif_encode(
        plain(values), level=100, bitspersample=bits, pixelformat=chroma, speed=9
    )


def heif(values, channels, bits):
    import pillow_heif

    mode = "RGBA"[: values.shape[2]] + ("" if bits == 8 else ";16")
    data = values << (16 - bits) if bits > 8 else values
    before = pillow_heif.options.SAVE_HDR_TO_12_BIT
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    file = io.BytesIO()
    try:
        image = pillow_heif.from_bytes(mode=mode, size=(WIDTH, HEIGHT), data=data.tobytes())
        image.save(file, quality=-1, chroma=444, matrix_coefficients=0)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return file.getvalue()


def psd(values, channels, bits, resources=b""):
    mode = {"CMYK": 4, "grey": 1, "grey, alpha": 1}.get(channels, 3)
    stored = 2**bits - 1 - values if channels == "CMYK" else values
    planes = np.moveaxis(stored, 2, 0).astype("u1" if bits == 8 else ">u2").tobytes()
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, values.shape[2], HEIGHT, WIDTH, bits, mode)
    return header + struct.pack(">II", 0, len(resources)) + resources + bytes(6) + planes


def packed(values, channels, bits):
    """A TIFF of any number of bits, in big-endian order, by hand."""
    unpacked = np.unpackbits(values.astype(">u2")[..., None].view(np.uint8), axis=3)
    rows = unpacked[..., 16 - bits :].reshape(HEIGHT, -1)
    pixels = np.packbits(rows, axis=1).tobytes()
    count = values.shape[2]
    depths = struct.pack(f">{count}H", *[bits] * count)
    tags = [
        (256, 4, 1, WIDTH),
        (257, 4, 1, HEIGHT),
        (258, 3, count, struct.unpack(">I", depths.ljust(4, b"\0"))[0] if count < 3 else 8),
        (259, 4, 1, 1),
        (262, 4, 1, 2 if count == 3 else 1),
        (273, 4, 1, 16),
        (277, 4, 1, count),
        (278, 4, 1, HEIGHT),
        (279, 4, 1, len(pixels)),
    ]
    table = b"".join(struct.pack(">HHII", *tag) for tag in tags)
    body = depths.ljust(8, b"\0") + pixels + bytes(len(pixels) % 2)
    return (
        b"MM\0*" + struct.pack(">I", 8 + len(body)) + body + struct.pack(">H", len(tags)) + table
    ) + bytes(4)


def tiff(codec, options=None, predictors=(False,), planes=True):
    """Chunky and in planes, in strips and tiles, both orders of bytes, TIFF and BigTIFF."""
    image_codec = codec in ("png", "jpegxl", "jpeg2000", "webp", "lerc", "jpeg")

    def encode(values, channels, bits):
        for planar, tile, (order, big), predictor in itertools.product(
            ("contig", "separate") if planes and values.shape[2] > 1 else ("contig",),
            (None, (16, 16)),
            (("<", False), (">", False), ("<", True)),
            predictors,
        ):
            if image_codec and bits == 16 and order == ">":
                continue  # tifffile writes none
            file = io.BytesIO()
            with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
                writer.write(
                    np.moveaxis(values, 2, 0).copy() if planar == "separate" else plain(values),
                    photometric={"CMYK": "separated", "RGB": "rgb", "RGB, alpha": "rgb"}.get(
                        channels, "minisblack"
                    ),
                    planarconfig=planar if values.shape[2] > 1 else None,
                    extrasamples=["unassalpha"] if "alpha" in channels else None,
                    tile=tile,
                    rowsperstrip=None if tile else 8,
                    compression=codec,
                    compressionargs=dict(options or {}),  # tifffile adds to it
                    metadata=None,
                    **({"predictor": True} if predictor else {}),
                )
            yield file.getvalue()

    return encode


ALL = tuple(CHANNELS)
GREY, COLOUR, FOUR = ("grey",), ("grey", "RGB"), ("grey", "grey, alpha", "RGB", "RGB, alpha")
RGBS = ("RGB", "RGB, alpha")
KINDS = [
    Kind("JPEG", (8,), ("grey", "RGB"), pillow("JPEG", quality=100, subsampling=0), 3),
    Kind("JPEG", (8,), ("CMYK",), pillow("JPEG", quality=100, subsampling=0), 6),
    Kind("PNG", (1,), GREY, bilevel("PNG")),
    Kind("PNG, palette", (8,), ("RGB",), palette("PNG")),
    Kind("PNG", (8, 16), FOUR, lambda values, *_: imagecodecs.png_encode(plain(values))),
    Kind("WebP", (8,), RGBS, pillow("WEBP", lossless=True, exact=True)),
    Kind("BMP", (8,), COLOUR, pillow("BMP")),
    Kind("GIF", (8,), ("RGB",), palette("GIF")),
    Kind("PGM, PPM", (8, 10, 12, 16), COLOUR, netpbm),
    Kind("JPEG 2000", (1, 4, 8, 9, 10, 12, 14, 16), FOUR, jpeg2000),
    Kind("AVIF", (8, 10, 12), FOUR, avif),
    Kind("HEIF", (8, 10, 12), RGBS, heif, 1),
    Kind("PSD", (8, 16), ("grey", "RGB", "RGB, alpha", "CMYK"), psd),
    Kind("TIFF, fax (groups 3, 4)", (1,), GREY, bilevel("TIFF", compression="group3")),
    Kind("TIFF, fax (groups 3, 4)", (1,), GREY, bilevel("TIFF", compression="group4")),
    Kind("TIFF, uncompressed", (1, 2, 4, 10, 12, 14), COLOUR, packed),
    Kind("TIFF, uncompressed", (8, 16), ALL, tiff(None)),
    Kind("TIFF, LZW", (8, 16), ALL, tiff("lzw", predictors=(False, True))),
    Kind("TIFF, Deflate", (8, 16), ALL, tiff("adobe_deflate", predictors=(False, True))),
    Kind("TIFF, ZSTD", (8, 16), ALL, tiff("zstd", predictors=(False, True))),
    Kind("TIFF, LZMA", (8, 16), ALL, tiff("lzma")),
    Kind("TIFF, PackBits", (8, 16), ALL, tiff("packbits")),
    Kind("TIFF, LERC", (8, 16), ALL, tiff("lerc")),
    Kind("TIFF, PNG", (8, 16), FOUR, tiff("png")),
    Kind("TIFF, JPEG 2000", (8, 16), FOUR, tiff("jpeg2000", {"reversible": True, "level": 0})),
    Kind("TIFF, JPEG XL", (8, 16), FOUR, tiff("jpegxl", {"lossless": True})),
    Kind("TIFF, WebP", (8,), RGBS, tiff("webp", {"lossless": True}, planes=False)),
    Kind("TIFF, JPEG", (8,), COLOUR, tiff("jpeg", {"level": 100}), 8),
]

# --- Trying ---------------------------------------------------------------------------------------


def tried(kind: Kind, channels: str, bits: int) -> tuple[str, str]:
    """What became of every file of one kind: how it is read, and as what it is written."""
    cells, results = set(), set()
    values = drawing(channels, bits)
    encoded = kind.encode(values, channels, bits)
    for data in [encoded] if isinstance(encoded, bytes) else encoded:
        try:
            pages, _, written, target = through(data)
        except photos.PhotoError:
            cells.add("no")
            continue
        truth = expected(values, channels, bits)
        depth = 8 if bits <= 8 else 16
        right = close(pages[0].pixels, truth, kind.off) and close(target, truth, kind.off + 4)
        cells.add("WRONG" if not right else "yes" if pages[0].depth == depth else "8 bits")
        results.add(f"{written}, {8 * target.itemsize}")
    return ", ".join(sorted(cells)), ", ".join(sorted(results))


def through(data: bytes) -> tuple[list[photos.Page], list[str], str, np.ndarray]:
    """Read a file, and write it in colour: its pages, the notes, the format of the result and its
    pixels."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "photo"), Path(folder, "result")
        source.write_bytes(data)
        with photos.read(source) as photo:
            pages = list(photo.pages())
            for page in pages:
                page.pixels = page.pixels.copy()
                if page.pixels.ndim == 2:
                    page.pixels = np.repeat(page.pixels[..., None], 3, axis=2)
            before = [page.pixels.copy() for page in pages]
            photos.write(target, pages, photo)
        for page, pixels in zip(pages, before, strict=True):
            page.pixels = pixels
        with photos.read(target) as again:
            (result, *_) = again.pages()
        return pages, photo.notes, photo.written, result.pixels


def close(pixels: np.ndarray, truth: np.ndarray, off: float) -> bool:
    """Whether a result is the picture, within its own rounding and `off` of 255."""
    full = np.iinfo(pixels.dtype).max
    if pixels.shape != truth.shape:
        return False
    return bool(np.abs(pixels / full - truth).max() <= off / 255 + 0.51 / full)


def rows() -> Iterator[list[str]]:
    """The table of pixels."""
    for name in dict.fromkeys(kind.format for kind in KINDS):
        if name == "HEIF" and not has_heif():
            continue
        found: dict[tuple, list[int]] = {}
        kinds = [kind for kind in KINDS if kind.format == name]
        for bits in sorted({bits for kind in kinds for bits in kind.bits}):
            cells, results = dict.fromkeys(CHANNELS, "–"), set()
            for kind in kinds:
                for channels in kind.channels if bits in kind.bits else ():
                    cells[channels], written = tried(kind, channels, bits)
                    results |= {written} - {""}
            key = (*cells.values(), "; ".join(sorted(results)) or "–")
            found.setdefault(key, []).append(bits)
        for key, depths in found.items():
            yield [name, ", ".join(map(str, depths)), *key]


# --- Metadata -------------------------------------------------------------------------------------

TAKEN, PLACE = "1936:05:01 12:00:00", (52.0, 31.0, 0.0)
IPTC = b"\x1c\x02\x78\0\x0cdrawn caption"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:source="drawn source"/></rdf:RDF></x:xmpmeta>'
)
COMMENT, DPI = "drawn comment", (300, 150)
RESOURCES = struct.pack(">4sHHI", b"8BIM", 0x0404, 0, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
METADATA = ("EXIF", "XMP", "IPTC", "ICC profile", "dpi", "comment")


def wide_gamut() -> bytes:
    """A profile whose colours differ from sRGB's."""
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290, 1.0],
        primaries=[0.64, 0.33, 0.3, 0.21, 0.71, 0.07, 0.15, 0.06, 0.08],
        gamma=2.2,
    )


def exif(tiff_tags: bool = False) -> Image.Exif:
    block = Image.Exif()
    block[0x8769], block[0x8825] = {0x9003: TAKEN}, {1: "N", 2: PLACE}
    if tiff_tags:
        block[700], block[33723], block[270] = XMP, IPTC, COMMENT
    loaded = Image.Exif()
    loaded.load(block.tobytes())
    return loaded


def gif(data: bytes) -> bytes:
    """A GIF with a profile and XMP in extensions before its picture, as the formats' papers say."""
    start = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    profile = wide_gamut()
    blocks = b"".join(
        bytes([len(part)]) + part
        for part in (profile[i : i + 255] for i in range(0, len(profile), 255))
    )
    added = b"!\xff\x0bICCRGBG1012" + blocks + b"\0"
    added += b"!\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return data[:start] + added + data[start:]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def resource(code: int, data: bytes) -> bytes:
    padding = bytes(len(data) % 2)
    return struct.pack(">4sHHI", b"8BIM", code, 0, len(data)) + data + padding


def with_metadata() -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """(format, a file with all the metadata that it can hold, what that is)."""
    image = Image.fromarray(drawing("RGB", 8))
    common = {"icc_profile": wide_gamut(), "exif": exif()}

    def saved(kind, **options):
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    data = saved("JPEG", xmp=XMP, dpi=DPI, comment=COMMENT, quality=100, subsampling=0, **common)
    app13 = b"Photoshop 3.0\0" + RESOURCES
    app13 = struct.pack(">HH", 0xFFED, len(app13) + 2) + app13
    yield "JPEG", data[:20] + app13 + data[20:], METADATA
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add_text("Comment", COMMENT)
    kept = tuple(name for name in METADATA if name != "IPTC")
    yield "PNG", saved("PNG", pnginfo=texts, dpi=DPI, **common), kept
    yield "WebP", saved("WEBP", xmp=XMP, lossless=True, **common), ("EXIF", "XMP", "ICC profile")
    tagged = {"icc_profile": wide_gamut(), "exif": exif(tiff_tags=True), "dpi": DPI}
    yield "TIFF", saved("TIFF", **tagged), METADATA
    yield "BMP", saved("BMP", dpi=DPI), ("dpi",)
    yield "GIF", gif(saved("GIF", comment=COMMENT)), ("XMP", "ICC profile", "comment")
    plain_ppm = saved("PPM")
    yield "PGM, PPM", plain_ppm[:3] + b"# drawn comment\n" + plain_ppm[3:], ("comment",)
    colour = box(b"colr", b"\2\0\0" + wide_gamut())
    data = imagecodecs.jpeg2k_encode(drawing("RGB", 8), level=0, reversible=True, codecformat="jp2")
    start, end = data.index(b"jp2h") - 4, data.index(b"jp2c") - 4
    header = data[start + 8 : start + 30] + colour
    uuids = (
        box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
        + box(b"uuid", b"JpgTiffExif->JP2" + exif().tobytes().removeprefix(b"Exif\0\0"))
        + box(b"uuid", bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38") + IPTC)
    )
    data = data[:start] + box(b"jp2h", header) + uuids + data[end:]
    yield "JPEG 2000", data, ("EXIF", "XMP", "IPTC", "ICC profile")
    yield "AVIF", saved("AVIF", xmp=XMP, quality=100, **common), ("EXIF", "XMP", "ICC profile")
    if has_heif():
        file = io.BytesIO()
        import pillow_heif

        heif = pillow_heif.from_pillow(image)
        heif.info.update(exif=exif().tobytes(), xmp=XMP, icc_profile=wide_gamut())
        heif.save(file, quality=-1, chroma=444)
        yield "HEIF", file.getvalue(), ("EXIF", "XMP", "ICC profile")
    resources = (
        resource(0x03ED, struct.pack(">IHHIHH", DPI[0] << 16, 1, 1, DPI[1] << 16, 1, 1))
        + resource(0x0404, IPTC)
        + resource(0x040F, wide_gamut())
        + resource(0x0422, exif().tobytes().removeprefix(b"Exif\0\0"))
        + resource(0x0424, XMP)
    )
    held = ("EXIF", "XMP", "IPTC", "ICC profile", "dpi")
    yield "PSD", psd(drawing("RGB", 8), "RGB", 8, resources), held


def has_heif() -> bool:
    """Whether the optional pillow-heif is installed."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def kept(data: bytes) -> tuple[dict[str, bool], list[str], str]:
    """Which metadata a result holds, the notes, and the format of the result."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "photo"), Path(folder, "result")
        source.write_bytes(data)
        with photos.read(source) as photo:
            (page,) = photo.pages()
            page.pixels = page.pixels.copy()
            converted = np.abs(page.pixels / np.iinfo(page.pixels.dtype).max * 255 - VALUES).max()
            photos.write(target, [page], photo)
        written = target.read_bytes()
        with Image.open(target) as image:
            block, dpi = image.getexif(), image.info.get("dpi")
            texts = " ".join(map(str, getattr(image, "text", {}).values()))
            details, place = block.get_ifd(0x8769), block.get_ifd(0x8825)
    return (
        {
            "EXIF": details.get(0x9003) == TAKEN and tuple(place.get(2, ())) == PLACE,
            "XMP": b"drawn source" in written or "drawn source" in texts,
            "IPTC": IPTC in written or IPTC.hex() in texts.replace("\n", ""),
            "ICC profile": converted > 8,
            "dpi": dpi is not None and np.allclose(np.array(dpi, float), DPI, rtol=0.01),
            "comment": COMMENT.encode() in written or COMMENT in texts,
        },
        photo.notes,
        photo.written,
    )


VALUES = drawing("RGB", 8).astype(float)
WORDS = {"ICC profile": "profile", "comment": "comment"}


def metadata_rows() -> Iterator[list[str]]:
    """The table of metadata."""
    for name, data, held in with_metadata():
        found, notes, written = kept(data)
        cells = []
        for each in METADATA:
            said = WORDS.get(each, each).lower() in "; ".join(notes).lower()
            yes = "converted" if each == "ICC profile" else "kept"
            lost = "lost, with a note" if said else "lost"
            cells.append("–" if each not in held else yes if found[each] else lost)
        yield [name, written, *cells]


# --- The page -------------------------------------------------------------------------------------


def table(heads: list[str], lines: Iterator[list[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines)) + "\n"


def tables() -> dict[str, str]:
    """{name: table}, as they stand in docs/formats.md between two comments of that name."""
    return {
        "pixels": table(["format", "bits", *CHANNELS, "result"], rows()),
        "metadata": table(["format", "result", *METADATA], metadata_rows()),
    }


def split(page: str, name: str) -> tuple[str, str, str]:
    """What stands before a table of a page, the table, and what stands after it."""
    before, start, rest = page.partition(f"<!-- {name} -->\n\n")
    found, end, after = rest.partition("<!-- end -->")
    return before + start, found, end + after


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", action="store_true", help="replace the tables of docs/formats.md"
    )
    made = tables()
    if not parser.parse_args(argv).write:
        sys.stdout.write("\n".join(made.values()))
        return
    page = PAGE.read_text(encoding="utf-8")
    for name, text in made.items():
        before, _, after = split(page, name)
        page = f"{before}{text}\n{after}"
    with files.replacing(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
