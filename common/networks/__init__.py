"""Layers, pretrained networks and their weights, precision, and .h5 files of whole models."""
