"""Layers, pretrained networks and their weights, precision, and .h5 files of whole models.

layers          fusion, convolutions by a table, PyTorch's padding: functions over Keras layers
backend         Keras with its backend, imported quietly and set as the library needs it
imagenet        the networks of keras.applications that are used, with their preprocessing
efficientnet_lite  EfficientNet-Lite and its weights, from a package, a file or the box
model_files     open an HDF5 file, or say what the file is instead
heaps           HDF5's heaps of texts, walked before HDF5 walks them
model_names     a model by its name, trained or shipped
metadata        what an exported model says of itself
flags           flags that several commands share: weights, precision
safety          what an .h5 may hold, checked before Keras reads it
downloads       Keras's downloads: whole, and held to their SHA-256 at first
pretrained      weights `auto`, `imagenet`, `random` or from a file; their flag and their hash
unpickling      pickles, read without running code from the file
torch_files     tensors from a file of torch.save, without PyTorch
embeddings      L* -> the 1,000 logits of an ImageNet network
frozen          a network cut into the maps of its frozen layers and the rest
perceptual      LPIPS, and distances between the features of other networks
packaged        weights that a package brings, converted into files that we read
interface       the inputs and the output that every colorizer has
normalization   batch normalisation by TensorFlow's fused kernel
determinism     operations that give the same bits in every run, where the fastest do not
precision       mixed precision: where it is fast, and copies of a network under a policy
packing         .h5 files of rounded weights, compressed
keras_network   an exported model as a function, whichever runtime computes it: by Keras
h5              wrap a trained network in Lab units, export it, load it safely
provenance      the versions and the commit that a model or a figure was made with
"""
