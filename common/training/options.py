"""The options of a training, and the config that results from them and the data's recipe."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common import cli, datasets
from common.cli import UserError, first_line
from common.config import Config, Named
from common.networks import perceptual
from common.networks.flags import variable_of
from common.networks.interface import ab_of, classifies
from common.training.hosts import TIMEOUT
from common.training.report import Report
from common.training.tuning import Tuning

CHECKPOINT_SECONDS = 300.0
EXTRAS = ("bins", "rebalance", "embed_views")  # options that add their name to the model's


@dataclasses.dataclass(frozen=True)
class Options(Named):
    """How a run differs from its config, and how it is done. None means the config's value.

    The flags of a report's `train` and the make variables have the same names.
    """

    # In place of the config's.
    epochs: int | None = None  # a larger number extends a finished run
    steps: int | None = None  # steps an epoch
    batch: int | None = None  # pictures a step
    pictures: int | None = None  # of the training pictures, drawn by seed
    size: int | None = None  # side of the pictures, in pixels
    embedding: str | None = None  # of common.networks.embeddings
    maps: bool | None = None  # train from stored maps of the frozen layers

    # Added to the config.
    bins: bool = False  # classify ab into 313 bins, in place of the last layer
    rebalance: bool = False  # weight the loss by the rarity of the colours in the data
    embed_views: bool = False  # embed each view of a picture anew, not the whole picture once

    # What embeddings are made from: "photo" or "shard", see common.datasets.features. Those of
    # views of a picture (`embed_views`) can only be made from the stored one.
    embed_from: str = "photo"

    # Weights to begin from: `auto`, `imagenet`, `random` or a file.
    embedding_weights: str | None = None
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # {variable: weights} of the report's pretrained networks, {"VGG16_WEIGHTS": "random"}. What
    # is not given, here and above, is taken from the environment variable, else `auto`.
    init: str | Path | None = None  # an exported model of the same network: a name or a file
    tuning: Tuning | None = None  # that model is tuned to the data, see `finetuning`

    # The run.
    precision: str = "auto"  # of common.networks.precision.PRECISIONS
    run: str | None = None  # name of the run's folder in runs/
    seed: int = 0
    deterministic: bool = False  # the same bits from the same seed, also on a GPU
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    cache: int | None = None  # MB of decoded pictures kept in memory; None: as much as is sensible
    split_by: str | None = None  # content, folder or a file, see common.datasets.prepare
    published: bool = True  # the export goes to models/ too
    overwrite: bool = False  # even over a model of other data
    engine: str = "local"  # of common.engines.ENGINES: what prepares the data, not what trains
    ray_address: str | None = None  # of a Ray cluster, see common.engines
    callbacks: Sequence[keras.callbacks.Callback] = ()  # see common.training.callbacks

    # What trains, see common.training.devices. None: one device, or all of several hosts.
    devices: int | str | None = None  # how many of each host, or "all"
    coordinator: str | None = None  # "host:port" of host 0
    hosts: int | None = None  # how many; JAX alone
    host_id: int | None = None  # this one's number, from 0
    timeout: float = TIMEOUT  # minutes that hosts wait for each other to come

    @property
    def extras(self) -> list[str]:
        """The names of `EXTRAS` that are chosen."""
        chosen = {"bins": self.bins, "rebalance": self.rebalance, "embed_views": self.embed_views}
        return [name for name in EXTRAS if chosen[name]]

    def weights_of(self, network: str) -> str:
        """The weights that a pretrained network begins from; `~` of a file's path is expanded."""
        variable = variable_of(network)
        given = self.embedding_weights if network == "embedding" else self.weights.get(variable)
        return os.path.expanduser(given or os.environ.get(variable) or "auto")


def weights_variables(report: Report) -> dict[str, str]:
    """{variable: the network whose weights it names} of a report, those of its losses included."""
    networks = [*report.pretrained, *distances(report)]
    if set(networks) & perceptual.LPIPS.keys() & set(distances(report)):
        networks.append("lpips")
    return {variable_of(name): name for name in networks}


def distances(report: Report) -> list[str]:
    """The networks of the perceptual losses among a report's configs, sorted."""
    return sorted({config.distance for config in report.configs.values() if config.distance})


def configured(report: Report, name: str, config: Config, data: str, options: Options) -> Config:
    """The config, overridden by the options or else by its recipe for the data.

    name: the config's, for errors. `steps` is None if an epoch is one pass over the data.
    Raises `UserError` where an option does not fit the config.
    """
    known = weights_variables(report)
    for variable in options.weights.keys() - known.keys():
        raise UserError(
            f"{report.name} has no {variable}.{cli.nearest(variable, known)} "
            f"There are: {', '.join(known) or 'none'}."
        )
    for variable in options.weights:  # before data are prepared, perhaps for hours
        file = options.weights_of(known[variable])
        if file not in ("auto", "imagenet", "random", "none") and not os.path.exists(file):
            raise UserError(
                f"There is no weights file {file}. {variable} is auto, imagenet, random or a file."
            )
    if options.embedding and config.embedding is None:
        raise UserError(f"--embedding: the config {name} fuses none. Leave it out.")
    if options.embed_views and not (config.embedding and config.augment):
        raise UserError(
            f"--embed-views: the config {name} does not both fuse an embedding "
            "and change the pictures. Leave it out."
        )
    if options.maps and not report.pretrained:
        raise UserError(f"--maps: {report.name} has no frozen layers. Leave it out.")
    if config.distance and (options.bins or options.rebalance):
        raise UserError(
            f"--{'bins' if options.bins else 'rebalance'}: the config {name} has a loss of whole "
            "pictures. Leave it out."
        )
    recipe = datasets.recipe(data, report.name, name)
    taken = {key: value for key, value in recipe.items() if not getattr(options, key)}
    if taken:
        print(
            f"{data}: {', '.join(f'{key} {value}' for key, value in taken.items())} "
            f"({name}'s recipe for it in data/sources.toml; "
            f"{' '.join(f'{key.upper()}=' for key in taken)} overrides it)",
            flush=True,
        )
    changed: dict[str, Any] = {
        "epochs": options.epochs or recipe.get("epochs"),
        "batch_size": options.batch or recipe.get("batch"),
        "embedding": options.embedding,
        "image_size": options.size,
        "pictures": options.pictures,
        "maps": options.maps,
    }
    changed = {field: value for field, value in changed.items() if value is not None}
    # In a recipe without steps an epoch is one pass over the data, whatever the config has.
    steps = options.steps or (recipe.get("steps") if recipe else config.steps)
    return dataclasses.replace(config, **changed, steps=steps)


def for_data(config: Config, dataset: datasets.Dataset, least: int = 1) -> Config:
    """The config with what depends on the data: the steps of an epoch, the number of classes.

    least: steps of an epoch, where the config has no number of its own. `UserError` where the
    config asks for more pictures than there are.
    """
    count = dataset.count("train")
    if config.pictures is not None:
        if not 1 <= config.pictures <= count:
            raise UserError(
                f"--pictures: {dataset.name} has {count:,} training pictures. Take 1 to "
                f"{count:,}, or leave it out. Received: {config.pictures:,}."
            )
        print(f"pictures: {config.pictures:,} of {count:,} for training", flush=True)
        count = config.pictures
    steps = config.steps or max(least, -(-count // config.batch_size))
    config = dataclasses.replace(config, steps=steps)
    if config.classes is None:
        return config
    count = len(dataset.labels)
    print(
        f"classification head: {count} classes"
        if count
        else f"no classification head: {dataset.name} has no class folders",
        flush=True,
    )
    return dataclasses.replace(config, classes=count)


def check_size(report: Report, config: Config) -> None:
    """`UserError` unless the network gives ab of the pictures' size, or logits of a quarter."""
    try:
        network = report.build_model(config)
    except ValueError as error:  # of a layer that gets maps which do not fit
        reason = first_line(error)
    else:
        whole = 4 if classifies(network) else 1
        sides = {side and side * whole for side in ab_of(network.output).shape[1:3]}
        if sides <= {None, config.image_size}:
            return
        reason = f"its colours would be {' x '.join(map(str, sides))}"
    raise UserError(
        f"--size: the network cannot take {config.image_size} x {config.image_size} "
        f"({reason}). Take a multiple of 32."
    )
