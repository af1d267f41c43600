"""The fixture of the tests that read picture files."""

import pytest

from common import photos


@pytest.fixture
def read(tmp_path):
    """The pages of a picture file given as bytes."""

    def pages(data, name="photo", **options):
        path = tmp_path / name
        path.write_bytes(data)
        with photos.read(path, **options) as photo:
            return list(photo.pages())

    return pages
