"""`finetune`: an exported model, tuned to the style of a few dozen pictures or more.

The network begins from the model's weights, at a share of the rate that it was trained with, and
ends with those of the epoch that the folder's validation pictures like best. Layers that a report
trains later than the rest stay frozen. A part of what the network learns is its own old answer, so
that it does not forget what other photos look like (`teacher`).
"""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

from common import datasets, photos
from common.cli import UserError
from common.config import Config
from common.networks import embeddings, h5, model_names
from common.training.options import EXTRAS, Options
from common.training.report import Report
from common.training.run import Run, train
from common.training.tuning import (
    BATCH,
    EPOCHS,
    FRACTIONS,
    KEEP,
    NEEDED,
    RATE,
    Tuning,
    too_few,
)

# What a config may change of a network's training, but not of the network: see `_from_maps`.
OF_TRAINING = {
    *("augment", "fractions", "faithful", "vivid", "export_both", "learning_rate", "decay"),
    *("batch_size", "steps", "epochs", "pictures", "unfreeze_after", "unfrozen_rate", "maps"),
    *("watched", "classes", "class_weight", "rebalance"),
}


def finetune(
    report: ModuleType | Report,
    model: str | Path = model_names.DEFAULT,
    data: str | Path = "photos",
    options: Options | None = None,
    *,
    keep: float = KEEP,
    **changes: Any,
) -> Run:
    """Tune an exported model of a report to a folder of pictures, and export the result.

    report: the imported package that the model was trained by, as its metadata name it. model: a
    file, or a name in models/ or of a shipped model. data: a folder of at least `NEEDED` pictures
    in colour. keep: the share of the old model's answers in the targets, in [0, 1): more of it
    keeps more of what the model knew, and learns less of the style. options, changes: as for
    `train`; what the model fixes, as its size, cannot be given.

    The result is `models/<model>-on-<folder>.h5`, and `-vivid` of a model that has such a twin.
    Where no epoch is better than the model itself on the validation pictures, it is the old model,
    and stays in the run's folder; `metadata["tuning"]["epoch"]` is 0 then. A run resumes as that of
    `train` does. Raises `UserError` for a model that cannot be tuned, for too few pictures, and
    where models/ holds such a model of other data, unless `overwrite`.
    """
    options = dataclasses.replace(options or Options(), **changes)
    path = model_names.named(model)
    report = Report.of(report)
    about = described(path)
    config = config_of(report, about, path)
    if config.export_both and (about.get("dial") or {}).get("default"):
        raise UserError(
            f"{path} is the vivid end of a model's dial. Tune the faithful one, whose tuning gives "
            f"both ends: MODEL={path.stem.removesuffix('-vivid')}."
        )
    if options.hosts is not None:
        raise UserError("A model is tuned on one machine: leave HOSTS= out.")
    if not 0 <= keep < 1:
        raise UserError(f"KEEP is at least 0 and below 1. Received: {keep}.")
    source = datasets.source_of(data)
    source.complete()
    source.require()
    count = sum(photos.is_picture(each) for each in photos.find(source.folder))
    if count < NEEDED:  # before anything is written; those in colour are counted later
        raise UserError(too_few(data, count))
    rate = (about.get("tuning") or {}).get("rate", config.learning_rate)
    tuning = Tuning(path, title_of(path, source), rate, keep)
    if options.published and not options.overwrite:
        refuse_other(Path("models", f"{tuning.title}.h5"), source)
    embedding = about.get("embedding") or {}
    extras: dict[str, Any] = {name: name in about.get("options", []) for name in EXTRAS}
    options = dataclasses.replace(
        options,
        **extras,
        init=path,
        tuning=tuning,
        epochs=options.epochs or EPOCHS,
        run=options.run or f"{tuning.title}-{source.name}",
        embed_from=embedding.get("from", "shard"),
        embedding_weights=_weights_of(embedding, path.parent)
        if options.embedding_weights in (None, "auto")
        else options.embedding_weights,
    )
    return train(report, tuned(_from_maps(report, config), rate), str(data), options)


def described(path: Path) -> dict[str, Any]:
    """The metadata of a model that can be tuned; `UserError` for any other."""
    if path.suffix.lower() == ".onnx":
        raise UserError(
            f"{path} is a model for colouring alone. Tune the .h5 that it was made of, and export "
            "the result again."
        )
    about = h5.metadata(path)
    if not isinstance(about.get("report"), str) or not isinstance(about.get("config"), dict):
        raise UserError(
            f"{path} does not say how it was trained, so that it cannot be trained further. Only a "
            "model that `make train-...` exported can be tuned."
        )
    return about


def config_of(report: Report, about: dict[str, Any], path: Path) -> Config:
    """The config that a model was trained by, from its metadata."""
    base = report.configs.get(about.get("config_name", ""), next(iter(report.configs.values())))
    values = {name: _tupled(value) for name, value in about["config"].items()}
    for name, value in values.items():
        known = getattr(base, name, None)
        if known is not None and value is not None and not _alike(value, known):
            raise UserError(f"{path} is damaged: its {name} is {value!r}. Export it anew.")
    return dataclasses.replace(base, **values)


def tuned(config: Config, rate: float) -> Config:
    """A model's config with the settings of a tuning; rate: of the model's own training."""
    return dataclasses.replace(
        config,
        learning_rate=RATE * rate,
        decay="cosine",
        batch_size=min(config.batch_size, BATCH),
        steps=None,
        pictures=None,
        fractions=FRACTIONS,
        unfreeze_after=None,
        classes=None,  # exports leave out a classification head
    )


def title_of(path: Path, source: datasets.Source) -> str:
    """The name of the result: the model's, `-on-` and the folder's."""
    folder = source.folder.name if source.data != source.name else source.name
    return f"{path.stem}-on-{folder}"


def refuse_other(path: Path, source: datasets.Source) -> None:
    """`UserError` where a model of this name is there, and was trained on other data."""
    if not path.exists():
        return
    try:
        known = h5.metadata(path).get("data", {}).get("name", "data that it does not name")
    except UserError:
        known = "what it cannot say, since it is damaged"
    if known != source.name:
        raise UserError(
            f"{path} is there already and stays: it was trained on {known}. OVERWRITE=1 replaces "
            "it; or rename it, or the folder."
        )


def _weights_of(embedding, folder):
    """What an embedding network's weights are to be taken from, to be those of a model."""
    if not embedding:
        return None
    kept = embeddings.kept(folder, embedding)
    known = embedding["weights"] in ("imagenet", "random") and not kept.exists()
    return embedding["weights"] if known else str(kept)


def _from_maps(report, config):
    """The report's config for training from stored maps, of the same network; else the model's."""
    for variant in report.configs.values():
        theirs, ours = dataclasses.asdict(variant), dataclasses.asdict(config)
        if variant.maps and all(theirs[name] == ours[name] for name in ours.keys() - OF_TRAINING):
            return dataclasses.replace(config, augment=variant.augment, maps=True)
    return config


def _tupled(value):
    """JSON's lists as the tuples that they were."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _alike(value, known):
    """Whether a value of JSON may stand for another one of a config."""
    if isinstance(known, bool) or isinstance(value, bool):
        return type(value) is type(known)
    number = (int, float)
    return isinstance(value, type(known)) or (
        isinstance(value, number) and isinstance(known, number)
    )
