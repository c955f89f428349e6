#!/usr/bin/env bash
# Make or refresh .venv with lsu as an editable install. Argument: the extras, `dev` if not given.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-dev}

# Install a Debian package where we may, else say what is missing.
need() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq "$@" >/dev/null
  else
    echo "develop.sh: please install: $*" >&2
    exit 3
  fi
}

command -v python3 >/dev/null || need python3 python3-venv
command -v c++ >/dev/null || need g++
if [ ! -x .venv/bin/python ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "develop.sh: Python 3.10 or newer is needed" >&2; exit 3; }
  python3 -c 'import ensurepip' 2>/dev/null || need python3-venv
  python3 -m venv .venv
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install --quiet "scikit-build-core>=1.0.1" "nanobind>=2.4" "cmake>=3.26" "ninja>=1.11"
# Without build isolation, so that the native part is compiled with the tools that are in .venv.
.venv/bin/python -m pip install --quiet --no-build-isolation --editable ".[$extras]"
# OpenCV's wheel leaves these two libraries to the system.
.venv/bin/python -c 'import cv2' 2>/dev/null || need libgl1 libglib2.0-0

# Type checkers cannot follow the editable install's import hook: they follow these links instead.
mkdir -p build/site/lsu
for layer in runtime training export; do ln -sfn "../../../$layer" "build/site/lsu/$layer"; done
