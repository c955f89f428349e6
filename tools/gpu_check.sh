#!/usr/bin/env bash
# Proves and measures the CUDA head on a GPU: build, bit equality with the CPU head, graphs, 10^5 launches,
# compute-sanitizer, benchmark. Needs c++, nvcc, python3 with numpy and nanobind; torch for the benchmark. It
# wants no network, no cmake and no pytest, and ends in under 8 minutes.
#
# Usage: tools/gpu_check.sh [WORK], WORK = build/gpu_check if not given. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=${1:-build/gpu_check}
python=${PYTHON:-python3}
mkdir -p "$work"
work=$(cd "$work" && pwd)

cuda=${CUDA_HOME:-/usr/local/cuda}
find_tool() { # name, further folders
  command -v "$1" && return
  local folder
  for folder in "$cuda/bin" "${@:2}"; do
    if [ -x "$folder/$1" ]; then echo "$folder/$1"; return; fi
  done
}
nvcc=$(find_tool nvcc)
sanitizer=$(find_tool compute-sanitizer "$cuda/compute-sanitizer" "$(dirname "$(readlink -f "${nvcc:-.}")")")
[ -n "$nvcc" ] || { echo "gpu_check.sh: nvcc is needed: put it on PATH or set CUDA_HOME" >&2; exit 3; }

echo "== build"
package=$work/site/lsu/runtime
rm -rf "$work/site"
mkdir -p "$package/data"
cp -r runtime/. "$package/"
rm -rf "$package/csrc"
nanobind=$("$python" -c 'import nanobind, pathlib; print(pathlib.Path(nanobind.__file__).parent)')
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=(-I cuda_kernels/include -I cuda_kernels/src)
objects=()
compile() { # source, flags
  local object
  object=$work/$(basename "$1" .cpp).o
  c++ -std=c++17 -O3 -fPIC -fvisibility=hidden -ffp-contract=off -c "$1" -o "$object" "${@:2}"
  objects+=("$object")
}
for source in cuda_kernels/src/*.cpp; do compile "$source" "${include[@]}" -Wno-psabi; done
binding=(-DNDEBUG -fno-strict-aliasing -I "$headers" -I "$nanobind/include" -I "$nanobind/ext/robin_map/include")
for source in runtime/csrc/*.cpp "$nanobind/src/nb_combined.cpp"; do
  compile "$source" "${include[@]}" "${binding[@]}"
done
c++ -shared -o "$package/_native$suffix" "${objects[@]}" -pthread -ldl
targets=()
known=$("$nvcc" --list-gpu-code)
for target in $(grep -o 'LSU_CUDA_TARGETS "[0-9;]*"' cuda_kernels/cuda.cmake | grep -o '[0-9]*'); do
  grep -qx "sm_$target" <<<"$known" || continue
  targets+=("--generate-code=arch=compute_$target,code=sm_$target")
  newest=$target
done
targets+=("--generate-code=arch=compute_$newest,code=compute_$newest")  # for GPUs that came after this nvcc
"$nvcc" --fatbin -std=c++17 -O3 --fmad=false --Werror all-warnings "${include[@]}" "${targets[@]}" -lineinfo \
  -o "$package/data/constrained_argmax.fatbin" cuda_kernels/src/constrained_argmax.cu

export PYTHONPATH=$work/site:$root/tests:$root/tools${PYTHONPATH:+:$PYTHONPATH}
"$python" - "$package" <<'CODE'
import sys
import lsu.runtime
assert lsu.runtime.__file__.startswith(sys.argv[1]), (
    f"another lsu is in the way, {lsu.runtime.__file__}: set PYTHON to an interpreter without it"
)
CODE

echo "== cases"
failed=0
timeout 180 "$python" tests/gpu_cases.py || failed=1

if [ -n "$sanitizer" ]; then
  for tool in memcheck racecheck; do
    echo "== compute-sanitizer $tool"
    timeout 60 "$sanitizer" --tool "$tool" --error-exitcode 9 "$python" tests/gpu_cases.py --small || failed=1
  done
else
  echo "== compute-sanitizer is not there: memcheck and racecheck were NOT run" >&2
  failed=1
fi

echo "== benchmark"
timeout 120 "$python" tools/bench_head_gpu.py --seconds 80 --out benchmarks/head_gpu.csv || failed=1
exit $failed
