"""A stand-in for the module `tensorrt`: the calls that lsu makes, written after NVIDIA's Python API.

It builds nothing and times nothing. Its "plan" is a JSON text that says how it was asked, and its engine is
`tiny_model` computed by numpy on addresses in the host's memory. What the real library does is not proven by
it. FAKE_TENSORRT tells it to misbehave.
"""

import ctypes
import enum
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "10.3.0")
MODE = os.environ.get("FAKE_TENSORRT", "")
DataType = enum.Enum("DataType", "UINT8 FLOAT HALF INT32")
BuilderFlag = enum.Enum("BuilderFlag", "TF32 FP16")
if MODE != "eleven":
    NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
else:

    class NetworkDefinitionCreationFlag:
        pass


loaded: list[str] = []


class ILogger:
    Severity = enum.Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")


class IProgressMonitor:
    pass


def nptype(kind):
    return {DataType.FLOAT: np.float32, DataType.HALF: np.float16}[kind]


def init_libnvinfer_plugins(logger, namespace):
    return True


def get_plugin_registry():
    return SimpleNamespace(load_library=lambda path: loaded.append(path) or (None if "bad" in path else 1))


class Network:
    def __init__(self, flags):
        self.flags, self.inputs, self.outputs, self.num_layers = flags, [], [], 0

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, k):
        return self.inputs[k]

    def get_output(self, k):
        return self.outputs[k]


def tensors_of(values):
    kinds = {onnx.TensorProto.UINT8: DataType.UINT8, onnx.TensorProto.FLOAT: DataType.FLOAT}
    return [
        SimpleNamespace(
            name=v.name,
            dtype=kinds.get(v.type.tensor_type.elem_type, DataType.INT32),
            shape=tuple(d.dim_value or -1 for d in v.type.tensor_type.shape.dim),
        )
        for v in values
    ]


class OnnxParser:
    num_errors = 1

    def __init__(self, network, logger):
        self.network, self.logger = network, logger

    def parse(self, model):
        if MODE == "unparsed":
            return False
        graph = onnx.load_from_string(model).graph
        self.network.inputs, self.network.outputs = tensors_of(graph.input), tensors_of(graph.output)
        self.network.num_layers = len(graph.node)
        return True

    def get_error(self, k):  # noqa: ARG002
        return SimpleNamespace(desc=lambda: "No importer\n registered for op: Grid")


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, least, best, most):
        self.shapes[name] = [least, best, most]

    set_shape_input = set_shape


class Cache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return self.data + b"timed;"


class Config:
    def __init__(self):
        self.flags, self.profiles, self.progress_monitor, self.cache = {BuilderFlag.TF32}, [], None, None

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile.shapes)

    def create_timing_cache(self, data):
        return Cache(data)

    def set_timing_cache(self, cache, ignore_mismatch):  # noqa: ARG002
        if b"other GPU" in cache.data:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


class Builder:
    def __init__(self, logger):
        if MODE == "no builder":
            logger.log(ILogger.Severity.ERROR, "CUDA initialization failure")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags):
        return Network(flags)

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        config.progress_monitor.phase_start("Building engine", None, 2)
        config.progress_monitor.phase_start("Timing tactics", "Building engine", 3)
        config.progress_monitor.step_complete("Timing tactics", 0)
        os.write(1, b"a library that prints to stdout\n")
        self.logger.log(ILogger.Severity.WARNING, "Using an engine plan\n across devices")
        if MODE == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if MODE == "abort":
            print("terminate called: out of memory", file=sys.stderr, flush=True)
            os.abort()
        if MODE == "slow":
            time.sleep(60)
        if MODE == "fails":
            self.logger.log(ILogger.Severity.ERROR, "Could not find any implementation\n for node head")
            return None
        config.progress_monitor.phase_finish("Timing tactics")
        plan = {
            "flags": network.flags,
            "profiles": config.profiles,
            "tf32": BuilderFlag.TF32 in config.flags,
            "inputs": {t.name: t.shape for t in network.inputs},
            "loaded": loaded,
        }
        return json.dumps(plan).encode()


class Runtime:
    engine_host_code_allowed = True  # the real default is False; lsu has to say so

    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        assert not self.engine_host_code_allowed
        if b"profiles" not in plan:
            self.logger.log(ILogger.Severity.ERROR, "Magic tag does not match")
            return None
        return Engine()


class Engine:
    names = ("image", "scores") if MODE != "unnamed" else ("input", "output")
    num_io_tensors = 2

    def get_tensor_name(self, k):
        return self.names[k]

    def get_tensor_dtype(self, name):
        return DataType.FLOAT if name == "scores" else DataType.UINT8

    def create_execution_context(self):
        return Context()


class Context:
    def __init__(self):
        self.addresses, self.shape = {}, None

    def set_input_shape(self, name, shape):
        self.shape = shape
        return name == "image"

    def get_tensor_shape(self, name):  # noqa: ARG002
        number, height, width = self.shape[:3]
        return (number, 3, height // 4, width // 4)

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        from bundles import tiny_scores

        images = array_at(self.addresses["image"], self.shape, np.uint8)
        scores = array_at(self.addresses["scores"], self.get_tensor_shape("scores"), np.float32)
        for image, out in zip(images, scores, strict=True):
            out[...] = tiny_scores(image)
        return stream != 0


def array_at(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_ubyte * size).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)
