#!/usr/bin/env bash
# accept.sh OUT [STEP...]: everything, on a machine as README.md has it, as root; or the steps that are named, in that
# order. OUT gets accept.log, with each command, how it ended and how long it took, and what was exported.
set -Euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
# Then, for three runs of each runtime, in turn: native container native export.
if [ $# -eq 0 ]; then set -- site prepare run native killed export; fi
state=/var/lib/acceptance
provisioner=$state/venv/bin/provisioner
mkdir -p "$state"
exec > >(tee -a "$out/accept.log") 2>&1
# None of the machine's own settings for compilers and the like is to reach what is measured.
unset CC CXX CUDAHOSTCXX LIBRARY_PATH
bad=0

# tell EXPECTED COMMAND...: runs it, says how it ended and how long that took, and counts it where it ended otherwise.
tell() {
  local expected=$1 began=$EPOCHREALTIME code=0
  shift
  printf '\n$ %s\n' "${*/#$provisioner/provisioner}"
  "$@" || code=$?
  python3 -c 'import sys; print(f"[exit {sys.argv[3]}, {float(sys.argv[2]) - float(sys.argv[1]):.1f} s]")' "$began" "$EPOCHREALTIME" "$code"
  if [ "$code" -ne "$expected" ]; then bad=$((bad + 1)); echo "EXPECTED exit $expected"; fi
}
common=(--profile offline --state-dir "$state" -e "@$state/site.yml")
in_container=("${common[@]}" --runtime devcontainer)

step_site() {
  tell 0 /usr/bin/python3 -m venv "$state/venv"
  tell 0 "$state/venv/bin/pip" install --quiet --no-index --find-links "$here/wheelhouse" gpu-host-provisioner
  tell 0 "$here/site.sh" "$state"
}
step_prepare() {
  tell 0 "$provisioner" doctor "${in_container[@]}"
  tell 5 "$provisioner" plan "${in_container[@]}"
  tell 0 "$provisioner" prepare "${in_container[@]}"
  tell 0 "$provisioner" plan "${in_container[@]}"
}
step_run() {
  tell 0 "$provisioner" run --require-gpu "${in_container[@]}"
  tell 0 "$provisioner" run --require-gpu "${in_container[@]}"
  tell 0 "$provisioner" facts --state-dir "$state"
  tell 0 "$provisioner" audit --state-dir "$state" "$("$provisioner" facts --state-dir "$state" -q 'runs[0].run_id' -o json | tr -d '"')"
}
step_native() { tell 0 "$provisioner" run --require-gpu --fresh "${common[@]}" --runtime native; }
step_killed() {
  # The command is killed once the compile has begun; the run on the host goes on, and the next command waits for it.
  printf '\n$ %s\n' "provisioner run --require-gpu --fresh ... &"
  setsid "$provisioner" run --require-gpu --fresh "${in_container[@]}" &
  command=$!
  before=$(find /var/lib/provisioner/scenario_a/runs -path '*container/events.jsonl' -exec grep -l '"phase":"compile"' {} + | wc -l)
  for ((second = 0; second < 400; second++)); do
    now=$(find /var/lib/provisioner/scenario_a/runs -path '*container/events.jsonl' -exec grep -l '"phase":"compile"' {} + | wc -l)
    if [ "$now" -gt "$before" ]; then break; fi
    sleep 1
  done
  sleep 10
  kill -KILL -- "-$command"
  echo "[killed 10 s after the compile began, with all that it had started here]"
  tell 0 "$provisioner" status --state-dir "$state" -e "@$state/site.yml"
  tell 0 "$provisioner" run --require-gpu "${in_container[@]}"
}
step_container() { tell 0 "$provisioner" run --require-gpu --fresh "${in_container[@]}"; }
step_export() {
  tell 0 "$provisioner" facts --state-dir "$state" -q 'runs[].{run: run_id, runtime: runtime, verdict: audit.verdict}' -o table
  tell 0 "$provisioner" export --state-dir "$state" "$out/runs.jsonl"
  rm -f "$out/native.jsonl" "$out/devcontainer.jsonl"
  # By runtime, for `provisioner compare native.jsonl devcontainer.jsonl --allow-different --unverified`, which takes numpy and scipy.
  tell 0 python3 -c 'import json, sys
for line in open(sys.argv[1] + "/runs.jsonl"):
    with open(f"{sys.argv[1]}/{json.loads(line)["runtime"]}.jsonl", "a") as file: file.write(line)' "$out"
  tell 0 tar -C "$state" -cJf "$out/evidence.tar.xz" runs
}

for step; do
  case $step in
    site) step_site ;;
    prepare) step_prepare ;;
    run) step_run ;;
    native) step_native ;;
    killed) step_killed ;;
    container) step_container ;;
    export) step_export ;;
    *) echo "accept.sh: there is no step $step" >&2; exit 2 ;;
  esac
done
echo
echo "$bad of the commands ended otherwise than expected"
exit "$bad"
