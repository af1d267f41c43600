"""The typed results of an evaluation: what `evaluate` returns and metrics.json holds.

Everything is found by name: `evaluation.row("koala").figures["psnr_rgb"].mean`. All are frozen:
a function that adds something returns a new object. `to_json` gives what metrics.json holds, and
`from_json` reads it back.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
GREY, MEAN_COLOUR, NEIGHBOUR = BASELINES = "grey", "mean colour", "nearest neighbour"
BASELINE, MODEL, PREDICTIONS = "baseline", "model", "predictions"  # the kinds of rows
INFINITE = "inf"  # a picture's value that JSON has no number for


def _fields(result: Any) -> dict:
    """{name: value} of a dataclass's fields, not deeper: nested results have their own JSON."""
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


def _interval(ends: list | None) -> tuple[float, float] | None:
    return None if ends is None else tuple(ends)


# --- figures ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Summary:
    """One metric of one row, over pictures.

    mean: over the finite values, None if there are none. n: how many values are finite.
    infinite: how many pictures equal the truth, which makes their value infinite. interval: the
    ends of the mean's confidence interval. Of a mean over subsets of the pictures: `deviation`,
    the standard deviation over subsets, and `subset`, pictures in each. lacks: what is missing
    for the metric of a network, such as "no weights".
    """

    mean: float | None
    n: int
    infinite: int = 0
    interval: tuple[float, float] | None = None
    deviation: float | None = None
    subset: int | None = None
    lacks: str | None = None

    def to_json(self) -> dict:
        """{"mean", "n", "infinite", "interval"}, and those of the other fields that are set."""
        always = ("mean", "n", "infinite", "interval")
        return {
            name: list(value) if name == "interval" and value else value
            for name, value in _fields(self).items()
            if name in always or value is not None
        }

    @classmethod
    def from_json(cls, content: dict) -> Summary:
        """The inverse of `to_json`."""
        return cls(**{**content, "interval": _interval(content["interval"])})


@dataclasses.dataclass(frozen=True)
class Delta:
    """A row's mean less that of the true pictures, and the ends of its confidence interval."""

    mean: float
    interval: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One metric of two rows, compared picture by picture.

    mean: of the differences, over the n pictures where both values are finite; None without any.
    interval: the ends of its confidence interval. wins, ties, losses: of all pictures where both
    rows have a value, an infinite one too. verdict: "better", "worse" or "undecided".
    """

    mean: float | None
    interval: tuple[float, float] | None
    n: int
    wins: int
    ties: int
    losses: int
    verdict: str

    def to_json(self) -> dict:
        """The fields by their names."""
        return {**_fields(self), "interval": self.interval and list(self.interval)}

    @classmethod
    def from_json(cls, content: dict) -> Comparison:
        """The inverse of `to_json`."""
        return cls(**{**content, "interval": _interval(content["interval"])})


@dataclasses.dataclass(frozen=True)
class Pair:
    """Row `name` compared with row `against`: {metric's key: Comparison}."""

    name: str
    against: str
    metrics: dict[str, Comparison]

    def to_json(self) -> dict:
        """The fields by their names."""
        figures = {key: comparison.to_json() for key, comparison in self.metrics.items()}
        return {"name": self.name, "against": self.against, "metrics": figures}

    @classmethod
    def from_json(cls, content: dict) -> Pair:
        """The inverse of `to_json`."""
        figures = {key: Comparison.from_json(each) for key, each in content["metrics"].items()}
        return cls(content["name"], content["against"], figures)


# --- what made the pictures of a row ------------------------------------------------------------


# `seen` is how many of the scored pictures were used for training, None where that is unknown.


@dataclasses.dataclass(frozen=True)
class Colour:
    """One colour for every pixel: `ab` in Lab units."""

    ab: tuple[float, float]
    seen: int | None = 0

    def to_json(self) -> dict:
        """The fields by their names."""
        return {"ab": list(self.ab), "seen": self.seen}


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Colours of similar training pictures.

    among: how many training pictures there are. neighbours: a {"name", "cosine"} a picture.
    """

    embedding: dict
    among: int
    seen: int | None
    neighbours: list[dict]

    def to_json(self) -> dict:
        """The fields by their names."""
        return _fields(self)


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """An exported model.

    embedding_from: "data set" where the embeddings stored there are used; "photos" or "model" where
    they are made during the evaluation, from the photos or from the pictures that the model
    colours; None without any. refine: what was done to its ab, "none" where they are as exported.
    history: {column: a number an epoch}, or None.
    """

    file: str
    sha256: str
    title: str | None
    history: dict[str, list] | None
    image_size: int
    cut: str
    embedding: dict | None
    embedding_from: str | None
    metadata: dict
    seen: int | None
    refine: str = "none"

    def to_json(self) -> dict:
        """The fields by their names; `refine` where anything was done."""
        fields = _fields(self)
        if self.refine == ModelFile.refine:
            del fields["refine"]
        return fields


@dataclasses.dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures that another system made.

    counts: {"used", "missing", "others", "resized", "grey", "alpha", "unreadable"}: how many.
    unreadable: a {"file", "reason"} each. missing: names of pictures without a file. others: files
    that belong to no picture.
    """

    folder: str
    seen: int | None
    counts: dict[str, int]
    unreadable: list[dict]
    missing: list[str]
    others: list[str]

    def to_json(self) -> dict:
        """The fields by their names."""
        return _fields(self)


Source = Colour | Neighbours | ModelFile | PictureFolder


def _source_from_json(content: dict) -> Source:
    if "ab" in content:
        return Colour(tuple(content["ab"]), content["seen"])
    if "among" in content:
        return Neighbours(**_fields_of(Neighbours, content))
    if "file" in content:
        return ModelFile(**_fields_of(ModelFile, content))
    return PictureFolder(**_fields_of(PictureFolder, content))


def _fields_of(kind, content):
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: content[name] for name in names if name in content}


# --- rows -------------------------------------------------------------------------------------


def numbers(column: list) -> np.ndarray:
    """Pictures' values as metrics.json has them -> (N,) float64: NaN for None."""
    return np.array([np.nan if value is None else float(value) for value in column])


@dataclasses.dataclass(frozen=True)
class Truth:
    """The true pictures: what can be measured without a prediction.

    figures: {metric's key: Summary}. values: {key: a value a picture, `INFINITE` or None where it
    is undefined}. histograms: {"a" and "b": counts of all pixels}, see `histograms`.
    """

    figures: dict[str, Summary]
    values: dict[str, list]
    histograms: dict[str, list[int]]

    def numbers(self, key: str) -> np.ndarray:
        """The pictures' values of a metric, (N,) float64: infinity as such, NaN for None."""
        return numbers(self.values[key])

    def to_json(self) -> dict:
        """{"metrics", "values", "histograms"}."""
        return {
            "metrics": {key: figure.to_json() for key, figure in self.figures.items()},
            "values": self.values,
            "histograms": self.histograms,
        }

    @classmethod
    def from_json(cls, content: dict) -> Truth:
        """The inverse of `to_json`."""
        return cls(_figures_from_json(content), content["values"], content["histograms"])


def _figures_from_json(content: dict) -> dict[str, Summary]:
    return {key: Summary.from_json(each) for key, each in content["metrics"].items()}


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one model, baseline or folder of pictures.

    kind: `BASELINE`, `MODEL` or `PREDICTIONS`. source: what made the pictures. figures, values and
    histograms: as in `Truth`. deltas: {key: Delta} of the metrics that the true pictures have as
    well. best, best_deltas: keys of the figures and deltas in which no other row is better.
    """

    name: str
    kind: str
    source: Source
    values: dict[str, list]
    histograms: dict[str, list[int]]
    figures: dict[str, Summary]
    deltas: dict[str, Delta] = dataclasses.field(default_factory=dict)
    best: tuple[str, ...] = ()
    best_deltas: tuple[str, ...] = ()

    @property
    def seen(self) -> int | None:
        """How many of the scored pictures were used in training; None where it is unknown."""
        return self.source.seen

    @property
    def embedding(self) -> dict | None:
        """{"network", "weights", "sha256", "precision"} where embeddings are used, else None."""
        if isinstance(self.source, Neighbours | ModelFile):
            return self.source.embedding
        return None

    @property
    def metadata(self) -> dict:
        """Of an exported model; {} for other rows."""
        return self.source.metadata if isinstance(self.source, ModelFile) else {}

    @property
    def counts(self) -> dict[str, int]:
        """Of a `PictureFolder`; {} for other rows."""
        return self.source.counts if isinstance(self.source, PictureFolder) else {}

    @property
    def is_partial(self) -> bool:
        """Whether pictures are missing, so that its means are over fewer than those of the rest."""
        return bool(self.counts.get("missing") or self.counts.get("unreadable"))

    def numbers(self, key: str) -> np.ndarray:
        """The pictures' values of a metric, (N,) float64: infinity as such, NaN for None."""
        return numbers(self.values[key])

    def to_json(self) -> dict:
        """The source's fields beside the others; deltas as "<key>_delta" and its interval."""
        return {
            "name": self.name,
            "kind": self.kind,
            **self.source.to_json(),
            "values": self.values,
            "histograms": self.histograms,
            "metrics": {key: figure.to_json() for key, figure in self.figures.items()},
            **{_name_of(key): delta.mean for key, delta in self.deltas.items()},
            "best": [*self.best, *map(_name_of, self.best_deltas)],
            **{
                f"{_name_of(key)}_interval": delta.interval and list(delta.interval)
                for key, delta in self.deltas.items()
            },
        }

    @classmethod
    def from_json(cls, content: dict) -> Row:
        """The inverse of `to_json`."""
        deltas = {
            key: Delta(content[_name_of(key)], _interval(content.get(f"{_name_of(key)}_interval")))
            for key in content["metrics"]
            if _name_of(key) in content
        }
        best = content["best"]
        return cls(
            content["name"],
            content["kind"],
            _source_from_json(content),
            content["values"],
            content["histograms"],
            _figures_from_json(content),
            deltas,
            tuple(key for key in best if key in content["metrics"]),
            tuple(key for key in deltas if _name_of(key) in best),
        )


def _name_of(key: str) -> str:
    """What metrics.json calls the difference of a metric's mean from the true pictures'."""
    return f"{key}_delta"


# --- the whole --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Data:
    """The pictures that were scored: `pictures` of the `of` in a split of a data set."""

    name: str
    split: str
    pictures: int
    of: int
    split_sha256: str
    pictures_sha256: str
    image_size: int
    cut: str
    mean_ab: list[float]


@dataclasses.dataclass(frozen=True)
class Described:
    """A metric as this evaluation computed it: its title may name a network."""

    title: str
    definition: str
    better: str  # "higher", "lower" or "truth"
    unit: str
    switches: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the figures were computed.

    sentences: {subject: sentence}. precision: a dtype policy. preset: the fields of the named
    protocol, or None. metrics: {key: Described}, the columns in order.
    """

    sentences: dict[str, str]
    precision: str
    batch_size: int
    preset: dict | None
    metrics: dict[str, Described]

    def to_json(self) -> dict:
        """The sentences beside the other fields."""
        return {
            **self.sentences,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "preset": self.preset,
            "metrics": {key: _fields(metric) for key, metric in self.metrics.items()},
        }

    @classmethod
    def from_json(cls, content: dict) -> Protocol:
        """The inverse of `to_json`."""
        content = dict(content)
        precision, batch_size, preset, columns = (
            content.pop(name) for name in ("precision", "batch_size", "preset", "metrics")
        )
        described = {key: Described(**metric) for key, metric in columns.items()}
        return cls(content, precision, batch_size, preset, described)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that was scored: its name in the data set and its file's SHA-256."""

    name: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Failure:
    """A model or folder that could not be evaluated, and why."""

    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything that one evaluation measured; the rows by name with `row`.

    created: ISO 8601, UTC. versions: {library: version}. against: the row that the others were
    compared with, None where all pairs were. notes: sentences for under the table.
    """

    created: str
    data: Data
    protocol: Protocol
    versions: dict[str, str]
    commit: str | None
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    against: str | None
    truth: Truth
    pictures: tuple[Picture, ...]
    failed: tuple[Failure, ...]
    notes: tuple[str, ...]

    def row(self, name: str) -> Row:
        """The row of that name; KeyError names those that there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"There is no row {name}. There are: {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The rows' names in their order."""
        return tuple(row.name for row in self.rows)

    @property
    def grey(self) -> Row:
        """The row of ab = 0, which is always there."""
        return self.row(GREY)

    @property
    def mean_colour(self) -> Row:
        """The row of the training split's mean colour; KeyError where there is no such split."""
        return self.row(MEAN_COLOUR)

    @property
    def baselines(self) -> tuple[Row, ...]:
        """The rows of the baselines."""
        return tuple(row for row in self.rows if row.kind == BASELINE)

    @property
    def models(self) -> tuple[Row, ...]:
        """The rows of exported models, in the order in which they were given."""
        return tuple(row for row in self.rows if row.kind == MODEL)

    @property
    def model(self) -> Row:
        """The row of the first model: of a training, its own; ValueError without one."""
        if not self.models:
            raise ValueError("No model was evaluated. Look rows up by `row`.")
        return self.models[0]

    def row_of(self, path: str | Path) -> Row:
        """The row of the exported model in that file; KeyError where it was not evaluated."""
        for row in self.models:
            if isinstance(row.source, ModelFile) and row.source.file == str(path):
                return row
        raise KeyError(f"There is no row of {path}.")

    def pair(self, name: str, against: str) -> Pair:
        """The comparison of two rows; KeyError where they were not compared."""
        for pair in self.pairs:
            if (pair.name, pair.against) == (name, against):
                return pair
        raise KeyError(f"{name} was not compared with {against}.")

    def to_json(self) -> dict:
        """What metrics.json holds."""
        return {
            "schema": SCHEMA,
            **_fields(self),
            "data": _fields(self.data),
            "protocol": self.protocol.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "pairs": [pair.to_json() for pair in self.pairs],
            "truth": self.truth.to_json(),
            "pictures": [_fields(picture) for picture in self.pictures],
            "failed": [_fields(failure) for failure in self.failed],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, content: dict) -> Evaluation:
        """The inverse of `to_json`; ValueError for another schema."""
        if content.get("schema") != SCHEMA:
            raise ValueError(f"metrics.json has schema {content.get('schema')}, not {SCHEMA}.")
        return cls(
            created=content["created"],
            data=Data(**content["data"]),
            protocol=Protocol.from_json(content["protocol"]),
            versions=content["versions"],
            commit=content["commit"],
            rows=tuple(map(Row.from_json, content["rows"])),
            pairs=tuple(map(Pair.from_json, content["pairs"])),
            against=content["against"],
            truth=Truth.from_json(content["truth"]),
            pictures=tuple(Picture(**each) for each in content["pictures"]),
            failed=tuple(Failure(**each) for each in content["failed"]),
            notes=tuple(content["notes"]),
        )


def read(path: str | Path) -> Evaluation:
    """The `Evaluation` of a metrics.json."""
    return Evaluation.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
