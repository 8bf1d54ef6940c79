#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills a server with signal 9 while it saves a slot over a file that is there. A server that starts after that must
# restore the old file or the new one, whole, and leave no temporary file; the next answer must come from the cache.
# Then a disk that is full: 507, and the old file is as it was.
#   kill_slot_save.sh PROGRAM [KILLS]
set -euo pipefail
program=$1 n_kill=${2:-200}
command -v curl >/dev/null || { echo "kill_slot_save: skipped: no curl" && exit 77; }
work=$(mktemp -d)
full=$work/full
server=
cleanup() {
  [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
  umount "$full" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "kill_slot_save: $*" >&2
  cat "$work/log" >&2
  exit 1
}

# start FOLDER: a server on a free port, once it answers.
start() {
  "$program" serve --port 0 -t 1 -c 1024 -np 1 --invariant --slot-save-path "$1" >/dev/null 2>"$work/log" &
  server=$!
  local i
  for ((i = 0; i < 1200; ++i)); do
    port=$(sed -n 's/.*listening on http.*:\([0-9]*\)$/\1/p' "$work/log")
    [ -z "$port" ] || ! curl -sf "localhost:$port/ready" >/dev/null || return 0
    sleep 0.05
  done
  fail "no server"
}

stop() {
  kill "-$1" $server 2>/dev/null || true
  wait $server 2>/dev/null || true
  server=
}

ask() { curl -s "localhost:$port/$1" -H 'Content-Type: application/json' -d "$2"; }
# number NAME: a member of the JSON on the standard input.
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

words() { # words N WORD: a prompt
  local i
  for ((i = 0; i < $1; ++i)); do printf '%s ' "$2"; done
}
declare -A prompt=([old]="$(words 100 fox)" [new]="$(words 400 king)") text n_saved
body() { echo "{\"prompt\": \"$1\", \"max_tokens\": 4, \"temperature\": 0}"; }
text_of() { sed -n 's/.*"text":"\([^"]*\)".*/\1/p'; }

folder=$work/slots
mkdir "$folder"
start "$folder"
# ask_and_save WHICH FILE
ask_and_save() {
  text[$1]=$(ask v1/completions "$(body "${prompt[$1]}")" | text_of)
  n_saved[$1]=$(ask 'slots/0?action=save' "{\"filename\": \"$2\"}" | number n_saved)
  [ "${n_saved[$1]:-0}" -ge 64 ] || fail "$1: saved ${n_saved[$1]} tokens"
}
ask_and_save old a
ask_and_save new b
began=$(date +%s%N)
ask 'slots/0?action=save' '{"filename": "b"}' >/dev/null
save_ns=$(($(date +%s%N) - began))
cp "$folder/a" "$work/old"
cp "$folder/b" "$work/new"
rm "$folder/b"
[ "$(ls -A "$folder")" = a ] || fail "more than a file: $(ls -A "$folder")"

declare -A seen=([old]=0 [new]=0 [temporaries]=0)
RANDOM=1
for ((i = 0; i < n_kill; ++i)); do
  cp "$work/old" "$folder/a"
  ask 'slots/0?action=save' '{"filename": "a"}' >"$work/answer" 2>/dev/null &
  client=$!
  sleep "$(awk -v t=$save_ns -v r=$RANDOM 'BEGIN { print t / 1e9 * 1.3 * r / 32768 }')"
  stop KILL
  wait $client 2>/dev/null || true
  seen[temporaries]=$((seen[temporaries] + $(find "$folder" -name '.*.tmp' | wc -l)))
  if cmp -s "$folder/a" "$work/old"; then which=old; else which=new; fi
  cmp -s "$folder/a" "$work/$which" || fail "kill $i: the file is neither the old nor the new one"
  [ ! -s "$work/answer" ] || [ $which = new ] || fail "kill $i: said to be saved, and is not"
  seen[$which]=$((seen[$which] + 1))
  start "$folder"
  [ -z "$(find "$folder" -name '.*.tmp')" ] || fail "kill $i: a temporary file stays"
  n=$(ask 'slots/0?action=restore' '{"filename": "a"}' | number n_restored)
  [ "$n" = "${n_saved[$which]}" ] || fail "kill $i: restored $n tokens of the $which file"
  answer=$(ask v1/completions "$(body "${prompt[$which]}")")
  [ "$(text_of <<<"$answer")" = "${text[$which]}" ] || fail "kill $i: another answer: $answer"
  [ "$(number cached_tokens <<<"$answer")" -ge 64 ] || fail "kill $i: not from the cache: $answer"
  # For the next round the slot has the new text.
  ask v1/completions "$(body "${prompt[new]}")" >/dev/null
done
echo "kills: $n_kill passed, 0 failed: the old file ${seen[old]}, the new one ${seen[new]};" \
  "temporaries left ${seen[temporaries]}, removed at the next start"
stop TERM

# A full disk, or a limit on the size of files.
mkdir "$full"
limited=$full
if mount -t tmpfs -o size=$(($(stat -c %s "$work/old") + 65536)) tmpfs "$full" 2>/dev/null; then
  how="a full disk"
  cp "$work/old" "$limited/a"
  start "$limited"
else
  how="a limit on files"
  limited=$folder
  cp "$work/old" "$limited/a"
  ulimit -f 100
  start "$limited"
fi
ask v1/completions "$(body "${prompt[new]}")" >/dev/null
status=$(curl -s -o "$work/answer" -w '%{http_code}' "localhost:$port/slots/0?action=save" \
  -H 'Content-Type: application/json' -d '{"filename": "a"}')
[ "$status" = 507 ] || fail "$how: $status $(cat "$work/answer")"
cmp "$limited/a" "$work/old" || fail "$how: the old file changed"
[ "$(ls -A "$limited")" = a ] || fail "$how left: $(ls -A "$limited")"
n=$(ask 'slots/0?action=restore' '{"filename": "a"}' | number n_restored)
[ "$n" = "${n_saved[old]}" ] || fail "$how: the old file restores $n tokens"
echo "$how: 507, the old file restores"
stop TERM
