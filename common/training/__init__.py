"""Training a report's network, stopped and resumed at any step to the same bits.

run          `train`: from pictures to an exported model; `Run`, its result
options      `Options`, and the config that results from them
report       what a report defines: `optimizer`, `loss`, pretrained layers
finetuning   `finetune`: an exported model, tuned to a folder of pictures
tuning       what a training does otherwise then
teacher      the old model's answers as a second target
best         early stopping, whose best weights survive a killed process
trainer      the loop
step         one training step on the backend
devices      the devices of a run, of one host or of several
parallel     the step on several devices
hosts        the hosts of a run: who came, what they agree on, who is gone
checkpoint   all state of a run, in one file
batches      the order of the pictures, and their scaling
augment      views of a picture
in_step      the same in the compiled step, for a GPU
losses       losses of ab: rebalanced, over bins, perceptual
validation   metrics of a split after each epoch
callbacks    Keras's callbacks in the loop
logs         history.csv, curves, TensorBoard, pictures
export       the export, and weights from an exported model
"""

from common.training.batches import Batches
from common.training.finetuning import finetune
from common.training.options import Options
from common.training.report import Report, accuracy, compile_model, learning_rate
from common.training.run import Run, train
from common.training.trainer import Trainer

__all__ = [
    "Batches",
    "Options",
    "Report",
    "Run",
    "Trainer",
    "accuracy",
    "compile_model",
    "finetune",
    "learning_rate",
    "train",
]
