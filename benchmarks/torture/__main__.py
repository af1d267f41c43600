"""Kill every stage of the work at random moments, start it again, and compare the results.

    make torture                       # 20 kills a stage
    make torture KILLS=5 SEED=1 ONLY=training

Each trial begins from the same state, starts a command, kills it (SIGKILL) once or twice, starts it
again until it ends, and compares what is there then with an undisturbed run: shards, features and
pictures byte by byte, weights and losses number by number. Half of the kills come after a random
time, half before a random one of the file operations that the process performs: opening to write,
renaming, removing, making a folder, locking. The pictures are drawn, the networks a few hundred
parameters; the code between them is what every command runs.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import cli
from common.networks import backend


def main(argv: list[str] | None = None) -> int:
    """Print a table of the kills of each stage; 1 where a result differs."""
    stages = backend.imported("benchmarks.torture.stages")
    parser = cli.Parser("python -m benchmarks.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=cli.at_least(1), default=20, help="of each stage")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument("--only", action="append", choices=[stage.name for stage in stages.STAGES])
    args = parser.parse_args(argv)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a GPU may not add in the same order twice
    print(f"| stage | kills | restarts | {' | '.join(stages.COUNTED)} | seconds |")
    print("|---|--:|--:|" + "--:|" * (len(stages.COUNTED) + 1))
    failed = False
    with tempfile.TemporaryDirectory() as home:
        for number, stage in enumerate(stages.STAGES):
            if args.only and stage.name not in args.only:
                continue
            rng = np.random.default_rng([args.seed, number])
            row = stages.torture(stage, Path(home, str(number)), args.kills, rng)
            print(f"| {stage.name} | {' | '.join(map(str, row.values()))} |", flush=True)
            failed |= any(row[name] for name in stages.COUNTED)
    return int(failed)


if __name__ == "__main__":
    sys.exit(cli.run(main))
