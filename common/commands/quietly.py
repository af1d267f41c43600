"""Run a command without TensorFlow's greetings.

    python -m common.commands.quietly koala.train --help

TensorFlow writes lines about oneDNN and CUDA to standard error while it is imported, past any
setting of its own. Here it is imported first, with standard error put aside, so that what a
command says stands alone; if the import fails, all that was said is shown.
"""

import importlib
import logging
import os
import runpy
import sys
import tempfile


def main():
    """Import Keras quietly, then run the module that the command line names."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.argv = sys.argv[1:]
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            importlib.import_module("keras")
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    # It warns of new picture sizes, which cost a moment here and are meant.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
