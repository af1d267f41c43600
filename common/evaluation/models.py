"""An exported model, applied to the pictures of a data set."""

from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from common import colorize, datasets, files, photos
from common.cli import UserError, first_line
from common.datasets import features, records
from common.evaluation import rows
from common.evaluation.baselines import Batch
from common.training import logs


class ModelError(UserError):
    """A model, or a folder of pictures, that cannot be evaluated; the others can."""


class Model:
    """An exported model over the pictures of a data set, whatever size it works at.

    It takes the stored embeddings if they are those it was trained on, else it computes them: from
    the photos if it was trained on such, unless embed_from is "shard", else from the pictures that
    it colours. refine: what is done to its ab, see `colorize.refine`. `ModelError` if the file is
    no model that can be evaluated, or the photos are gone.
    """

    kind, makes = rows.MODEL, "ab"

    def __init__(
        self,
        path: str | Path,
        name: str,
        dataset: datasets.Dataset,
        batch_size: int,
        precision: str = "float32",
        weights: str | None = None,
        embed_from: str = "photo",
        refine: str = "none",
    ):
        self.path, self.name = Path(path), name
        self._given = path, name, dataset, batch_size, precision, weights, embed_from, refine
        try:
            self._colorizer = colorize.Colorizer(
                path, precision, weights, batch=batch_size, refine=refine
            )
            self.dataset, self._embedding_from = self._embedded(dataset, embed_from)
        except UserError as error:
            raise ModelError(str(error)) from None
        self.takes_embedding = self._embedding_from in ("data set", "photos")
        metadata, self.size = self._colorizer.metadata, self._colorizer.size
        self.sha256 = files.sha256(path)
        data = dict(metadata.get("data", {}))
        self._trained_on = data.pop("train_sha256", None)
        # Without the digests of the training files, since there is one for each picture.
        self._metadata = {**metadata, "data": data} if metadata else {}

    def __reduce__(self):
        return type(self), self._given

    def _embedded(self, dataset, embed_from):
        """(the data set with the model's embeddings, what the row says of where they are from)."""
        embedding = self._colorizer.embedding
        if embedding is None:
            return dataset, None
        key = records.embedding_key(embedding)
        stored = key in dataset.manifest["embeddings"]
        if self._colorizer.embeds_photos:
            # They are of the same view as the picture, whatever its size.
            if stored:
                return datasets.Dataset(dataset.folder, key), "data set"
            if embed_from == "photo":
                return features.Embedded(dataset.folder, self._colorizer.embedder), "photos"
        elif stored and (self._colorizer.size, self._colorizer.cut) == (
            dataset.image_size,
            dataset.cut,
        ):
            return datasets.Dataset(dataset.folder, key), "data set"
        return dataset, "model"

    def source(self, digests: list[str], outcomes: list | None = None) -> rows.ModelFile:
        """What the row of this model records; digests: SHA-256 of the scored pictures."""
        return rows.ModelFile(
            file=str(self.path),
            sha256=self.sha256,
            title=self._colorizer.metadata.get("title"),
            history=logs.history_of(self.path, self.sha256),
            image_size=self.size,
            cut=self._colorizer.cut,
            embedding=self._colorizer.embedding,
            embedding_from=self._embedding_from,
            metadata=self._metadata,
            refine=self._colorizer.refine,
            seen=self.count_seen(digests),
        )

    def count_seen(self, digests: list[str]) -> int | None:
        """How many files of these SHA-256 it was trained on; None where the model has no list."""
        if self._trained_on is None:
            return None
        known = {self._trained_on[at : at + 12] for at in range(0, len(self._trained_on), 12)}
        return sum(digest[:12] in known for digest in digests)

    def __call__(self, batch: Batch, pool: Executor | None = None) -> np.ndarray:
        """The ab of a batch, (N, S, S, 2) float32 in Lab units, finite."""
        l, embedding = batch.lab[..., :1], batch.embedding
        side = l.shape[1]
        if side != self.size:
            # A data set's pictures are square, and every cut of a square is the same.
            l = np.stack([photos.fit(each, self.size, "squash") for each in l])
        ab = self._predict(l, embedding)
        if ab.shape[1:] != (*l.shape[1:3], 2):
            raise ModelError(
                f"{self.path} is no colorizer: for L* of shape {l.shape[1:]} it gives "
                f"{ab.shape[1:]}. Use an exported model."
            )
        if not np.isfinite(ab).all():
            raise ModelError(f"{self.path} gives NaN or infinity. Train it anew at a lower rate.")
        return (
            ab
            if side == self.size
            else np.stack([photos.unfit(each, (side, side), "squash") for each in ab])
        )

    def _predict(self, l, embedding):
        try:
            colorizer = self._colorizer
            as_exported = colorizer.refine == "none"
            predict = colorizer.predict_ab if as_exported else colorizer.refined_ab
            return np.asarray(predict(l, embedding), np.float32)
        except UserError as error:
            raise ModelError(str(error)) from None
        except Exception as error:  # whatever the backend raises for a model of other make
            raise ModelError(
                f"{self.path} cannot predict ({type(error).__name__}: {first_line(error)}). Use "
                "an exported model, or a smaller BATCH if memory ran out."
            ) from None
