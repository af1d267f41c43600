"""XMP as it holds for a result: upright, in sRGB, a single picture."""

import re

_TIFF, _EXIF = b"http://ns.adobe.com/tiff/1.0/", b"http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = b"http://ns.adobe.com/photoshop/1.0/"
# What announces a second picture or a film, which a result has not, and thumbnails.
_OTHER_PICTURES = (
    (b"http://ns.adobe.com/hdr-gain-map/1.0/", rb"\w+"),
    (b"http://ns.apple.com/HDRGainMap/1.0/", rb"\w+"),
    (b"http://ns.apple.com/pixeldatainfo/1.0/", rb"\w+"),
    (b"http://ns.google.com/photos/1.0/container/", rb"\w+"),
    (b"http://ns.google.com/photos/1.0/container/item/", rb"\w+"),
    (b"http://ns.google.com/photos/1.0/camera/", rb"(?:MotionPhoto|MicroVideo)\w*"),
    (b"http://ns.google.com/photos/dd/1.0/device/", rb"\w+"),
    (b"http://ns.adobe.com/xap/1.0/", rb"Thumbnails"),
)
_STORED = (  # how the pixels were stored
    (_TIFF, rb"(?:BitsPerSample|SamplesPerPixel|PhotometricInterpretation|Compression|"
            rb"PlanarConfiguration|YCbCr\w+|WhitePoint|PrimaryChromaticities|TransferFunction|"
            rb"ReferenceBlackWhite)"),
    (_PHOTOSHOP, rb"ColorMode"),
)  # fmt: skip
_NAMES = rb"xmlns:([\w.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')"


def of_result(xmp: bytes, shape: tuple[int, ...]) -> bytes:
    """A packet as it holds for the upright result in sRGB of this shape."""
    prefixes = [(match[1], match[2] or match[3] or b"") for match in re.finditer(_NAMES, xmp)]
    for namespace, names in _OTHER_PICTURES + _STORED:
        for prefix, uri in prefixes:
            if uri == namespace:
                xmp = _without(xmp, re.escape(prefix) + b":" + names)
    values = (
        (_TIFF, rb"Orientation", b"1"),
        (_TIFF, rb"ImageWidth", b"%d" % shape[1]),
        (_TIFF, rb"ImageLength", b"%d" % shape[0]),
        (_EXIF, rb"PixelXDimension", b"%d" % shape[1]),
        (_EXIF, rb"PixelYDimension", b"%d" % shape[0]),
        (_EXIF, rb"ColorSpace", b"1"),
        (_PHOTOSHOP, rb"ICCProfile", b"sRGB IEC61966-2.1"),
    )
    for namespace, name, value in values:
        for prefix, uri in prefixes:
            if uri == namespace:
                full = re.escape(prefix) + b":" + name
                pattern = rb"(\s%b\s*=\s*[\"']|<%b>)[^\"'<]*" % (full, full)
                xmp = re.sub(pattern, rb"\g<1>" + value, xmp)
    for prefix, uri in prefixes:
        if uri in dict(_OTHER_PICTURES) and not re.search(rb"[\s</]%b:" % re.escape(prefix), xmp):
            declaration = rb"\s+xmlns:%b\s*=\s*(?:\"[^\"]*\"|'[^']*')" % re.escape(prefix)
            xmp = re.sub(declaration, b"", xmp)
    return xmp


def _without(xmp, name):
    """Remove properties, written as attributes or as elements."""
    xmp = re.sub(rb"<(%b)(?:\s[^>]*)?(?:/>|(?<!/)>.*?</\1\s*>)" % name, b"", xmp, flags=re.DOTALL)
    return re.sub(rb"\s+%b\s*=\s*(?:\"[^\"]*\"|'[^']*')" % name, b"", xmp)
