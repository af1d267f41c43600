"""Damaged and hostile files for every reader: `make fuzz`, or `python -m benchmarks.fuzz`.

mutation   a file, or a JSON value, with something changed; the same for the same seed
corpus     whole files of every kind, made by their own encoders
targets    the readers: a case for each seed, and what is done with it
worker     cases in a process of their own, within limits of time and memory
"""
