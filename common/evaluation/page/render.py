"""The page of an evaluation: one file that opens from disk and asks for nothing from anywhere.

Its Content-Security-Policy says so, and lets nothing run but `page.js`, by its hash. Without that
script the page is whole; with it tables sort, pictures are ordered by any metric and compared.
"""

import re
from html import escape

import numpy as np

from common import metrics
from common.color import lab
from common.evaluation import histograms, table
from common.evaluation.page import charts, document, gallery
from common.evaluation.rows import BASELINE, MODEL, PREDICTIONS

BETTER = {"higher": "higher is better", "lower": "lower is better", "truth": "as the truth's"}
SHARES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1)  # the axis of the histograms


def html(report, pictures):
    """The whole page, of what `evaluate.evaluate` returns and a `gallery.Gallery`."""
    data = report.data
    title = f"{data.name}, {data.split} split"
    notes = "".join(f"<li>{escape(_typeset(note))}</li>" for note in table.notes(report))
    return document.document(
        f"Evaluation: {title}",
        f"""<header>
<p class="what">Colorization, evaluated</p>
<h1>{escape(title)}</h1>
<p class="lead">{escape(_lead(report))}</p>
</header>
<main>
<section aria-labelledby="figures">
<h2 id="figures">Figures</h2>
{_figures(report)}
<ul>{notes}</ul>
</section>
{_comparisons(report)}
{_left_out(report)}
<section aria-labelledby="pictures">
<h2 id="pictures">Pictures</h2>
{_gallery(report, pictures)}
</section>
{_colours(report)}
{_curves(report)}
<section aria-labelledby="protocol">
<h2 id="protocol">Protocol</h2>
{_protocol(report)}
</section>
<section aria-labelledby="provenance">
<h2 id="provenance">Provenance</h2>
{_provenance(report)}
</section>
</main>
<footer>Made {escape(report.created)}. Every picture's own values are in
<a href="metrics.json">metrics.json</a>, the table is in <a href="metrics.csv">metrics.csv</a>.
</footer>""",
        "page.js",
        "page.css",
    )


def _lead(report):
    data = report.data
    count = len([row for row in report.rows if row.kind != BASELINE])
    models = {0: "No model", 1: "One model"}.get(count, f"{count} models")
    some = "" if data.pictures == data.of else f" of {data.of}"
    size = f"{data.image_size} × {data.image_size}".replace(" ", "\N{NO-BREAK SPACE}")
    return (
        f"{models} and the baselines on {data.pictures}{some} pictures at {size}, with the "
        "true lightness."
    )


def _figures(report):
    columns = list(table.columns_of(report))
    heads = ['<th scope="col">Method</th>']
    for column in columns:
        if column.is_delta:
            heads.append('<th scope="col">Δ<small>closer to 0 is better</small></th>')
            continue
        metric = column.metric
        small = ", ".join(filter(None, (metric.unit, BETTER[metric.better])))
        first = ' data-first="descending"' if metric.better == "higher" else ""
        heads.append(
            f'<th scope="col"{first}>{escape(table.title_of(report, column.key))}'
            f"<small>{small}</small></th>"
        )
    heads.append('<th scope="col">n<small>pictures</small></th>')
    body, pictures = [], report.data.pictures
    for row in report.rows:
        remarks = "".join(
            f'<span class="remark{" beware" if _is_warning(remark) else ""}">{escape(remark)}'
            "</span>"
            for remark in table.remarks_of(row, pictures)
        )
        cells = "".join(
            _number(_value(row, column), _marked(row, column) + _below(row, column, pictures))
            for column in columns
        )
        counted = table.pictures_of(row)
        body.append(
            f'<tr class="{row.kind}"><th scope="row">{escape(row.name)}{remarks}'
            f"</th>{cells}{_number(int(counted.split()[0]), counted)}</tr>"
        )
    truth = report.truth
    cells = "".join(
        _number(_value(truth, column), table.cell(truth, column) + _below(truth, column, pictures))
        if column.key in truth.figures and not column.is_delta
        else '<td aria-label="not applicable"></td>'
        for column in columns
    )
    counted = truth.figures["colourfulness"].n
    body.append(
        f'<tr class="truth"><th scope="row">true pictures</th>{cells}'
        f"{_number(counted, counted)}</tr>"
    )
    interval = report.protocol.sentences["interval"]
    return f"""<div class="scroll" role="region" aria-labelledby="figures" tabindex="0">
<table class="figures">
<caption><span>Means over pictures, and below each its interval, {escape(interval)}. A star marks
the best
{escape(report.protocol.sentences["best"])}.</span></caption>
<thead><tr>{"".join(heads)}</tr></thead>
<tbody>
{chr(10).join(body)}
</tbody>
</table>
</div>"""


def _value(row, column):
    """What a cell is sorted by; None where there is no figure."""
    figure = column.figure(row)
    return "Infinity" if figure.mean is None and figure.infinite else figure.mean


def _number(value, text):
    """A cell of a table, with what it is sorted by."""
    return f"<td>{text}</td>" if value is None else f'<td data-value="{value}">{text}</td>'


def _below(row, column, pictures):
    lines = table.interval(row, column), table.counted(row, column, pictures)
    return "".join(f'<span class="remark">{_typeset(line)}</span>' for line in lines if line)


def _typeset(text):
    """Minus signs for what is typed as one, and "to" in intervals."""
    return re.sub(r"(?<![\w-])-(?=\d|$)", "−", re.sub(r"(?<=\d)\.\.(?=[-+\d])", " to ", text))


def _is_warning(remark):
    return remark.startswith("seen") or "RANDOM" in remark or " missing" in remark


def _marked(row, column):
    text = _typeset(table.cell(row, column)).replace("inf", "∞")
    best = '<strong>{}<span class="hidden"> best</span></strong>'
    return best.format(text) if column.is_best(row) else text


def _comparisons(report):
    if not report.pairs:
        return ""
    keys = [key for key in report.pairs[0].metrics if metrics.METRICS[key].brief]
    heads = "".join(f'<th scope="col">{escape(table.title_of(report, key))}</th>' for key in keys)
    body = []
    for pair in report.pairs:
        cells = "".join(
            _number(pair.metrics[key].mean, _compared(key, pair.metrics[key])) for key in keys
        )
        body.append(
            f'<tr><th scope="row">{escape(pair.name)}<span class="remark">against '
            f"{escape(pair.against)}</span></th>{cells}</tr>"
        )
    return f"""<section aria-labelledby="comparisons">
<h2 id="comparisons">Comparisons</h2>
<p>{escape(report.protocol.sentences["pairs"].capitalize())}. Every metric is in metrics.json.</p>
{_table('aria-labelledby="comparisons"', "Pair", heads, body)}
</section>"""


def _table(name, first, heads, body):
    """A table of figures in a region that scrolls; name: the attribute that names the region."""
    rows = "\n".join(body)
    return f"""<div class="scroll" role="region" {name} tabindex="0">
<table class="figures">
<thead><tr><th scope="col">{first}</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""


def _compared(key, compared):
    if compared.mean is None:
        return "-"
    difference, rest = _typeset(table.difference(key, compared)).split(" (")
    lines = compared.verdict, *rest.removesuffix(")").split(", ")
    return difference + "".join(f'<span class="remark">{line}</span>' for line in lines)


def _left_out(report):
    if not report.failed:
        return ""
    items = "".join(f"<li>{escape(failure.reason)}</li>" for failure in report.failed)
    return f"""<section aria-labelledby="left-out">
<h2 id="left-out">Left out</h2>
<ul>{items}</ul>
</section>"""


def _gallery(report, shown):
    if not shown.pictures:
        return ""
    rows = {row.name: row for row in report.rows}
    drawn = {name for picture in shown.pictures for name, _ in picture["columns"]}
    names = [name for name in rows if name in drawn]
    first = next((name for name in names if rows[name].kind != BASELINE), names[0])
    found = {
        key: [gallery.ranks(key, rows[name], report.truth) for name in names]
        for key in gallery.keys(report)
    }
    values = [
        [
            {
                key: [rows[name].values[key][picture["place"]], found[key][at][picture["place"]]]
                for key in found
            }
            for at, name in enumerate(names)
        ]
        for picture in shown.pictures
    ]
    truth = [
        {
            key: column[picture["place"]]
            for key, column in report.truth.values.items()
            if key in found
        }
        for picture in shown.pictures
    ]
    counts = {key: [sum(map(bool, ranks)) for ranks in found[key]] for key in found}
    content = {
        "values": values,
        "truth": truth,
        "counts": counts,
        "metrics": {
            key: [
                table.title_of(report, key),
                metrics.METRICS[key].unit,
                metrics.METRICS[key].digits,
            ]
            for key in found
        },
    }
    items = "\n".join(
        _picture(report, picture, names, rows, at < shown.spread)
        for at, picture in enumerate(shown.pictures)
    )
    return f"""<p>{_chosen(report, shown)}</p>
{_controls(report, found, names, first)}
<ol class="gallery" style="--columns: {len(names) + 1}">
{items}
</ol>
{_dialog()}
{document.data("values", content)}"""


def _chosen(report, shown):
    """How the pictures on the page were chosen, in words."""
    words = (
        f"{shown.spread} of {report.data.pictures} are spread evenly over the split, "
        "none chosen by eye."
    )
    if more := len(shown.pictures) - shown.spread:
        words += f" The other {more} are worst, best or median by a metric, as is said above them."
    if shown.left_out:
        words += f" {shown.left_out} more of these did not fit into the page."
    return words + (' The number under a picture is its <span id="by">PSNR RGB in dB</span>.')


def _controls(report, keys, names, first):
    """The choice of pictures, for the script to show."""

    def options(found):
        return "".join(
            f'<option value="{escape(str(value))}"{" selected" * chosen}>{escape(text)}</option>'
            for value, text, chosen in found
        )

    orders = [
        ("spread", "those spread evenly", True),
        ("worst", "worst first", False),
        ("best", "best first", False),
        ("median", "median first", False),
    ]
    by = [(key, table.title_of(report, key), key == "psnr_rgb") for key in keys]
    of = [(at, name, name == first) for at, name in enumerate(names)]
    return f"""<div class="controls" role="group" aria-label="Which pictures" hidden>
<label>Pictures <select id="order">{options(orders)}</select></label>
<label>by <select id="metric">{options(by)}</select></label>
<label>of <select id="method">{options(of)}</select></label>
<output id="status"></output>
</div>"""


def _picture(report, picture, names, rows, is_spread):
    figures = []
    for name, file in picture["columns"]:
        label, number, at = "true", "", ""
        if name is not None:
            label, at = name, names.index(name)
            psnr = rows[name].values["psnr_rgb"][picture["place"]]
            number = "∞" if psnr == "inf" else f"{psnr:.2f}"
        figures.append(
            f'<figure data-at="{at}">'
            f"{document.image(file, ', '.join((picture['name'], label)))}"
            f"<figcaption>{escape(label)} <span>{number}</span></figcaption></figure>"
        )
    reasons = "".join(f"<p>{escape(reason)}</p>" for reason in _reasons(report, picture["reasons"]))
    return (
        f'<li{" data-spread" * is_spread}><div class="bar"><h3>{escape(picture["name"])}</h3>'
        f'</div>{reasons}<div class="row">{"".join(figures)}</div></li>'
    )


def _reasons(report, reasons):
    """Lines like "koala: worst by PSNR RGB · MSE ab; best by SSIM ab"."""
    lines = {}
    for which, key, name in reasons:
        lines.setdefault(name, {}).setdefault(which, []).append(table.title_of(report, key))
    return [
        f"{name}: "
        + "; ".join(f"{which} by {' · '.join(titles)}" for which, titles in found.items())
        for name, found in lines.items()
    ]


def _dialog():
    return """<dialog aria-labelledby="compared">
<div class="bar"><h2 id="compared"></h2>
<button type="button" data-step="-1">Previous</button>
<button type="button" data-step="1">Next</button>
<button type="button" data-close>Close</button></div>
<div class="stage"><span class="edge"></span></div>
<input type="range" min="0" max="100" step="1" value="50" autofocus
 aria-label="How far the left picture reaches">
<div class="sides"><label>Left <select></select><output></output></label>
<label>Right <select></select><output></output></label></div>
</dialog>"""


def _colours(report):
    """Histograms of a and b, each method's against the truth's, and a table that says the same."""
    truth, charted, body = report.truth.histograms, [], []
    for row in report.rows:
        distances = {
            channel: histograms.distance(row.histograms[channel], truth[channel])
            for channel in histograms.CHANNELS
        }
        deviations = {
            channel: histograms.deviation(row.histograms[channel])
            for channel in histograms.CHANNELS
        }
        body.append(
            _spread_row(
                row.kind,
                row.name,
                [
                    value
                    for channel in histograms.CHANNELS
                    for value in (deviations[channel], distances[channel])
                ],
            )
        )
        if max(deviations.values()):  # one colour everywhere is a stroke, no distribution
            panels = "".join(
                _histogram(row, truth, channel, distances[channel])
                for channel in histograms.CHANNELS
            )
            charted.append(
                f'<figure class="charts">{panels}<figcaption>{escape(row.name)}'
                "</figcaption></figure>"
            )
    body.append(
        _spread_row(
            "truth",
            "true pictures",
            [
                value
                for channel in histograms.CHANNELS
                for value in (histograms.deviation(truth[channel]), None)
            ],
        )
    )
    heads = "".join(
        f'<th scope="col">{channel}* {what}<small>{small}</small></th>'
        for channel in histograms.CHANNELS
        for what, small in (("spread", "standard deviation"), ("distance", "lower is better"))
    )
    legend = (
        (
            '<p class="legend"><span class="key true"></span>true pictures '
            '<span class="key made"></span>the method</p>'
        )
        if charted
        else ""
    )
    return f"""<section aria-labelledby="colours">
<h2 id="colours">Colours</h2>
<p>How often each a* (green to red) and each b* (blue to yellow) occurs, over all pixels of all
pictures, on a logarithmic scale. Narrow is pale. The distance is how far, in Lab units, the pixels
would have to move along the axis to be spread as the truth's (earth mover's distance).</p>
{legend}<div class="panels">{"".join(charted)}</div>
{_table('aria-label="Spread of a and b"', "Method", heads, body)}
</section>"""


def _spread_row(kind, name, values):
    cells = "".join(
        '<td aria-label="not applicable"></td>' if value is None else _number(value, f"{value:.2f}")
        for value in values
    )
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{cells}</tr>'


def _histogram(row, truth, channel, distance):
    ends = histograms.CENTRES[[0, -1]]
    x = charts.Axis(
        *ends, tuple((tick, f"{tick}".replace("-", "−")) for tick in (-100, -50, 0, 50, 100))
    )
    y = charts.Axis(
        SHARES[0], SHARES[-1], tuple((share, f"{100 * share:g} %") for share in SHARES), log=True
    )
    edges = np.linspace(-histograms.LIMIT, histograms.LIMIT, histograms.BINS + 1)
    colours = np.zeros((23, 3), np.float32)
    colours[:, 0] = 70
    colours[:, 1 + histograms.CHANNELS.index(channel)] = np.linspace(*ends, len(colours))
    strip = [
        "#" + bytes(rgb).hex()
        for rgb in np.rint(255 * lab.lab_to_rgb(colours)).astype(np.uint8).tolist()
    ]
    words = f"{row.name}: histogram of {channel}*; its distance from the truth's is {distance:.2f}"
    drawn = [
        charts.steps(kind, x, y, edges, histograms.shares(found[channel]))
        for kind, found in (("true", truth), ("made", row.histograms))
    ]
    return charts.panel(f"{channel}*", words, x, y, *drawn, strip=strip)


def _curves(report):
    """Loss and PSNR by epoch of the models whose run is at hand; "" where there is none."""
    rows = [row for row in report.models if row.source.history]
    if not rows:
        return ""
    figures = "".join(_trained(row.name, row.source.history) for row in rows)
    return f"""<section aria-labelledby="curves">
<h2 id="curves">Training</h2>
<p>Loss, and PSNR on RGB, by epoch, as the run of the model noted them.</p>
<p class="legend"><span class="key training"></span>training
<span class="key validation"></span>validation <span class="key mean"></span>mean colour, on the
validation pictures</p>
<div class="panels">{figures}</div>
</section>"""


def _trained(name, history):
    x = charts.numbered(len(history["epoch"]))
    panels, said = (
        [],
        [f"{len(history['epoch'])} epochs" if len(history["epoch"]) > 1 else "1 epoch"],
    )
    for what, unit, digits, columns in (
        ("loss", "", 5, {"training": "loss", "validation": "val_loss"}),
        ("PSNR", " dB", 2, {"validation": "val_psnr_rgb", "mean": "mean_colour_psnr_rgb"}),
    ):
        columns = {kind: history[key] for kind, key in columns.items()}
        values = [value for column in columns.values() for value in column if value is not None]
        if not values:  # grey pictures alone have no PSNR
            continue
        y = charts.about(values)
        ends = ", ".join(
            f"{'mean colour' if kind == 'mean' else f'{kind} {what}'} "
            + " to ".join(
                dict.fromkeys(
                    f"{value:.{digits}f}" for value in (column[0], column[-1]) if value is not None
                )
            )
            + unit
            for kind, column in columns.items()
        )
        said.append(ends)
        panels.append(
            charts.panel(
                what + unit.replace(" ", ", "),
                f"{name}: {ends}",
                x,
                y,
                *(
                    charts.line(kind, x, y, list(zip(history["epoch"], column, strict=True)))
                    for kind, column in columns.items()
                ),
            )
        )
    return (
        f'<figure class="charts">{"".join(panels)}<figcaption>{escape(name)} '
        f"<span>{'; '.join(said)}</span></figcaption></figure>"
    )


def _protocol(report):
    protocol, data = report.protocol, report.data
    preset = protocol.preset
    entries = {
        "Preset": preset and f"{preset['name']}: {preset['chosen']}",
        "Pictures": f"{data.pictures} of the {data.of} in the {data.split} split of "
        f"{data.name}, {data.image_size} × {data.image_size}, cut "
        f"“{data.cut}”",
        "Lightness": protocol.sentences["lightness"],
        "Prediction": protocol.sentences["prediction"],
        "RGB": protocol.sentences["rgb"],
        "ab": protocol.sentences["ab"],
        "Lab": protocol.sentences["lab"],
        "Mean": protocol.sentences["mean"],
        "Interval": protocol.sentences["interval"],
        "Pictures of others": protocol.sentences["predictions"],
        "Balanced": protocol.sentences.get("balanced"),
        "Nearest neighbour": protocol.sentences.get("neighbour"),
        "Δ": protocol.sentences["delta"],
        "Histograms": protocol.sentences["histograms"],
        "Pictures shown": "some spread evenly; then, metric by metric, the worst, best and median "
        "of each method but the baselines, the metrics of the terminal's table "
        f"first, until they take {gallery.LIMIT / 1e6:g} MB of this page; made "
        "again after the scoring",
        "Arithmetic": f"{protocol.precision}, batches of {protocol.batch_size}",
    }
    entries = {name: text for name, text in entries.items() if text is not None}
    rows = []
    for metric in protocol.metrics.values():
        switches = ", ".join(f"{name}={value}" for name, value in metric.switches.items())
        rows.append(
            f'<tr><th scope="row">{escape(metric.title)}</th>'
            f"<td>{escape(metric.definition)}</td><td><code>{escape(switches)}</code></td></tr>"
        )
    return f"""{_definitions(entries)}
<div class="scroll" role="region" aria-label="Metrics and their switches" tabindex="0">
<table class="words">
<thead><tr><th scope="col">Metric</th><th scope="col">Definition</th>
<th scope="col">Switches</th></tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody>
</table>
</div>"""


def _provenance(report):
    data = report.data
    entries = {
        "Split": f"SHA-256 {data.split_sha256}",
        "Pictures": f"SHA-256 {data.pictures_sha256}, over their files' in stored order",
        "Versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    if report.commit:
        entries["Commit"] = report.commit
    for row in report.rows:
        if row.kind == MODEL:
            entries[row.name] = _about(row)
        elif row.kind == PREDICTIONS:
            entries[row.name] = f"pictures in {row.source.folder}"
    return _definitions(entries)


def _about(row):
    source, metadata = row.source, row.metadata
    data = metadata.get("data", {})
    parts = [
        source.file,
        f"trained on {data['name']}" if data.get("name") else "",
        f"split {data['split_sha256'][:12]}" if data.get("split_sha256") else "",
        f"config {metadata['config_name']}" if metadata.get("config_name") else "",
        f"works at {source.image_size} × {source.image_size}, cut “{source.cut}”",
    ]
    if embedding := row.embedding:
        origin = (
            "stored with the data set"
            if source.embedding_from == "data set"
            else "made while evaluating"
        )
        parts.append(
            f"embedding {embedding['network']}, {embedding['weights']} weights "
            f"{embedding['sha256'][:12]}, {origin}"
        )
    parts.append(f"SHA-256 {source.sha256}")
    return "; ".join(filter(None, parts))


def _definitions(entries):
    return (
        "<dl>"
        + "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in entries.items()
        )
        + "</dl>"
    )
