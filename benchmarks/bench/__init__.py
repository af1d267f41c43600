"""What `make bench` measures: speed and memory, each benchmark beside its aim or a peer.

- `turns`: two or more sides in alternating order; `Row`, a line of the table
- `networks`: the networks at work, their arithmetic, and a large matrix product's
- `training`, `colours`, `pictures`, `memory`: the benchmarks
- `peers`: the same network in PyTorch and ONNX Runtime, where these are installed
- `starting`: a photo's time from the command's start, by part
- `results`: the machine's facts, the table, the plot, and ratios to an earlier run
"""
