"""A survey: a page that asks people which pictures are recoloured.

It shows recoloured and original pictures one by one, in an order drawn anew for each person, and
saves the person's verdicts as a file. Nothing in the page distinguishes the two kinds: all pictures
are converted from L* and ab to 8 bits in the same way, stored uncompressed, so that their files
have one length, and listed in the order of their hashes. The key beside the page holds the answers.
"""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from common import datasets, files, metrics, photos
from common.cli import UserError
from common.color import lab
from common.evaluation import baselines, evaluate, models
from common.evaluation.page import document
from common.survey.schema import KEY, KINDS, SCHEMA, VERDICTS, Published

BATCH = 16  # pictures that are read at a time


@dataclasses.dataclass(frozen=True)
class Survey:
    """key: the content of key.json. pictures: {SHA-256 of the file: PNG}."""

    key: dict[str, Any]
    pictures: dict[str, bytes]

    def page(self) -> str:
        """The HTML page, which opens from disk and requests nothing."""
        return document.render(
            "common.survey",
            "survey.html",
            script="survey.js",
            styles=("page.css", "survey.css"),
            pictures=[
                (digest, document.Image("image/png", png))
                for digest, png in sorted(self.pictures.items())
            ],
            about={"kind": VERDICTS, "schema": SCHEMA, "survey": self.key["survey"]},
        )

    def write(self, folder: str | Path) -> None:
        """Write key.json and index.html."""
        files.write_json(Path(folder) / "key.json", self.key)
        files.write_text(Path(folder) / "index.html", self.page())


def check_free(folder: Path) -> None:
    """UserError if the folder holds a survey, whose answers would lose their key; OSError if it
    cannot be written."""
    evaluate.check_writable(folder)
    if (folder / "key.json").exists():
        raise UserError(
            f"{folder} holds a survey, whose answers cannot be read without its key. Name "
            "another folder, OUT=folder, or remove this one."
        )


def make(
    model: models.Model,
    dataset: datasets.Dataset,
    split: str,
    recoloured: int,
    originals: int,
    seed: int = 0,
    published: Published | None = None,
) -> Survey:
    """A survey of `recoloured` + `originals` pictures of a split, drawn by the seed.

    Grey pictures, whose colours nobody can judge, and copies of others are not drawn. UserError if
    too few are left.
    """
    positions = _draw(dataset, split, recoloured + originals, seed)
    read = model.dataset.read(split, positions, model.takes_embedding)
    colours = lab.rgb_to_lab(read["rgb"])
    batch = baselines.Batch(np.asarray(positions), read["rgb"], colours, read.get("embedding"))
    first = (None if each is None else each[:recoloured] for each in batch)
    predicted = model(baselines.Batch(*first))  # type: ignore[arg-type]  # None is an embedding
    # Originals too are converted to Lab and back, which returns the same 8-bit values.
    ab = np.concatenate([predicted, colours[recoloured:, ..., 1:]])
    pngs = [photos.png(rgb, compression=0) for rgb in metrics.recolour(colours[..., :1], ab)]
    if len(set(map(len, pngs))) > 1:
        raise ValueError(
            "A survey needs files of one length, since another length would distinguish recoloured "
            f"from original pictures. Received: {sorted(map(len, pngs))} bytes."
        )
    hashes = [files.sha256(png) for png in pngs]
    digests = dataset.sha256(split, positions)
    key = {
        "kind": KEY,
        "schema": SCHEMA,
        "survey": files.sha256("".join(sorted(hashes)).encode())[:16],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": {"name": model.name, "sha256": model.sha256},
        "data": {
            "name": dataset.name,
            "split": split,
            "seed": seed,
            "split_sha256": dataset.split_sha256(),
        },
        "seen": model.count_seen(digests),
        "published": published and dataclasses.asdict(published),
        "pictures": [
            {"sha256": digest, "kind": KINDS[at >= recoloured], "name": name}
            for at, (digest, name) in enumerate(zip(hashes, read["name"], strict=True))
        ],
    }
    return Survey(key, dict(zip(hashes, pngs, strict=True)))


def _draw(dataset, split, count, seed):
    """Positions of `count` pictures in colour, no two of the same file."""
    order = np.random.default_rng(seed).permutation(dataset.count(split))
    digests = dataset.sha256(split)
    drawn: dict[str, int] = {}
    for start in range(0, len(order), BATCH):
        positions = order[start : start + BATCH].tolist()
        for position, rgb in zip(positions, dataset.read(split, positions)["rgb"], strict=True):
            if np.ptp(rgb, axis=-1).any():
                drawn.setdefault(digests[position], position)
        if len(drawn) >= count:
            return list(drawn.values())[:count]
    raise UserError(
        f"The {split} split of {dataset.name} has {len(drawn)} pictures in colour, a "
        f"survey needs {count}. Name more pictures, or ask for fewer: RECOLOURED=, "
        "ORIGINALS=."
    )
