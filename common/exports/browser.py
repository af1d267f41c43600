"""A folder that is a page which colours photos in the browser, by onnxruntime-web.

The page's own files are in `page/`. onnxruntime-web (MIT) is fetched from npm once, under a pinned
SHA-256, and lies beside them: the page requests nothing from elsewhere, and photos stay in it.
"""

import importlib.resources
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from common import files
from common.cli import UserError, first_line
from common.color import bins
from common.color.dial import Dial
from common.exports import export
from common.exports.onnx_network import OnnxNetwork

VERSION = "1.30.0"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def write(
    source: export.Source,
    out: Path,
    numbers: str = "float32",
    calibrate: Path | None = None,
    archive: Path | None = None,
) -> None:
    """Write the page, with a model, into the folder `out`; files of the page are replaced.

    numbers, calibrate: as `export.to_onnx` takes them. archive: onnxruntime-web as npm packs it,
    brought from elsewhere. `UserError` before anything is written.
    """
    if source.embedder is not None:
        raise UserError(
            f"The page has no embedding network, which {source.path} needs. Take a model without "
            "one, such as wombat."
        )
    if source.metadata.get("cut") == "letterbox":
        raise UserError(f"The page cuts no letterbox, as {source.path} needs. Take another model.")
    if out.exists() and not out.is_dir():
        raise UserError(f"OUT={out} is a file. It is the folder of the page.")
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "page"
        page = importlib.resources.files("common.exports") / "page"
        with importlib.resources.as_file(page) as folder:
            shutil.copytree(folder, made)
        (made / "ort").mkdir()
        stamp = out / "ort" / "version"  # what is there is not fetched again
        if archive or not stamp.is_file() or stamp.read_text() != VERSION:
            _unpack(archive or _fetched(Path(temporary)), made / "ort")
            (made / "ort" / "version").write_text(VERSION)
        export.to_onnx(source, made / "model.onnx", numbers, calibrate)
        files.write_json(made / "model.json", _about(source, made / "model.onnx"))
        for path in sorted(made.rglob("*")):
            if path.is_file():
                with files.replacing(out / path.relative_to(made)) as target:
                    shutil.copyfile(path, target)


def _about(source, path):
    """What the page has to know of its model."""
    network = OnnxNetwork(path)
    dial = source.metadata.get("dial") if network.has_logits else None
    if dial:
        Dial.of_json(dial)
    return {
        "name": source.path.stem,
        "size": source.size,
        "output": network.small,
        "dial": dial,
        "centres": bins.CENTRES.tolist() if dial else [],
    }


def _fetched(folder: Path) -> Path:
    """The archive, brought by npm, which runs nothing of it."""
    if not shutil.which("npm"):
        raise UserError(
            "The page needs npm, which is not installed (Debian: `apt install npm`), or the "
            f"package brought from elsewhere: ARCHIVE={ARCHIVE}."
        )
    print(f"Fetching onnxruntime-web {VERSION} (33 MB) from npm ...", file=sys.stderr, flush=True)
    npm = subprocess.run(
        ["npm", "pack", f"onnxruntime-web@{VERSION}", "--silent", f"--pack-destination={folder}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if npm.returncode or not (folder / ARCHIVE).is_file():
        reason = first_line(ValueError(npm.stderr.strip() or "no answer"))
        raise UserError(
            f"npm cannot fetch onnxruntime-web ({reason}). Check the network or npm's registry, or "
            f"name the package, brought from elsewhere: ARCHIVE={ARCHIVE}."
        )
    return folder / ARCHIVE


def _unpack(archive: Path, target: Path) -> None:
    """Write the files of `RUNTIME` of an archive whose SHA-256 is the pinned one."""
    if not archive.is_file():
        raise UserError(f"There is no file {archive}. ARCHIVE= is {ARCHIVE}, as `npm pack` writes.")
    if files.sha256(archive) != SHA256:
        raise UserError(f"{archive} is not {ARCHIVE} (its SHA-256 is not {SHA256[:12]}...).")
    with tarfile.open(archive) as members:
        for name in RUNTIME:
            member = members.extractfile(f"package/dist/{name}")
            assert member is not None
            (target / name).write_bytes(member.read())
