"""What a report defines for its training, and compiling a network with it.

A report's `train.py` defines

    optimizer(config, steps)  -> keras.optimizers.Optimizer; steps is the length of the whole run
    loss(config)              -> keras.losses.Loss of ab, in the network's scaling
    metrics(config)           -> list of keras.metrics.Metric of ab, reported for each epoch;
                                 optional, and not used for a network that classifies ab
    PRETRAINED                {name of a layer: load}; optional. load(model, config, weights) sets
                              the weights of that layer (`auto`, `imagenet`, `random` or a file)
                              and returns {"network", "weights", "sha256"}

With `config.maps` the outputs of those PRETRAINED layers that are frozen, in the network that
`build_model` returns, are computed once and stored beside the shards; what follows them is then
trained with them as its inputs (`common.networks.frozen`). Such a layer is best a nested model
whose outputs are the smallest tensors that the rest needs; it may depend on no other input than L*.

Everything else about the training is in the config.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import keras

from common import cli
from common.cli import UserError
from common.config import Config
from common.networks.interface import classifies

CUSTOM = "custom"  # the name of a config that is not among the report's


def _no_metrics(config: Config) -> list[keras.metrics.Metric]:
    return []


@dataclasses.dataclass(frozen=True)
class Report:
    """A report as training needs it; `Report.of` collects it from the package."""

    name: str
    configs: Mapping[str, Config]  # the default first
    build_model: Callable[[Any], keras.Model]
    optimizer: Callable[[Any, int], keras.optimizers.Optimizer]
    loss: Callable[[Any], keras.losses.Loss]
    metrics: Callable[[Any], list] = _no_metrics
    pretrained: Mapping[str, Callable] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, package: "ModuleType | Report") -> "Report":
        """The report of an imported package (`import koala`); a `Report` is returned as it is."""
        if isinstance(package, Report):
            return package
        training = importlib.import_module(f"{package.__name__}.train")
        return cls(
            package.__name__,
            package.CONFIGS,
            package.build_model,
            training.optimizer,
            training.loss,
            vars(training).get("metrics", _no_metrics),
            vars(training).get("PRETRAINED", {}),
        )

    def config(self, config: Config | str | None) -> tuple[str, Config]:
        """(name, config) of a name, of a config, or of None, the default.

        A config that is none of the report's is called `custom`.
        """
        if config is None:
            return next(iter(self.configs.items()))
        if isinstance(config, str):
            if config not in self.configs:
                raise UserError(
                    f"{self.name} has no config {config}.{cli.nearest(config, self.configs)} "
                    f"There are: {', '.join(self.configs)}."
                )
            return config, self.configs[config]
        names = (name for name, known in self.configs.items() if known == config)
        return next(names, CUSTOM), config

    def title(self, config: str, options: list[str]) -> str:
        """The name of a model file: the report, a config that is not the default, the options."""
        variant = [config] if config != next(iter(self.configs)) else []
        return "-".join([self.name, *variant, *options]).replace("embed_views", "embed-views")


def compile_model(
    report: "ModuleType | Report",
    model: keras.Model,
    config: Config,
    steps: int,
    loss: keras.losses.Loss | None = None,
) -> None:
    """Give a network the report's optimizer, its metrics, and a loss of ab, or the report's.

    steps: the length of the whole run, for a learning rate that falls. The loss of a classification
    head is added to that of ab, weighted by `config.class_weight`.
    """
    report = Report.of(report)
    optimizer = report.optimizer(config, steps)
    loss = loss or report.loss(config)
    metrics = [] if classifies(model) else report.metrics(config)
    if not isinstance(model.output, dict):
        model.compile(optimizer, loss, metrics=metrics)
        return
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(
        optimizer,
        {"ab": loss, "label": classes},
        loss_weights={"ab": 1.0, "label": config.class_weight},
        metrics={
            "ab": metrics,
            "label": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        },
    )


def learning_rate(config: Config, steps: int) -> float | keras.optimizers.schedules.CosineDecay:
    """The config's rate: constant, or with decay="cosine" falling to zero over the run."""
    if config.decay is None:
        return config.learning_rate
    if config.decay != "cosine":
        raise ValueError(f'decay is None or "cosine". Received: {config.decay!r}.')
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)


def accuracy() -> keras.metrics.Metric:
    """What Keras calls "accuracy" of ab: the share of pixels where the larger of a*, b* agrees.

    See `metrics.argmax_ab`.
    """
    return keras.metrics.CategoricalAccuracy(name="accuracy")
