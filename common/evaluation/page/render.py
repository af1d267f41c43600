"""The page of an evaluation: one file that opens from disk and requests nothing from anywhere.

evaluation.html is its template. Without its script, page.js, the page is complete; with it tables
can be sorted, and pictures ordered by any metric and compared.
"""

import dataclasses

from common import metrics
from common.evaluation import table
from common.evaluation.page import document, gallery, panels, tables
from common.evaluation.rows import BASELINE, INFINITE, Evaluation, ModelFile, PictureFolder


def html(evaluation: Evaluation, pictures: gallery.Gallery) -> str:
    """The whole page."""
    sentences = evaluation.protocol.sentences
    return document.render(
        document.PACKAGE,
        "evaluation.html",
        script="page.js",
        styles=["page.css"],
        title=f"{evaluation.data.name}, {evaluation.data.split} split",
        lead=_lead(evaluation),
        sentences=sentences,
        scores=tables.scores(evaluation),
        caption=f"Means over pictures, and below each its interval, {sentences['interval']}. "
        f"A star marks the best {sentences['best']}.",
        notes=[tables.typeset(note) for note in table.notes(evaluation)],
        comparisons=tables.comparisons(evaluation),
        failed=evaluation.failed,
        gallery=_pictures(evaluation, pictures) if pictures.pictures else None,
        histograms=panels.colours(evaluation),
        spread=tables.spread(evaluation),
        curves=panels.curves(evaluation),
        protocol=_protocol(evaluation, pictures.limit),
        metrics=evaluation.protocol.metrics.values(),
        provenance=_provenance(evaluation),
        created=evaluation.created,
    )


def _lead(evaluation):
    data = evaluation.data
    count = len(evaluation.rows) - len(evaluation.baselines)
    models = {0: "No model", 1: "One model"}.get(count, f"{count} models")
    some = "" if data.pictures == data.of else f" of {data.of}"
    size = f"{data.image_size} × {data.image_size}".replace(" ", "\N{NO-BREAK SPACE}")
    return (
        f"{models} and the baselines on {data.pictures}{some} pictures at {size}, with the "
        "true lightness."
    )


# --- pictures ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Version:
    """A method's picture, or the true one. at: the method's number, which page.js knows."""

    label: str
    at: int | str
    number: str
    image: document.Image


@dataclasses.dataclass(frozen=True)
class _Picture:
    name: str
    is_spread: bool
    reasons: list[str]
    versions: list[_Version]


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """What gallery.html shows.

    scored: pictures of the evaluation. extremes: pictures shown beside those spread evenly.
    methods: those that have pictures; first: the one that is chosen first. content: for page.js.
    """

    scored: int
    spread: int
    extremes: int
    left_out: int
    methods: list[str]
    first: str
    pictures: list[_Picture]
    content: dict


def _pictures(evaluation, shown):
    drawn = {method for picture in shown.pictures for method, _ in picture.versions}
    rows = [row for row in evaluation.rows if row.name in drawn]
    methods = [row.name for row in rows]
    return _Pictures(
        scored=evaluation.data.pictures,
        spread=shown.spread,
        extremes=len(shown.pictures) - shown.spread,
        left_out=shown.left_out,
        methods=methods,
        first=next((row.name for row in rows if row.kind != BASELINE), methods[0]),
        pictures=[
            _Picture(
                picture.name,
                at < shown.spread,
                _reasons(evaluation, picture.reasons),
                [
                    _version(evaluation, picture.position, methods, *version)
                    for version in picture.versions
                ],
            )
            for at, picture in enumerate(shown.pictures)
        ],
        content=_content(evaluation, rows, [picture.position for picture in shown.pictures]),
    )


def _version(evaluation, position, methods, method, image):
    if method is None:
        return _Version("true", "", "", image)
    psnr = evaluation.row(method).values["psnr_rgb"][position]
    number = "∞" if psnr == INFINITE else f"{psnr:.2f}"
    return _Version(method, methods.index(method), number, image)


def _reasons(evaluation, reasons):
    """Lines like "koala: worst by PSNR RGB · MSE ab; best by SSIM ab"."""
    titles: dict[str, dict[str, list[str]]] = {}
    for reason in reasons:
        of_method = titles.setdefault(reason.method, {})
        of_method.setdefault(reason.which, []).append(table.title_of(evaluation, reason.key))
    return [
        f"{method}: " + "; ".join(f"{which} by {' · '.join(by)}" for which, by in lists.items())
        for method, lists in titles.items()
    ]


def _content(evaluation, rows, positions):
    """What page.js orders the pictures by: by metric, values and ranks, and how many have a rank.

    values: for each picture and row {metric: [value, rank]}. truth: for each picture.
    """
    keys = gallery.keys(evaluation)
    ranks: dict[str, list[dict[int, int | None]]] = {key: [] for key in keys}  # by row and position
    counts: dict[str, list[int]] = {key: [] for key in keys}
    for key in keys:
        for row in rows:
            column = gallery.ranks(key, row, evaluation.truth)  # of all pictures
            ranks[key].append({position: column[position] for position in positions})
            counts[key].append(sum(map(bool, column)))
    return {
        "values": [
            [
                {key: [row.values[key][position], ranks[key][at][position]] for key in keys}
                for at, row in enumerate(rows)
            ]
            for position in positions
        ],
        "truth": [
            {
                key: column[position]
                for key, column in evaluation.truth.values.items()
                if key in ranks
            }
            for position in positions
        ],
        "counts": counts,
        "metrics": {
            key: [
                table.title_of(evaluation, key),
                metrics.METRICS[key].unit,
                metrics.METRICS[key].digits,
            ]
            for key in keys
        },
    }


# --- protocol and provenance --------------------------------------------------------------------


def _protocol(evaluation, limit):
    """{subject: sentence}."""
    protocol, data = evaluation.protocol, evaluation.data
    sentences, preset = protocol.sentences, protocol.preset
    entries = {
        "Preset": preset and f"{preset['name']}: {preset['chosen']}",
        "Pictures": f"{data.pictures} of the {data.of} in the {data.split} split of "
        f"{data.name}, {data.image_size} × {data.image_size}, cut “{data.cut}”",
        "Lightness": sentences["lightness"],
        "Prediction": sentences["prediction"],
        "RGB": sentences["rgb"],
        "ab": sentences["ab"],
        "Lab": sentences["lab"],
        "Mean": sentences["mean"],
        "Interval": sentences["interval"],
        "Pictures of others": sentences["predictions"],
        "Balanced": sentences.get("balanced"),
        "Nearest neighbour": sentences.get("neighbour"),
        "Δ": sentences["delta"],
        "Histograms": sentences["histograms"],
        "Pictures shown": "some spread evenly; then, metric by metric, the worst, best and median "
        "of each method but the baselines, the metrics of the terminal's table first, until they "
        f"take {limit / 1e6:g} MB of this page; made again after the scoring",
        "Arithmetic": f"{protocol.precision}, batches of {protocol.batch_size}",
    }
    return {subject: text for subject, text in entries.items() if text is not None}


def _provenance(evaluation):
    """{subject: sentence}."""
    data = evaluation.data
    entries = {
        "Split": f"SHA-256 {data.split_sha256}",
        "Pictures": f"SHA-256 {data.pictures_sha256}, over their files' in stored order",
        "Versions": ", ".join(f"{name} {version}" for name, version in evaluation.versions.items()),
    }
    if evaluation.commit:
        entries["Commit"] = evaluation.commit
    for row in evaluation.rows:
        if isinstance(row.source, ModelFile):
            entries[row.name] = _about(row.source)
        elif isinstance(row.source, PictureFolder):
            entries[row.name] = f"pictures in {row.source.folder}"
    return entries


def _about(model: ModelFile) -> str:
    """A model in one line."""
    metadata = model.metadata
    data = metadata.get("data", {})
    parts = [
        model.file,
        f"trained on {data['name']}" if data.get("name") else "",
        f"split {data['split_sha256'][:12]}" if data.get("split_sha256") else "",
        f"config {metadata['config_name']}" if metadata.get("config_name") else "",
        f"works at {model.image_size} × {model.image_size}, cut “{model.cut}”",
    ]
    if embedding := model.embedding:
        origin = {
            "data set": "stored with the data set",
            "photos": "made from the photos while evaluating",
            "model": "made from the stored pictures while evaluating",
        }[model.embedding_from or "model"]
        parts.append(
            f"embedding {embedding['network']}, {embedding['weights']} weights "
            f"{embedding['sha256'][:12]}, {origin}"
        )
    parts.append(f"SHA-256 {model.sha256}")
    return "; ".join(filter(None, parts))
