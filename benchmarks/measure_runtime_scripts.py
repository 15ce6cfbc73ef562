"""The programs that `measure_runtime.py` starts: what somebody without Edgewise would write, as short as it gets.

With one thing that not everybody would know: x86 CPUs without VNNI are asked for exact sums, without which some of
their answers are others. It takes longer, and what gives other answers is no comparison.
"""

from __future__ import annotations

BARE = "import sys; print(); sys.stdout.flush(); sys.stdin.read()"
"""A Python that does nothing."""

_TFLITE = """
import sys, time
import cv2, numpy as np
from ai_edge_litert.interpreter import Interpreter
start = time.perf_counter()
engine = Interpreter(model_path=sys.argv[1], num_threads={threads})
engine.allocate_tensors()
loaded = time.perf_counter() - start
taken, given = engine.get_input_details()[0], engine.get_output_details()[0]
size = taken["shape"][1:3]
def run(pixels):
    engine.set_tensor(taken["index"], pixels[None])
    engine.invoke()
    return engine.get_tensor(given["index"])[0]
"""

_ONNX = """
import sys, time
import cv2, numpy as np, onnxruntime
start = time.perf_counter()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {threads}
options.add_session_config_entry("session.x64quantprecision", "1")
engine = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
loaded = time.perf_counter() - start
taken = engine.get_inputs()[0]
size = taken.shape[1:3]
def run(pixels):
    return engine.run(None, {{taken.name: pixels[None]}})[0][0]
"""

_ONE = """
pixels = cv2.resize(cv2.imread(sys.argv[2]), (int(size[1]), int(size[0])))[..., ::-1]
print(run(np.ascontiguousarray(pixels)).argmax(), loaded)
"""

_WAIT = "sys.stdout.flush(); sys.stdin.read()\n"

_MANY = """
arrays = np.load(sys.argv[2], mmap_mode="r")
photos = open(sys.argv[3]).read().splitlines()
run(np.zeros(arrays.shape[1:], np.uint8))
start, cpu = time.perf_counter(), time.process_time()
if way == "arrays":
    for pixels in arrays:
        run(pixels)
else:
    for photo in photos:
        pixels = cv2.resize(cv2.imread(photo), (int(size[1]), int(size[0])))[..., ::-1]
        run(np.ascontiguousarray(pixels)).argmax()
print(time.perf_counter() - start, time.process_time() - cpu)
"""

_CORES = "len(__import__('os').sched_getaffinity(0))"
_ENGINES = {"tflite": _TFLITE, "onnx": _ONNX}

PLAIN = {kind: code.format(threads=_CORES) + _ONE for kind, code in _ENGINES.items()}
"""``MODEL PHOTO``: prints the class and the seconds of loading. On all cores, as Edgewise is."""

PLAIN_HOLD = {kind: code + _WAIT for kind, code in PLAIN.items()}
"""The same, and then it waits for the end of its input."""

RAW = {
    kind: "import sys; way = sys.argv.pop(1)\n" + code.format(threads="int(sys.argv[4])") + _MANY
    for kind, code in _ENGINES.items()
}
"""``arrays|photos MODEL ARRAYS PHOTOS THREADS``: prints the seconds that all pictures took, by the clock and of CPU."""

HOLD = """
import sys
from pathlib import Path
from edgewise.runtime.few import open_few
from edgewise.spec.opening import Opening
print(open_few(Path(sys.argv[1]), Opening()).predict(sys.argv[2]).label)
sys.stdout.flush(); sys.stdin.read()
"""
"""``MODEL PHOTO``: what `edgewise predict` does with them, and then it waits for the end of its input."""
