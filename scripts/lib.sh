# SPDX-License-Identifier: MIT
# What the scripts share. Sourced, not run: leaves the caller in the repository's root.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

n_job=$(nproc)
# With paths relative to the tree, ccache serves every copy of it from the same entries.
export CCACHE_BASEDIR="$PWD"

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# The source files below the given folders, the GPU's (.cu, .cuh) too.
sources() {
  local folders=()
  for folder in "$@"; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  [ ${#folders[@]} -eq 0 ] || find "${folders[@]}" -type f -regex '.*\.\(cpp\|h\|cu\|cuh\)' | sort
}
