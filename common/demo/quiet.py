"""Gradio, which is optional, with everything of it off that calls home."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from common.cli import UserError

# Read by Gradio and by what it imports, when they are imported.
OFF = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # the look-up of newer versions too
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "*",  # or it would ask a proxy for the page's own address
    "no_proxy": "*",
}


def gradio(folder: Path) -> Any:
    """The module `gradio`, with its files in `folder`; `UserError` where it is not installed.

    Other settings of Gradio in the environment, as GRADIO_SHARE, are taken out of it.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "The page needs Gradio, which is not installed: make setup DEMO=1, or "
            "pip install 'colorization[demo]'."
        )
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    places = {"GRADIO_TEMP_DIR": str(folder), "GRADIO_EXAMPLES_CACHE": str(folder)}
    os.environ.update(OFF | places)
    import gradio

    return gradio
