"""A folder or a catalogued data set -> shards and the features that frozen networks compute.

catalogue  data/sources.toml, and which pictures a data set consists of
arrays     CIFAR-10 and STL-10 as folders of PNG files
samples    the built-in sample photos
listing    many names, sizes and hashes in little memory
splits     training, validation and test: by content, by folder, by a list
plan       manifest.json: which file goes into which shard
index      the pictures of each shard, in a file beside it
manifest   what these files must hold
build      `prepare`: the shards
features   embeddings beside the shards
maps       maps of frozen layers beside the shards
rows       the files of both, with a checksum of each row
cache      decoded pictures kept in memory
records    the TFRecord schema, and `Dataset`, which reads it
statistics the colours' prior, stored beside the shards; the share of grey pictures
threads    computing ahead in threads
"""

from common.config import FRACTIONS
from common.datasets.build import add_arguments, add_embed_from, prepare
from common.datasets.catalogue import DATA, Source, recipe, source_of
from common.datasets.records import Dataset, tf_dataset
from common.datasets.splits import SPLITS
from common.datasets.threads import ahead

__all__ = [
    "DATA",
    "FRACTIONS",
    "SPLITS",
    "Dataset",
    "Source",
    "add_arguments",
    "add_embed_from",
    "ahead",
    "prepare",
    "recipe",
    "source_of",
    "tf_dataset",
]
