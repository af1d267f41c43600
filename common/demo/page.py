"""The controls and pictures of the page, and what they do."""

import dataclasses
import html
import importlib.resources
import secrets
import sys
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.cli import UserError, one_line
from common.color.dial import Dial
from common.colorize import dials, refine
from common.colorize.settings import Settings
from common.demo import examples
from common.demo.studio import Outcome, Studio
from common.networks import metadata, model_names

TITLE = "Colour grey photos"
NO_TINT = "none"
AT_A_TIME, WAITING = 50, 20  # photos of one go; goes that wait
_KEPT, _OFTEN = 24 * 3600, 600  # seconds that files are kept, and between two looks
_WAYS = {  # what `refine.WAYS` mean, in a word or two
    "none": "none",
    "guided": "along edges",
    "tv": "smoother",
    "crf": "by likeness, slow",
}
_BORDERS = {"colour": "coloured too", "keep": "kept as it is"}


def models(how: Settings) -> dict[str, Settings]:
    """{name: settings} of every model to choose from, the given one first; `UserError` as of it."""
    paths = {path.stem: path for path in model_names.available(model_names.shipped())}
    paths |= {path.stem: path for path in model_names.available()}
    given = how.path
    known = [name for name, path in paths.items() if path == given]
    first = known[0] if known else given.name
    return {
        name: dataclasses.replace(how, model=path)
        for name, path in {first: given, **{n: p for n, p in paths.items() if n != first}}.items()
    }


def dial(path: Path) -> Dial | None:
    """The dial of a model from faithful to vivid, None where it has none; `UserError`."""
    if path.suffix.lower() == ".onnx":
        from common.exports.onnx_network import OnnxNetwork

        about = OnnxNetwork(path).metadata
    else:
        about = metadata.of_h5(path)
    return Dial.of_json(about["dial"]) if about.get("dial") else None


def look(gradio: Any) -> dict[str, Any]:
    """What `launch` takes of how the page looks: the system's fonts, nothing from elsewhere."""
    theme = gradio.themes.Base(
        primary_hue="emerald",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    theme = theme.set(  # dark enough to be read
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )
    return {"theme": theme, "css": _text("page.css"), "head": _text("page.html")}


def _text(name):
    return importlib.resources.files("common.demo").joinpath(name).read_text(encoding="utf-8")


def build(
    gradio: Any, studio: Studio, folder: Path, choices: dict[str, Settings], local: bool
) -> Any:
    """The page, Gradio's `Blocks`; its files lie in `folder`.

    choices: as `models` returns them. local: whether this machine alone can open the page.
    """
    gr = gradio
    first = next(iter(choices.values()))
    actions = _Actions(gr, studio, folder, choices)
    where = "on this machine" if local else "on the machine that serves this page"
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_OFTEN, _KEPT)) as blocks:
        gr.Markdown(
            f"# {TITLE}\nPhotos stay {where}, and colours are a guess of the model. "
            "What you download has the photo's size, depth and metadata.",
            elem_id="head",
        )
        with gr.Row(elem_id="both"):
            with gr.Column(min_width=300):
                photos = gr.File(
                    label="Photos",
                    file_count="multiple",
                    height=170,
                    elem_id="photos",
                )
                with gr.Row(elem_id="examples"):
                    samples = {
                        title: (gr.Button(title, size="sm", min_width=60), path)
                        for title, path in examples.write(folder / "examples").items()
                    }
                model = gr.Dropdown(
                    list(choices), label="Model", visible=len(choices) > 1, elem_id="model"
                )
                dialled = _dialled(first)
                if first.vivid is not None and dialled["visible"]:
                    dialled["value"] = first.vivid
                vivid = gr.Slider(
                    *dials.VIVID,
                    step=0.05,
                    label="Vividness, from faithful to vivid",
                    elem_id="vivid",
                    buttons=[],
                    **dialled,
                )
                tints = {name: name for name in (NO_TINT, *dials.TINTS)}
                given = NO_TINT
                if first.tint is not None:
                    given = next(
                        (name for name, tint in dials.TINTS.items() if tint == first.tint),
                        "{:g},{:g}".format(*first.tint),
                    )
                    tints[given] = given
                tint = gr.Radio(list(tints), value=given, label="Tint", elem_id="tint")
                with gr.Accordion("More", open=False, elem_id="more"):
                    way = gr.Radio(
                        [(_WAYS[each], each) for each in refine.WAYS],
                        value=first.refine,
                        label="Refinement of colours",
                    )
                    clean = gr.Checkbox(
                        first.clean, label="Take an old print's tint off first (sepia, yellowing)"
                    )
                    border = gr.Radio(
                        [(_BORDERS[each], each) for each in dials.BORDERS],
                        value=first.border,
                        label="Paper around a scanned print",
                    )
                run = gr.Button("Colour", variant="primary", elem_id="run")
            with gr.Column(scale=2, min_width=300):
                said = gr.Markdown(_said([]), elem_id="said", latex_delimiters=[])
                shown = gr.Radio([], label="Photo", visible=False, elem_id="shown")
                slider = gr.ImageSlider(
                    label="Before and after",
                    type="filepath",
                    interactive=False,
                    buttons=["fullscreen"],
                    max_height=620,
                    elem_id="slider",
                )
                share = gr.Slider(
                    0,
                    100,
                    value=50,
                    step=1,
                    label="Boundary of before and after, in percent",
                    visible=False,
                    buttons=[],
                    elem_id="share",
                )
                one = gr.DownloadButton("Download", visible=False, elem_id="one")
                several = gr.DownloadButton("Download all, zipped", visible=False, elem_id="all")
        done = gr.State([])
        controls = [photos, model, vivid, tint, way, clean, border]
        results = [done, said, shown, slider, share, one, several, run]
        go = {
            "fn": actions.colour,
            "inputs": controls,
            "outputs": results,
            "concurrency_limit": 1,
            "concurrency_id": "colouring",
            "api_visibility": "private",
            "show_progress": "minimal",
            "show_progress_on": [run],
        }
        private = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        run.click(**go)
        photos.upload(**go)
        for button, path in samples.values():
            button.click(lambda path=str(path): [path], outputs=photos, **private).then(**go)
        model.change(lambda name: gr.Slider(**actions.vivid(name)), model, vivid, **private)
        shown.input(actions.show, [done, shown], [slider, one], **private)
        # The slider over the pictures is for a hand; this one takes the keyboard.
        share.input(
            lambda percent: gr.ImageSlider(slider_position=percent),
            share,
            slider,
            trigger_mode="always_last",
            **private,
        )
    return blocks.queue(max_size=WAITING, api_open=False)


def _dialled(how):
    found = dial(how.path)
    return {"value": found.default if found else 0.0, "visible": found is not None}


class _Actions:
    """What the controls call."""

    def __init__(self, gr, studio, folder, choices):
        self._gr, self._studio, self._folder, self._choices = gr, studio, folder, choices

    def vivid(self, name: str) -> dict[str, Any]:
        """Of a model's slider: where it is, and whether there is one."""
        try:
            return _dialled(self._choices[name])
        except UserError:  # it is said when it is to colour
            return {"visible": False}

    def settings(self, model, vivid, tint, way, clean, border) -> Settings:
        """The settings that the controls say; `UserError`."""
        how = self._choices[model]
        found = dial(how.path)
        return dataclasses.replace(
            how,
            # Where the model's own is chosen, its own layers decode, as without VIVID=.
            vivid=vivid if found and vivid != found.default else None,
            tint=None if tint == NO_TINT else dials.parse_tint(tint),
            refine=way,
            clean=clean,
            border=border,
        )

    def colour(self, paths: list[str] | None, *controls: Any) -> Iterator[tuple]:
        """Colour photos one by one, and show each; yields the values of the results."""
        outcomes: list[Outcome] = []
        count = len(paths or [])
        try:
            if not paths:
                raise UserError("There is no photo yet. Drop one, or take an example.")
            if count > AT_A_TIME:
                raise UserError(
                    f"At most {AT_A_TIME} photos at a time. Received: {count}. For whole folders "
                    "there is make colorize."
                )
            how = self.settings(*controls)
            for index, path in enumerate(paths, start=1):
                yield self._values(outcomes, f"Colouring {index} of {count} ...", busy=True)
                out = self._folder / "results" / secrets.token_hex(8)
                outcomes.append(self._studio.colour(Path(path), how, out))
            yield self._values(outcomes, archive=self._archive(outcomes))
        except UserError as error:
            yield self._values(outcomes, error=one_line(error))
        except Exception:
            traceback.print_exc(file=sys.stderr)
            yield self._values(
                outcomes, error="This is a defect of the program; its terminal says more."
            )

    def show(self, outcomes: list[Outcome], index: int) -> tuple:
        """The pictures and the download of one of several photos."""
        outcome = outcomes[index]
        return (str(outcome.before), str(outcome.after)), self._download(outcome)

    def _values(self, outcomes, status="", error="", busy=False, archive=None):
        """Those of `results`: of what is coloured so far, the last photo is shown."""
        gr = self._gr
        coloured = [index for index, each in enumerate(outcomes) if each.path]
        last = outcomes[coloured[-1]] if coloured else None
        names = [(outcomes[index].name, index) for index in coloured]
        return (
            outcomes,
            _said(outcomes, status, error),
            gr.Radio(names, value=coloured[-1] if coloured else None, visible=len(names) > 1),
            (str(last.before), str(last.after)) if last else None,
            gr.Slider(visible=last is not None),
            self._download(last),
            gr.DownloadButton(value=archive, visible=archive is not None),
            gr.Button(interactive=not busy),
        )

    def _download(self, outcome):
        if outcome is None:
            return self._gr.DownloadButton(visible=False)
        return self._gr.DownloadButton(
            f"Download {outcome.path.name}", value=str(outcome.path), visible=True
        )

    def _archive(self, outcomes):
        """The path of a ZIP with several results, each under a name of its own; else None."""
        paths = [outcome.path for outcome in outcomes if outcome.path]
        if len(paths) < 2:
            return None
        folder = self._folder / "results" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        taken: set[str] = set()
        with zipfile.ZipFile(folder / "coloured.zip", "w") as archive:  # they are compressed
            for path in paths:
                name, count = path.name, 1
                while name.lower() in taken:
                    count += 1
                    name = f"{path.stem}-{count}{path.suffix}"
                taken.add(name.lower())
                archive.write(path, name)
        return str(folder / "coloured.zip")


def _said(outcomes: Sequence[Outcome], status: str = "", error: str = "") -> str:
    """What is said of photos, as HTML: of each in one line, what strangers' files say escaped."""
    lines = []
    for outcome in outcomes:
        failed = outcome.path is None
        text = f"{outcome.name}: {outcome.said}" if outcome.said else outcome.name
        lines.append(
            f'<li class="{"failed" if failed else "coloured"}">{html.escape(one_line(text))}</li>'
        )
    parts = [f"<ul>{''.join(lines)}</ul>" if lines else ""]
    if status:
        parts.append(f"<p>{html.escape(status)}</p>")
    if error:
        parts.append(f'<p class="failed" role="alert">{html.escape(error)}</p>')
    return f'<div role="status">{"".join(parts)}</div>'
