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

# Files below the given folders with the given endings (.cpp and .h by default), build output left out.
sources() {
  local folders=()
  for folder in "$@"; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  [ ${#folders[@]} -eq 0 ] || find "${folders[@]}" \( -name '*.cpp' -o -name '*.h' \) -type f | sort
}
