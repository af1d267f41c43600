"""`splits.assign` of files, by name."""

from common.datasets import listing, splits


def assigned(files, *given, **options):
    """{name: split} of `listing.File`s; a picture in no split has no entry."""
    of = splits.assign(listing.Pictures(files), *given, **options)
    found = zip(files, of, strict=True)
    return {file.name: splits.SPLITS[number] for file, number in found if number != splits.NONE}
