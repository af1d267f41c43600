"""What an evaluation says, in words and figures: a table in the terminal, rows for a CSV.

All of it is made from the report of `evaluate.evaluate`; `page_html` makes the page of it.
"""

from common import metrics
from common.evaluation.statistics import DELTA

SPOKEN = ("psnr_rgb", "ciede2000")  # the metrics that pairs are compared by in words
RUNS_ONLY = "Sample photos show that everything runs, not how well a model colours."


# --- what both tables say ---------------------------------------------------------------------


def columns_of(report, brief=False):
    """The keys of a table's columns: a metric's, and that of its difference from the truth."""
    for key in report["protocol"]["metrics"]:
        if metrics.METRICS[key].brief or not brief:
            yield key
            if key in metrics.OF_TRUTH:
                yield key + DELTA


def title_of(report, key):
    """A column's title, which may name a network."""
    return report["protocol"]["metrics"][key]["title"]


def cell(row, key):
    """The text of a figure; "inf" if every picture is equal to its truth, "-" if undefined.

    A metric of a network that is not at hand says what it lacks.
    """
    if key.endswith(DELTA):
        return f"{row[key]:+.2f}"
    found = row["metrics"][key]
    if found["mean"] is None:
        return found.get("lacks") or ("inf" if found["infinite"] else "-")
    return f"{found['mean']:.{metrics.METRICS[key].digits}f}"


def interval(row, key):
    """ "low..high" of a figure with the figure's digits, "" where there is none.

    Of a mean over subsets, their standard deviation.
    """
    found = row[f"{key}_interval"] if key.endswith(DELTA) else row["metrics"][key]["interval"]
    form = "+.2f" if key.endswith(DELTA) else f".{metrics.METRICS[key].digits}f"
    if not key.endswith(DELTA) and "deviation" in row["metrics"][key]:
        return f"±{row['metrics'][key]['deviation']:{form}}"
    return "" if found is None else f"{found[0]:{form}}..{found[1]:{form}}"


def counted(row, key, pictures):
    """ "n=7" where a figure is a mean of fewer than all pictures, else ""."""
    found = row["metrics"][key.removesuffix(DELTA)]
    return "" if found["n"] == pictures or "lacks" in found else f"n={found['n']}"


def pictures_of(row):
    """How many pictures each of the row's means is over: "32", or "31 to 32" where they differ."""
    counts = sorted({found["n"] for found in row["metrics"].values() if "lacks" not in found})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def remarks_of(row, count):
    """What must be known beside a row's figures."""
    said = []
    if row["seen"]:
        said.append(f"seen {row['seen']} of {count} in training")
    elif row["seen"] is None:
        said.append("training files unknown")
    if counts := row.get("counts"):
        said.append(
            "pictures: "
            + ", ".join(
                f"{number} {'of other names' if kind == 'others' else kind}"
                for kind, number in counts.items()
                if number
            )
        )
    if embedding := row.get("embedding"):
        said.append(f"embedding {embedding['network']}, {_weights(embedding)}")
    if among := row.get("among"):
        said.append(f"among {among} training pictures")
    for encoder in row.get("metadata", {}).get("pretrained", {}).values():
        said.append(f"encoder {encoder['network']}, {_weights(encoder)}")
    if distance := row.get("metadata", {}).get("distance"):
        said.append(f"loss {distance['name']}")
    if row["name"] == "mean colour":
        a, b = row["ab"]
        said.append(f"ab = ({a:.1f}, {b:.1f})")
    return said


def _weights(network):
    kind = "RANDOM" if network["weights"] == "random" else network["weights"]
    return f"{kind} weights"


def notes(report):
    """Sentences under the table: who is better than whom, and what to beware of."""
    said = [_pair_in_words(pair) for pair in _told(report)]
    truth = report["truth"]["metrics"]["colourfulness"]["mean"]
    said.append(f"The true pictures' colourfulness is {truth:.2f}.")
    infinite = max(row["metrics"]["psnr_rgb"]["infinite"] for row in report["rows"])
    if infinite:
        said.append(
            f"Up to {infinite} predictions equal the truth in every pixel (grey pictures "
            "do): their infinite PSNR is in no mean."
        )
    said += report["notes"]
    if report["data"]["name"] == "samples":
        said.append(RUNS_ONLY)
    return said


def _told(report):
    """The pairs that are put in words: those with the reference, else those of models."""
    kinds = {row["name"]: row["kind"] for row in report["rows"]}
    if report["against"] is not None:
        return report["pairs"]
    return [
        pair
        for pair in report["pairs"]
        if kinds[pair["name"]] != "baseline" and pair["against"] != "grey"
    ]


def _pair_in_words(pair):
    """ "ours against theirs: better by PSNR RGB, +0.62 dB (+0.50..+0.75, wins 310 of 378); ..."."""
    told = [
        f"{found['verdict']} by {metrics.METRICS[key].title}, {difference(key, found)}"
        for key, found in pair["metrics"].items()
        if key in SPOKEN and found["mean"] is not None
    ]
    words = f"{pair['name']} against {pair['against']}: {'; '.join(told) or 'undefined'}."
    psnr = pair["metrics"]["psnr_rgb"]
    if pair["against"] == "mean colour" and psnr["verdict"] != "better":
        words += " It has learned nothing that shows in PSNR."
    return words


def difference(key, found):
    """ "+0.62 dB (+0.50..+0.75, wins 310 of 378)" of what a pair's figures are."""
    metric = metrics.METRICS[key]
    unit = f" {metric.unit}" if metric.unit else ""
    within = ""
    if found["interval"]:
        low, high = (f"{end:+.{metric.digits}f}" for end in found["interval"])
        within = f"{low}..{high}, "
    pictures = found["wins"] + found["ties"] + found["losses"]
    return f"{found['mean']:+.{metric.digits}f}{unit} ({within}wins {found['wins']} of {pictures})"


def _heading(report):
    data = report["data"]
    some = "" if data["pictures"] == data["of"] else f" of {data['of']}"
    preset = report["protocol"]["preset"]
    return (
        (f"{preset['name']}: " if preset else "")
        + f"{data['name']}, {data['split']} split: {data['pictures']}{some} pictures at "
        f"{data['image_size']} x {data['image_size']}"
    )


# --- the terminal -----------------------------------------------------------------------------


def table(report):
    """The report's main columns as aligned text; `*` marks the best of a column."""
    columns = list(columns_of(report, brief=True))
    titles = ["delta" if key.endswith(DELTA) else title_of(report, key) for key in columns]
    lines = [["", *titles, "pictures", ""]]
    pictures = report["data"]["pictures"]
    for row in report["rows"]:
        cells = [cell(row, key) + ("*" if key in row["best"] else "") for key in columns]
        remarks = "; ".join(remarks_of(row, pictures))
        lines.append([row["name"], *cells, pictures_of(row), remarks])
        for below in (
            [interval(row, key) for key in columns],
            [counted(row, key, pictures) for key in columns],
        ):
            if any(below):
                lines.append(["", *below, "", ""])
    # Digits stand below digits: only a star goes beyond the column.
    lines = [
        [
            text if text.endswith("*") or not 0 < i <= len(columns) else text + " "
            for i, text in enumerate(line)
        ]
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [text.rjust(width) for text, width in zip(line[1:-1], widths[1:-1], strict=True)]
            + [line[-1]]
        ).rstrip()
        for line in lines
    ]
    return "\n".join(
        [
            _heading(report),
            "",
            *aligned,
            "",
            *notes(report),
            f"Below each mean: {report['protocol']['interval']}.",
            f"* best {report['protocol']['best']}.",
        ]
    )


# --- the CSV ----------------------------------------------------------------------------------


def csv_rows(report):
    """A header and a row a method: what it is, then mean and count of every metric."""
    # Means over subsets have a deviation in place of an interval.
    spread = [
        key
        for key in report["protocol"]["metrics"]
        if any("deviation" in row["metrics"][key] for row in report["rows"])
    ]
    yield [
        "data",
        "split",
        "pictures",
        "name",
        "kind",
        "image_size",
        "cut",
        "embedding",
        "embedding_weights",
        "seen",
        "sha256",
        *(
            f"{key}{suffix}"
            for key in report["protocol"]["metrics"]
            for suffix in ("", "_n", "_low", "_high")
        ),
        *(f"{key}{DELTA}{suffix}" for key in metrics.OF_TRUTH for suffix in ("", "_low", "_high")),
        *(f"{key}_deviation" for key in spread),
    ]
    data = report["data"]
    for row in report["rows"]:
        embedding = row.get("embedding") or {}
        figures = [
            value
            for key in report["protocol"]["metrics"]
            for found in [row["metrics"][key]]
            for value in (found["mean"], found["n"], *(found["interval"] or (None, None)))
        ]
        figures += [
            value
            for key in metrics.OF_TRUTH
            for value in (row[key + DELTA], *(row[f"{key}{DELTA}_interval"] or (None, None)))
        ]
        figures += [row["metrics"][key].get("deviation") for key in spread]
        yield [
            data["name"],
            data["split"],
            data["pictures"],
            row["name"],
            row["kind"],
            row.get("image_size"),
            row.get("cut"),
            embedding.get("network"),
            embedding.get("weights"),
            row["seen"],
            row.get("sha256"),
            *figures,
        ]
