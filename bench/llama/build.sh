#!/usr/bin/env bash
# Builds llama.cpp and bench/llama/loop.cpp for this machine's CPU, and prints the path of the loop.
#
#   bench/llama/build.sh FOLDER PYTHON
#
# The source is that of the package llama-cpp-python on PyPI. PYTHON is an environment's Python with cmake and ninja.
#
#   LLAMA_CPP_PYTHON  version of the package   (0.3.36)
#   JOBS              compilers at once        (all cores)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
bin=$(cd "$(dirname "$2")" && pwd)
package=llama_cpp_python-${LLAMA_CPP_PYTHON:-0.3.36}
if ! [ -d "$folder/$package" ]; then
    "$bin/pip" download --quiet --no-deps --no-binary llama-cpp-python --dest "$folder" \
        "llama-cpp-python==${package#*-}" >&2
    tar xzf "$folder/$package.tar.gz" -C "$folder"
fi
export PATH="$bin:$PATH"
cmake -G Ninja -S "$here" -B "$folder/build" -DLLAMA_CPP="$folder/$package/vendor/llama.cpp" >"$folder/cmake.log"
cmake --build "$folder/build" --target loop ${JOBS:+-j "$JOBS"} >"$folder/build.log"
echo "$folder/build/loop"
