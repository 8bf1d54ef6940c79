#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills the program with signal 9 while it converts, quantises and merges, and lets the disk run full. The output
# must be there complete, or not at all (or be the file of before); temporaries may stay after a kill, but
# not after an error.
#   kill_convert.sh PROGRAM MAKE_SEEDS [KILLS]
set -euo pipefail
program=$1 make_seeds=$2 n_kill=${3:-200}
work=$(mktemp -d)
full=$work/full
cleanup() {
  umount "$full" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "kill_convert: $*" >&2
  exit 1
}

"$make_seeds" --checkpoint "$work/hf" 512
# start STEP OUTPUT: becomes the program.
start() {
  case "$1" in
    convert) exec "$program" convert "$work/hf" -o "$2" --outtype f32 ;;
    merge) exec "$program" merge "$work/part-00001-of-00002.gguf" "$2" ;;
    quantize) exec "$program" quantize "$work/convert.gguf" "$2" Q4_K_M ;;
  esac
}
declare -A milliseconds
steps=(convert quantize merge)
for step in "${steps[@]}"; do
  [ $step != merge ] || "$program" split "$work/convert.gguf" "$work/part" --no-tensor-first-split >/dev/null
  began=$(date +%s%N)
  (start $step "$work/$step.gguf") >/dev/null 2>&1
  milliseconds[$step]=$((($(date +%s%N) - began) / 1000000))
done

# Kills.
out=$work/out
mkdir "$out"
declare -A seen=([absent]=0 [before]=0 [complete]=0 [temporaries]=0)
RANDOM=1
for ((i = 0; i < n_kill; ++i)); do
  step=${steps[i % 3]}
  rm -f "$out"/* "$out"/.*.tmp
  [ $((i % 4)) -ne 0 ] || echo before >"$out/m.gguf"
  (start "$step" "$out/m.gguf") >/dev/null 2>&1 &
  pid=$!
  sleep "$(awk -v t="${milliseconds[$step]}" -v r=$RANDOM 'BEGIN { print t / 1000 * 1.3 * r / 32768 }')"
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  if [ ! -e "$out/m.gguf" ]; then
    seen[absent]=$((seen[absent] + 1))
  elif cmp -s "$out/m.gguf" <(echo before); then
    seen[before]=$((seen[before] + 1))
  else
    cmp "$out/m.gguf" "$work/$step.gguf" || fail "kill $i: a file under the final name is not complete"
    seen[complete]=$((seen[complete] + 1))
  fi
  for file in "$out"/* "$out"/.*.tmp; do
    case "$file" in
      "$out/m.gguf" | "$out/*" | "$out/.*.tmp") ;;
      "$out"/.*.tmp) seen[temporaries]=$((seen[temporaries] + 1)) ;;
      *) fail "kill $i: an unknown file $file" ;;
    esac
  done
done
echo "kills: $n_kill passed, 0 failed: output absent ${seen[absent]}, as before ${seen[before]}," \
  "complete and equal ${seen[complete]}; temporaries left ${seen[temporaries]}"

# A full disk, and a limit on the size of files.
n_full=0
# check_refused FOLDER STEP
check_refused() {
  local code=0
  (start "$2" "$1/m.gguf") >/dev/null 2>"$work/err" || code=$?
  [ $code -eq 3 ] || fail "$2 on a full disk: exit $code: $(cat "$work/err")"
  # Progress may stand before the one line.
  [ "$(grep -c . <(sed -n '/^error: /,$p' "$work/err"))" -eq 1 ] || fail "$2 on a full disk said: $(cat "$work/err")"
  [ -z "$(ls -A "$1")" ] || fail "$2 on a full disk left: $(ls "$1")"
}
mkdir "$full"
for kib in 4 64 1024 2048 3000; do
  for step in "${steps[@]}"; do
    if mount -t tmpfs -o size=${kib}k tmpfs "$full" 2>/dev/null; then
      check_refused "$full" $step
      umount "$full"
      n_full=$((n_full + 1))
    fi
    rm -f "$out"/* "$out"/.*.tmp
    (
      ulimit -f $kib
      check_refused "$out" $step
    )
    n_full=$((n_full + 1))
  done
done
echo "full disk: $n_full passed, 0 failed"
