"""Somebody else's ONNX file becomes a bundle."""
