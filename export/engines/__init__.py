"""Engines for TensorRT and TensorRT-RTX, built in a process of its own."""
