#!/usr/bin/env bash
# Everything that a change must pass: format, lint, types, native build with warnings as errors, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/develop.sh dev
bin=.venv/bin

echo "== format"
$bin/ruff format --check .
git ls-files -co --exclude-standard '*.cpp' '*.h' '*.cu' '*.cuh' | xargs $bin/clang-format --dry-run --Werror
echo "== lint"
$bin/ruff check .
echo "== types"
$bin/mypy
echo "== native tests, sanitizers and fuzzing"
$bin/cmake -S tests/native -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/$bin/ninja" >/dev/null
$bin/cmake --build build/native --parallel 2 -- --quiet
$bin/ctest --test-dir build/native -j2 --output-on-failure
echo "== tests"
$bin/python -m pytest "$@"
