#!/usr/bin/env bash
# Builds release v0 again, at the commit that made it, and compares it with SHA256SUMS.
# usage: datasets/v0/reproduce.sh NEW_FOLDER [PATTERN]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "${1:?name a new folder to build in}")
git clone --quiet "$here/../.." "$folder"
cd "$folder"
git checkout --quiet d4bddef9014373c8ea2e830bae425bf063bcc0f1
make .venv/.installed
.venv/bin/cartpole-phys release release --only "${2:-*}"
cd release
if [ -z "${2:-}" ]; then
    sha256sum --check "$here/SHA256SUMS"
else # what describes the whole release differs where only a part of it was built
    grep -E '\.(hdf5|parquet|safetensors)$' "$here/SHA256SUMS" | sha256sum --ignore-missing --check -
fi
