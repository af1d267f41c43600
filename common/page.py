"""What an evaluation looks like: a table in the terminal, rows for a CSV, a page in one file.

All of it is made from the report of `evaluate.evaluate`. The page opens from disk, asks for
nothing from anywhere (its Content-Security-Policy says so) and runs no script.
"""

import base64
from html import escape

from common import metrics
from common.compare import DELTA

SPOKEN = ("psnr_rgb", "ciede2000")  # the metrics that pairs are compared by in words
RUNS_ONLY = "Sample photos show that everything runs, not how well a model colours."


# --- what both tables say ---------------------------------------------------------------------


def _columns(report, brief=False):
    """The keys of a table's columns: a metric's, and that of its difference from the truth."""
    for key in report["protocol"]["metrics"]:
        if metrics.METRICS[key].brief or not brief:
            yield key
            if key in metrics.OF_TRUTH:
                yield key + DELTA


def _title(report, key):
    """A column's title, which may name a network."""
    return report["protocol"]["metrics"][key]["title"]


def _cell(row, key):
    """The text of a figure; "inf" if every picture is equal to its truth, "-" if undefined.

    A metric of a network that is not at hand says what it lacks.
    """
    if key.endswith(DELTA):
        return f"{row[key]:+.2f}"
    found = row["metrics"][key]
    if found["mean"] is None:
        return found.get("lacks") or ("inf" if found["infinite"] else "-")
    return f"{found['mean']:.{metrics.METRICS[key].digits}f}"


def _interval(row, key):
    """"low..high" of a figure with the figure's digits, "" where there is none.

    Of a mean over subsets, their standard deviation.
    """
    found = row[f"{key}_interval"] if key.endswith(DELTA) else row["metrics"][key]["interval"]
    form = "+.2f" if key.endswith(DELTA) else f".{metrics.METRICS[key].digits}f"
    if not key.endswith(DELTA) and "deviation" in row["metrics"][key]:
        return f"±{row['metrics'][key]['deviation']:{form}}"
    return "" if found is None else f"{found[0]:{form}}..{found[1]:{form}}"


def _count(row, key, pictures):
    """"n=7" where a figure is a mean of fewer than all pictures, else ""."""
    found = row["metrics"][key.removesuffix(DELTA)]
    return "" if found["n"] == pictures or "lacks" in found else f"n={found['n']}"


def _pictures(row):
    """How many pictures each of the row's means is over: "32", or "31 to 32" where they differ."""
    counts = sorted({found["n"] for found in row["metrics"].values() if "lacks" not in found})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _remarks(row, count):
    """What must be known beside a row's figures."""
    remarks = []
    if row["seen"]:
        remarks.append(f"seen {row['seen']} of {count} in training")
    elif row["seen"] is None:
        remarks.append("training files unknown")
    if counts := row.get("counts"):
        remarks.append("pictures: " + ", ".join(
            f"{number} {'of other names' if kind == 'others' else kind}"
            for kind, number in counts.items() if number))
    if embedding := row.get("embedding"):
        remarks.append(f"embedding {embedding['network']}, {_weights(embedding)}")
    if among := row.get("among"):
        remarks.append(f"among {among} training pictures")
    for encoder in row.get("metadata", {}).get("pretrained", {}).values():
        remarks.append(f"encoder {encoder['network']}, {_weights(encoder)}")
    if distance := row.get("metadata", {}).get("distance"):
        remarks.append(f"loss {distance['name']}")
    if row["name"] == "mean colour":
        a, b = row["ab"]
        remarks.append(f"ab = ({a:.1f}, {b:.1f})")
    return remarks


def _weights(network):
    kind = "RANDOM" if network["weights"] == "random" else network["weights"]
    return f"{kind} weights"


def _notes(report):
    """Sentences under the table: who is better than whom, and what to beware of."""
    notes = [_pair_in_words(pair) for pair in _told(report)]
    truth = report["truth"]["metrics"]["colourfulness"]["mean"]
    notes.append(f"The true pictures' colourfulness is {truth:.2f}.")
    infinite = max(row["metrics"]["psnr_rgb"]["infinite"] for row in report["rows"])
    if infinite:
        notes.append(f"Up to {infinite} predictions equal the truth in every pixel (grey pictures "
                     "do): their infinite PSNR is in no mean.")
    notes += report["notes"]
    if report["data"]["name"] == "samples":
        notes.append(RUNS_ONLY)
    return notes


def _told(report):
    """The pairs that are put in words: those with the reference, else those of models."""
    kinds = {row["name"]: row["kind"] for row in report["rows"]}
    if report["against"] is not None:
        return report["pairs"]
    return [pair for pair in report["pairs"] if kinds[pair["name"]] != "baseline"
            and pair["against"] != "grey"]


def _pair_in_words(pair):
    """"ours against theirs: better by PSNR RGB, +0.62 dB (+0.50..+0.75, wins 310 of 378); ..."."""
    told = [f"{found['verdict']} by {metrics.METRICS[key].title}, {_difference(key, found)}"
            for key, found in pair["metrics"].items()
            if key in SPOKEN and found["mean"] is not None]
    words = f"{pair['name']} against {pair['against']}: {'; '.join(told) or 'undefined'}."
    psnr = pair["metrics"]["psnr_rgb"]
    if pair["against"] == "mean colour" and psnr["verdict"] != "better":
        words += " It has learned nothing that shows in PSNR."
    return words


def _difference(key, found):
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
    return ((f"{preset['name']}: " if preset else "")
            + f"{data['name']}, {data['split']} split: {data['pictures']}{some} pictures at "
            f"{data['image_size']} x {data['image_size']}")


# --- the terminal -----------------------------------------------------------------------------


def table(report):
    """The report's main columns as aligned text; `*` marks the best of a column."""
    columns = list(_columns(report, brief=True))
    titles = ["delta" if key.endswith(DELTA) else _title(report, key) for key in columns]
    lines = [["", *titles, "pictures", ""]]
    pictures = report["data"]["pictures"]
    for row in report["rows"]:
        cells = [_cell(row, key) + ("*" if key in row["best"] else "") for key in columns]
        remarks = "; ".join(_remarks(row, pictures))
        lines.append([row["name"], *cells, _pictures(row), remarks])
        for below in ([_interval(row, key) for key in columns],
                      [_count(row, key, pictures) for key in columns]):
            if any(below):
                lines.append(["", *below, "", ""])
    # Digits stand below digits: only a star goes beyond the column.
    lines = [[cell if cell.endswith("*") or not 0 < i <= len(columns) else cell + " "
              for i, cell in enumerate(line)] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join([line[0].ljust(widths[0])]
                  + [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1],
                                                              strict=True)]
                  + [line[-1]]).rstrip()
        for line in lines]
    return "\n".join([_heading(report), "", *aligned, "", *_notes(report),
                      f"Below each mean: {report['protocol']['interval']}.",
                      f"* best {report['protocol']['best']}."])


# --- the CSV ----------------------------------------------------------------------------------


def csv_rows(report):
    """A header and a row a method: what it is, then mean and count of every metric."""
    # Means over subsets have a deviation in place of an interval.
    spread = [key for key in report["protocol"]["metrics"]
              if any("deviation" in row["metrics"][key] for row in report["rows"])]
    yield ["data", "split", "pictures", "name", "kind", "image_size", "cut", "embedding",
           "embedding_weights", "seen", "sha256",
           *(f"{key}{suffix}" for key in report["protocol"]["metrics"]
             for suffix in ("", "_n", "_low", "_high")),
           *(f"{key}{DELTA}{suffix}" for key in metrics.OF_TRUTH
             for suffix in ("", "_low", "_high")), *(f"{key}_deviation" for key in spread)]
    data = report["data"]
    for row in report["rows"]:
        embedding = row.get("embedding") or {}
        figures = [value for key in report["protocol"]["metrics"]
                   for found in [row["metrics"][key]]
                   for value in (found["mean"], found["n"], *(found["interval"] or (None, None)))]
        figures += [value for key in metrics.OF_TRUTH
                    for value in (row[key + DELTA],
                                  *(row[f"{key}{DELTA}_interval"] or (None, None)))]
        figures += [row["metrics"][key].get("deviation") for key in spread]
        yield [data["name"], data["split"], data["pictures"], row["name"], row["kind"],
               row.get("image_size"), row.get("cut"), embedding.get("network"),
               embedding.get("weights"), row["seen"], row.get("sha256"), *figures]


# --- the page ---------------------------------------------------------------------------------

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fafaf9; --raised: #fff; --ink: #1c1c1b; --quiet: #5f605e; --line: #dcdcd9;
  --accent: #2f6650; --warn: #8a4b08; --warn-line: #e2c49c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161716; --raised: #1e1f1e; --ink: #e9e9e7; --quiet: #a3a5a1; --line: #343633;
    --accent: #8fc9ad; --warn: #e9b872; --warn-line: #5d4a2c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 78rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.15; margin: 0; font-weight: 650;
     letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; font-weight: 650; }
h3 { font-size: .875rem; margin: 0 0 .4rem; font-weight: 500; color: var(--quiet);
     overflow-wrap: anywhere; }
p, ul { max-width: 44rem; margin: .75rem 0; }
ul { padding-left: 1.1rem; }
.what { color: var(--accent); font-size: .8125rem; font-weight: 600; letter-spacing: .06em;
        text-transform: uppercase; margin: 0 0 .4rem; }
.lead { color: var(--quiet); font-size: 1.0625rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem;
          background: var(--raised); }
.scroll:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem;
        font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .7rem 1rem; color: var(--quiet); font-size: .875rem;
          border-bottom: 1px solid var(--line); }
caption span { position: sticky; left: 1rem; display: inline-block;
               max-width: calc(100vw - 4.5rem); }
th, td { padding: .6rem .75rem; text-align: right; white-space: nowrap; vertical-align: top; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--line); vertical-align: bottom; font-size: .8125rem; }
thead small { display: block; color: var(--quiet); font-weight: 400; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
.figures th:first-child { position: sticky; left: 0; z-index: 1; background: var(--raised);
                          text-align: left; white-space: normal; min-width: 14rem;
                          overflow-wrap: anywhere; }
tr.baseline th, tr.truth th { font-weight: 400; }
tr.baseline td, tr.truth td { color: var(--quiet); }
td { position: relative; }
td strong { color: var(--accent); font-weight: 700; }
td strong::after { content: "\\2605"; position: absolute; right: .15rem; font-size: .65em;
                   line-height: 2.4; }
.remark { display: block; font-size: .75rem; font-weight: 400; color: var(--quiet);
          line-height: 1.4; }
.remark.beware { color: var(--warn); font-weight: 600; }
.words td, .words th { text-align: left; white-space: normal; }
.words td { color: var(--quiet); }
.words code { overflow-wrap: anywhere; }
code { font: .85em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.gallery { list-style: none; padding: 0; max-width: none; display: grid; gap: 2rem 2.5rem;
           grid-template-columns: repeat(auto-fill,
             minmax(min(100%, calc(var(--columns) * 9.5rem)), 1fr)); }
.row { display: grid; gap: .4rem;
       grid-template-columns: repeat(auto-fit, minmax(min(8rem, 30%), 1fr)); }
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; height: auto; border-radius: .25rem; background: #8884; }
img[src^="data:image/png"] { image-rendering: pixelated; } /* small pictures, shown larger */
figcaption { font-size: .8125rem; line-height: 1.35; padding-top: .3rem; overflow-wrap: anywhere; }
figcaption span { color: var(--quiet); font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(7rem, 11rem) 1fr; gap: .45rem 1.25rem;
     margin: 1rem 0; max-width: 60rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
          white-space: nowrap; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
         color: var(--quiet); font-size: .875rem; }
a { color: var(--accent); }
@media (max-width: 36rem) {
  body { padding-top: 1.5rem; }
  th, td { padding: .5rem .8rem; }
  .figures th:first-child { min-width: 9.5rem; max-width: 9.5rem; padding-left: .75rem;
                            font-size: .8125rem; }
  .words { min-width: 38rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .6rem; }
}
@media print { .scroll { overflow: visible; } .gallery li { break-inside: avoid; } }
"""

BETTER = {"higher": "higher is better", "lower": "lower is better", "truth": "as the truth's"}


def html(report, gallery):
    """The whole page. gallery: a list of {"name", "columns": [(label, PSNR or None, file)]}.

    A file is (MIME type, bytes); PSNR is a number, or "inf".
    """
    data = report["data"]
    title = f"{data['name']}, {data['split']} split"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>Evaluation: {escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<p class="what">Colorization, evaluated</p>
<h1>{escape(title)}</h1>
<p class="lead">{escape(_lead(report))}</p>
</header>
<main>
<section aria-labelledby="figures">
<h2 id="figures">Figures</h2>
{_figures(report)}
<ul>{"".join(f"<li>{escape(note.replace(': -', ': −'))}</li>" for note in _notes(report))}</ul>
</section>
{_comparisons(report)}
{_left_out(report)}
<section aria-labelledby="pictures">
<h2 id="pictures">Pictures</h2>
<p>{len(gallery)} of {data['pictures']}, spread evenly over the split, none chosen by eye. The
number under a picture is its PSNR on RGB in dB.</p>
{_gallery(gallery)}
</section>
<section aria-labelledby="protocol">
<h2 id="protocol">Protocol</h2>
{_protocol(report)}
</section>
<section aria-labelledby="provenance">
<h2 id="provenance">Provenance</h2>
{_provenance(report)}
</section>
</main>
<footer>Made {escape(report['created'])}. Every picture's own values are in
<a href="metrics.json">metrics.json</a>, the table is in <a href="metrics.csv">metrics.csv</a>.
</footer>
</body>
</html>
"""


def _lead(report):
    data = report["data"]
    count = len([row for row in report["rows"] if row["kind"] != "baseline"])
    models = {0: "No model", 1: "One model"}.get(count, f"{count} models")
    some = "" if data["pictures"] == data["of"] else f" of {data['of']}"
    size = f"{data['image_size']} × {data['image_size']}".replace(" ", "\N{NO-BREAK SPACE}")
    return (f"{models} and the baselines on {data['pictures']}{some} pictures at {size}, with the "
            "true lightness.")


def _figures(report):
    heads = ['<th scope="col">Method</th>']
    columns = list(_columns(report))
    for key in columns:
        if key.endswith(DELTA):
            heads.append('<th scope="col">Δ<small>closer to 0 is better</small></th>')
            continue
        metric = metrics.METRICS[key]
        small = ", ".join(filter(None, (metric.unit, BETTER[metric.better])))
        heads.append(f'<th scope="col">{escape(_title(report, key))}'
                     f"<small>{small}</small></th>")
    heads.append('<th scope="col">n<small>pictures</small></th>')
    body, pictures = [], report["data"]["pictures"]
    for row in report["rows"]:
        remarks = "".join(
            f'<span class="remark{" beware" if _is_warning(remark) else ""}">{escape(remark)}'
            "</span>" for remark in _remarks(row, pictures))
        cells = "".join(f"<td>{_marked(row, key)}{_below(row, key, pictures)}</td>"
                        for key in columns)
        body.append(f'<tr class="{row["kind"]}"><th scope="row">{escape(row["name"])}{remarks}'
                    f"</th>{cells}<td>{_pictures(row)}</td></tr>")
    truth = report["truth"]["metrics"]
    cells = "".join(f"<td>{truth[key]['mean']:.2f}{_below(report['truth'], key, pictures)}</td>"
                    if key in truth
                    else '<td aria-label="not applicable"></td>' for key in columns)
    body.append(f'<tr class="truth"><th scope="row">true pictures</th>{cells}'
                f'<td>{truth["colourfulness"]["n"]}</td></tr>')
    interval = report["protocol"]["interval"]
    return f"""<div class="scroll" role="region" aria-labelledby="figures" tabindex="0">
<table class="figures">
<caption><span>Means over pictures, and below each its interval, {escape(interval)}. A star marks
the best
{escape(report['protocol']['best'])}.</span></caption>
<thead><tr>{"".join(heads)}</tr></thead>
<tbody>
{chr(10).join(body)}
</tbody>
</table>
</div>"""


def _below(row, key, pictures):
    lines = _interval(row, key).replace("-", "−").replace("..", " to "), _count(row, key, pictures)
    return "".join(f'<span class="remark">{line}</span>' for line in lines if line)


def _is_warning(remark):
    return remark.startswith("seen") or "RANDOM" in remark or " missing" in remark


def _marked(row, key):
    text = _cell(row, key).replace("-", "−").replace("inf", "∞")
    best = '<strong>{}<span class="hidden"> best</span></strong>'
    return best.format(text) if key in row["best"] else text


def _comparisons(report):
    if not report["pairs"]:
        return ""
    keys = [key for key in report["pairs"][0]["metrics"] if metrics.METRICS[key].brief]
    heads = "".join(f'<th scope="col">{escape(_title(report, key))}</th>' for key in keys)
    body = []
    for pair in report["pairs"]:
        cells = "".join(f"<td>{_compared(key, pair['metrics'][key])}</td>" for key in keys)
        body.append(f'<tr><th scope="row">{escape(pair["name"])}<span class="remark">against '
                    f'{escape(pair["against"])}</span></th>{cells}</tr>')
    return f"""<section aria-labelledby="comparisons">
<h2 id="comparisons">Comparisons</h2>
<p>{escape(report["protocol"]["pairs"].capitalize())}. Every metric is in metrics.json.</p>
<div class="scroll" role="region" aria-labelledby="comparisons" tabindex="0">
<table class="figures">
<thead><tr><th scope="col">Pair</th>{heads}</tr></thead>
<tbody>
{chr(10).join(body)}
</tbody>
</table>
</div>
</section>"""


def _compared(key, found):
    if found["mean"] is None:
        return "-"
    difference, rest = _difference(key, found).replace("-", "−").split(" (")
    lines = found["verdict"], *rest.removesuffix(")").replace("..", " to ").split(", ")
    return difference + "".join(f'<span class="remark">{line}</span>' for line in lines)


def _left_out(report):
    if not report["failed"]:
        return ""
    items = "".join(f"<li>{escape(failure['reason'])}</li>" for failure in report["failed"])
    return f"""<section aria-labelledby="left-out">
<h2 id="left-out">Left out</h2>
<ul>{items}</ul>
</section>"""


def _gallery(gallery):
    if not gallery:
        return ""
    items = []
    for picture in gallery:
        figures = "".join(_figure(picture["name"], *column) for column in picture["columns"])
        items.append(f'<li><h3>{escape(picture["name"])}</h3><div class="row">{figures}</div></li>')
    return (f'<ol class="gallery" style="--columns: {len(gallery[0]["columns"])}">\n'
            + "\n".join(items) + "\n</ol>")


def _figure(name, label, psnr, file):
    mime, data = file
    number = "" if psnr is None else f" <span>{'∞' if psnr == 'inf' else f'{psnr:.1f}'}</span>"
    return (f'<figure><img src="data:{mime};base64,{base64.b64encode(data).decode()}" '
            f'alt="{escape(name)}, {escape(label)}">'
            f"<figcaption>{escape(label)}{number}</figcaption></figure>")


def _protocol(report):
    protocol, data = report["protocol"], report["data"]
    preset = protocol["preset"]
    entries = {
        "Preset": preset and f"{preset['name']}: {preset['chosen']}",
        "Pictures": f"{data['pictures']} of the {data['of']} in the {data['split']} split of "
                    f"{data['name']}, {data['image_size']} × {data['image_size']}, cut "
                    f"“{data['cut']}”",
        "Lightness": protocol["lightness"], "Prediction": protocol["prediction"],
        "RGB": protocol["rgb"], "ab": protocol["ab"], "Lab": protocol["lab"],
        "Mean": protocol["mean"], "Interval": protocol["interval"],
        "Pictures of others": protocol["predictions"],
        "Balanced": protocol.get("balanced"), "Nearest neighbour": protocol.get("neighbour"),
        "Δ": protocol["delta"],
        "Arithmetic": f"{protocol['precision']}, batches of {protocol['batch_size']}",
    }
    entries = {name: text for name, text in entries.items() if text is not None}
    rows = []
    for metric in protocol["metrics"].values():
        switches = ", ".join(f"{name}={value}" for name, value in metric["switches"].items())
        rows.append(f'<tr><th scope="row">{escape(metric["title"])}</th>'
                    f"<td>{escape(metric['definition'])}</td><td><code>{escape(switches)}</code></td></tr>")
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
    data = report["data"]
    entries = {
        "Split": f"SHA-256 {data['split_sha256']}",
        "Pictures": f"SHA-256 {data['pictures_sha256']}, over their files' in stored order",
        "Versions": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    }
    if report["commit"]:
        entries["Commit"] = report["commit"]
    for row in report["rows"]:
        if row["kind"] == "model":
            entries[row["name"]] = _about(row)
        elif row["kind"] == "predictions":
            entries[row["name"]] = f"pictures in {row['folder']}"
    return _definitions(entries)


def _about(row):
    metadata = row["metadata"]
    data = metadata.get("data", {})
    parts = [
        row["file"],
        f"trained on {data['name']}" if data.get("name") else "",
        f"split {data['split_sha256'][:12]}" if data.get("split_sha256") else "",
        f"config {metadata['config_name']}" if metadata.get("config_name") else "",
        f"works at {row['image_size']} × {row['image_size']}, cut “{row['cut']}”",
    ]
    if embedding := row["embedding"]:
        source = ("stored with the data set" if row["embedding_from"] == "data set"
                  else "made while evaluating")
        parts.append(f"embedding {embedding['network']}, {embedding['weights']} weights "
                     f"{embedding['sha256'][:12]}, {source}")
    parts.append(f"SHA-256 {row['sha256']}")
    return "; ".join(filter(None, parts))


def _definitions(entries):
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>"
                            for name, text in entries.items()) + "</dl>"
