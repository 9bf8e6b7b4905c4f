# shellcheck shell=bash
# What a run of any scenario is: scenario_a.sh and its like source this file with their own letter in $scenario. Builds
# the devcontainer, compiles xformers in it exactly once, runs the attention test, and times each phase by this host's
# monotonic clock. Stops, non-zero, at the first thing that fails.
# shellcheck disable=SC2154 # scenario is assigned there
set -Eeuo pipefail
umask 022 # what is laid down is read by the container's user

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=$(dirname "$here")
root=$(dirname "$base")
work=$base-scenario-$scenario
script=scenario_$scenario.sh

# ---- settings ------------------------------------------------------------------------------------------------------

# They were called SCENARIO_A_... once, and who gives one so is told.
for name in "${!SCENARIO_A_@}"; do
  now=SCENARIO_${name#SCENARIO_A_}
  if [ -n "${!now-}" ] && [ "${!now}" != "${!name}" ]; then
    echo "$script: $name and $now are one setting, and are set to two values; leave $name out" >&2
    exit 2
  fi
  echo "$script: $name is now $now; please rename it" >&2
  export "$now=${!name}"
done
# Read, never sourced: a value is only ever a value. The environment wins.
settings=$here/scenario.env
if [ -f "$settings" ]; then
  while IFS='=' read -r name value; do
    if [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -z ${!name-} ]]; then export "$name=$value"; fi
  done <"$settings"
fi
runtime=${SCENARIO_RUNTIME:-devcontainer}
devcontainer=${DEVCONTAINER:-devcontainer}
run_id=${SCENARIO_RUN_ID:-$(date -u +%Y%m%dT%H%M%SZ)-$(printf '%04x' $((RANDOM * 2 + RANDOM % 2)))}
evidence=$root/runs/$run_id
challenge=${SCENARIO_CHALLENGE:-$(od -A n -v -t x1 -N 32 /dev/urandom | tr -d ' \n')}
if ! [[ $challenge =~ ^[0-9a-f]{64}$ ]]; then
  echo "$script: SCENARIO_CHALLENGE is not 64 hex digits; leave it out, or give 32 random bytes" >&2
  exit 2
fi

gpus() { nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null; }

# The GPUs' compute capabilities, as torch wants them: "8.6;9.0". Without a GPU the seed's 12.0.
arch_list() {
  local found
  found=$(gpus | sort -uV | paste -sd ';') || found=
  printf '%s\n' "${found:-12.0}"
}

# One compiler a core, but no more than fit the memory that is free now, since a compile that the kernel kills costs
# hours; both within the limits that the compile will be under. Two compilers of xformers 0.0.35 for 9.0 held 3.0 GB
# together at their highest; the rest is room for versions with larger units and for everything else on the host.
MEMORY_PER_JOB_KIB=$((4 * 1024 ** 2))
max_jobs() {
  local cores available jobs
  read -r cores available < <(python3 -B "$here/limits.py" "$runtime") || {
    echo "what the compile may use is not known: it gets one compiler at a time" >&2
    cores=1 available=0
  }
  jobs=$((available / MEMORY_PER_JOB_KIB))
  if [ "$jobs" -gt "$cores" ]; then jobs=$cores; fi
  if [ "$jobs" -lt 1 ]; then jobs=1; fi
  printf '%s\n' "$jobs"
}

# ---- log, events, phases -------------------------------------------------------------------------------------------

# For sed -E: without the logins that URLs may hold. The user of ssh://git@HOST is no secret, and part of the input.
HIDE='s#\bssh://#ssh:/~/#g; s#://[^/@[:space:]]*@#://***@#g; s#\bssh:/~/#ssh://#g'

# stamp: each line with the time it came, without the passwords that a URL may hold, into the log and onto stdout.
stamp() {
  local line
  sed -u -E -e "$HIDE" -e 's/\r$//' -e 's/.*\r//' | while IFS= read -r line; do
    TZ=UTC0 printf '%(%Y-%m-%dT%H:%M:%S)T.%sZ %s\n' "${EPOCHREALTIME%.*}" "${EPOCHREALTIME: -6:3}" "$line"
  done | tee "$evidence/run.log"
}

# told, run, again
# shellcheck source=../.devcontainer/commands.sh
. "$base/.devcontainer/commands.sh"

# event EVENT PHASE: one line of events.jsonl. /proc/uptime is the monotonic clock (CLOCK_BOOTTIME), to 0.01 s, and
# the same one inside containers. The time of day, read in the same moment, tells where that was set meanwhile.
event() {
  local uptime now
  read -r uptime _ </proc/uptime
  now=$EPOCHREALTIME
  TZ=UTC0 printf '{"event":"%s","phase":"%s","uptime":%s,"time":"%(%Y-%m-%dT%H:%M:%S)T.%sZ"}\n' \
    "$1" "$2" "$uptime" "${now%[.,]*}" "${now: -6:3}" >>"$evidence/events.jsonl"
}

phase=
# timed PHASE FUNCTION: runs it as that phase. Not within a condition: `set -e` must hold inside.
timed() {
  phase=$1
  printf '\n=== %s ===\n' "$phase"
  event begin "$phase"
  "$2"
  event end "$phase"
  phase=
}

# keep FILE COMMAND...: the command's output becomes evidence; its failure fails nothing but is said.
keep() {
  local file=$evidence/$1
  shift
  "$@" </dev/null 2>"$file.stderr" | sed -E -e "$HIDE" >"$file" ||
    echo "evidence: $* gave nothing: $(tail -n 1 "$file.stderr")"
  [ -s "$file.stderr" ] || rm -f "$file.stderr"
}

# seal: the SHA-256 of each file of the evidence becomes manifest.sha256, in sha256sum's own form, so that a file that is
# edited, added or removed later shows. The result is among them, which takes its name only then. The host signs it
# before it takes its own: who is stopped in between leaves evidence without a manifest.
seal() {
  (
    cd "$evidence" || exit
    find . -type f ! -name 'manifest.sha256*' ! -path ./result.json.part -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum
    sha256sum result.json.part | sed 's/\.part$//'
  ) >"$evidence/manifest.sha256.part" || return
  bash "$here/sign_manifest.sh" "$evidence/manifest.sha256.part"
  mv "$evidence/manifest.sha256.part" "$evidence/manifest.sha256"
}

# ---- the runtime ---------------------------------------------------------------------------------------------------

# Gives the phases clean, lay_down, image_build (where it has images), container_up and attention_test; base_image;
# watch, unwatch and runtime_lost; runtime_stop; measured_process, whose control group has what the compile cost; and
# runtime_evidence_before, _at_build and _after.
case $runtime in
  devcontainer | native) ;;
  *) echo "$script: there is no runtime $runtime; SCENARIO_RUNTIME is devcontainer or native" >&2; exit 2 ;;
esac
# shellcheck source=runtime_devcontainer.sh
. "$here/runtime_$runtime.sh"

# The workspace, made from the base.
copy_base() {
  local laid_down_for
  run mkdir "$work"
  run cp -R -- "$base/." "$work/"
  laid_down_for=$(sed -n 's/^SCENARIO_INPUT_HASH=//p' "$work/benchmarking/scenario.env" 2>/dev/null) || true
  if [ -n "$laid_down_for" ] && [ "$laid_down_for" != "${SCENARIO_INPUT_HASH-}" ]; then
    echo "the base was laid down anew, for other inputs, while this run began: run again"
    return 1
  fi
}

# What was laid down in the workspace, as it is before anything runs there. A site's certificates are not for those who
# are given the evidence: their sum stands for them, in site_ca.sha256.
keep_laid_down() {
  local site_ca=.devcontainer/site-ca.crt
  cp -R -- "$work/.devcontainer" "$work/benchmarking" "$work/attention_test.py" "$evidence/files/"
  rm -f -- "$evidence/files/$site_ca"
  if [ -e "$work/$site_ca" ]; then (cd "$work" && sha256sum "$site_ca") >"$evidence/site_ca.sha256"; fi
}

# ---- evidence that is not part of the log --------------------------------------------------------------------------

# What the run is, before anything of it happens: a folder without run.json is none. It is synced, so that a host that
# loses its power in the middle still knows of it.
describe_run() {
  python3 -c 'import json, sys; json.dump(dict(pair.split("=", 1) for pair in sys.argv[1:]), sys.stdout, indent=2)' \
    "run_id=$run_id" "scenario=$scenario" "started_at=$(date -u +%FT%TZ)" "boot_id=$(cat /proc/sys/kernel/random/boot_id)" \
    "input_hash=${SCENARIO_INPUT_HASH-}" "profile=${SCENARIO_PROFILE-}" "base_image=$(base_image)" \
    "username=${XFORMERS_USERNAME-}" "xformers_url=${XFORMERS_FORK_URL-}" \
    "xformers_ref=${XFORMERS_REF-}" \
    "arch_list=$TORCH_CUDA_ARCH_LIST" "max_jobs=$MAX_JOBS" "nvcc_threads=${SCENARIO_NVCC_THREADS-}" \
    "runtime=$runtime" "workspace=$work" "host=$(uname -n)" \
    "challenge=$challenge" "unchallenged=$([ -n "${SCENARIO_CHALLENGE-}" ] || echo yes)" >"$evidence/run.json.part"
  sync "$evidence/run.json.part"
  mv "$evidence/run.json.part" "$evidence/run.json"
}

evidence_before() {
  keep machine.json python3 -B "$here/machine_facts.py"
  runtime_evidence_before
}

# What the compile cost and left, as this host sees it from outside; then what the runtime tells.
evidence_after() {
  keep cpu_after.json python3 -B "$here/cpu_used.py" "$(measured_process)"
  [ ! -e "$work/attention_test.py" ] || keep scripts_after.sha256 scripts_after
  [ ! -d "$work/xformers" ] || keep built.json python3 -B "$here/built_facts.py" "$work/xformers" "$evidence/container"
  if [ -d "${SCENARIO_WHEELS-}" ]; then
    keep wheels.txt wheels
    # That of a bundle, beside its wheels.
    if [ -f "$SCENARIO_WHEELS/../manifest.json" ]; then keep bundle.json cat "$SCENARIO_WHEELS/../manifest.json"; fi
  fi
  runtime_evidence_after
}

# The sums of all that pip could install from.
wheels() { (cd "$SCENARIO_WHEELS" && find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum); }

# scripts_sums: the sums of what runs in the workspace; for sh, which is what there is inside as well.
scripts_sums='find .devcontainer benchmarking attention_test.py -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum'
scripts_after() { (cd "$work" && sh -c "$scripts_sums"); }

# ---- one run at a time ---------------------------------------------------------------------------------------------

# Held until this script ends, however it ends: whoever finds it held knows that a run is under way, and reads in it
# which. Those who only look hold it for a moment.
exec 9>>"$root/lock"
chmod 0600 "$root/lock" # who can open it can hold it
if ! flock --wait 10 9; then
  echo "$script: another run is under way in $root: $(cat "$root/lock"); wait for it, or stop it by \`provisioner cancel\`" >&2
  exit 75 # EX_TEMPFAIL
fi
if [ "${1-}" = --clean ]; then
  echo "a clean-up" >"$root/lock"
  # Earlier runs may have been of the runtime that leaves more.
  # shellcheck source=runtime_devcontainer.sh
  if docker info >/dev/null 2>&1; then . "$here/runtime_devcontainer.sh"; fi
  clean
  exit
elif [ $# -gt 0 ]; then
  echo "$script: unknown argument $1; there is only --clean" >&2
  exit 2
elif [ -e "$evidence" ]; then
  echo "$script: there is a run $run_id already: choose another SCENARIO_RUN_ID" >&2
  exit 2
fi
echo "$run_id" >"$root/lock"
rm -rf -- "$root/tmp"
mkdir --mode=0700 "$root/tmp"
export TMPDIR=$root/tmp # in /tmp anyone can be there first, where a name is known beforehand
mkdir -p "$root/runs"
chmod 0700 "$root/runs"
mkdir -p "$evidence/files" "$evidence/container"
# On a full disk a run can still say how it ended: the result is written over blocks that it has from here on, and the
# reserve makes room for the end of the log.
printf '%*s' 2048 '' >"$evidence/result.json.part"
head --bytes=256K /dev/urandom >"$evidence/reserve"

# ---- the run -------------------------------------------------------------------------------------------------------

exec 3>&1
# A signal to all of this script's processes must not end the log before the script has said how it ended.
exec > >(trap '' INT TERM HUP; stamp >&3) 2>&1 </dev/null
stamper=$!
# By this the processes that the run starts on this host are known to be its own, also when their parent is gone.
export SCENARIO_STARTED_BY=$run_id

# take_back: what the container's user wrote becomes this user's, so that nobody changes it any more. Links, pipes and
# devices are no evidence, and reading them would harm.
take_back() {
  if [ "$(id -u)" -eq 0 ]; then chown -R --no-dereference 0:0 "$evidence/container"; fi
  chmod -R go-w "$evidence/container"
  find "$evidence/container" ! -type d ! -type f -delete
}

# result OUTCOME EXIT_CODE PHASE CAUSE: writes result.json, whole or not at all, and seals the evidence with it; what is
# not known is null.
result() {
  python3 -c '
import json, sys
outcome, code, phase, cause = sys.argv[1:]
print(json.dumps({"outcome": outcome, "exit_code": int(code), "phase": phase or None, "cause": cause or None}))' \
    "$@" 1<>"$evidence/result.json.part" || return
  seal
  mv "$evidence/result.json.part" "$evidence/result.json"
}

# logged TEXT: waits until the stamper, which may lag behind, has brought TEXT into the log; 5 s at most.
logged() {
  local look
  for ((look = 0; look < 50; look++)); do
    if tail -n 5 "$evidence/run.log" | grep -qF -- "$1"; then return; fi
    sleep 0.1
  done
}

# stop_started: ends what the run started on this host and has not ended yet, so that nothing writes to the evidence that
# is summed next. Who does not end within 3 s is killed.
stop_started() {
  local signal look pids
  export -n SCENARIO_STARTED_BY # what looks for them is none of them
  for signal in TERM KILL; do
    for ((look = 0; look < 30; look++)); do
      mapfile -t pids < <(grep -lzxF -- "SCENARIO_STARTED_BY=$run_id" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3)
      if [ "${#pids[@]}" -eq 0 ]; then return; fi
      kill "-$signal" "${pids[@]}" 2>/dev/null
      sleep 0.1
    done
  done
}

# close_log: waits until the stamper has written all, 10 s at most. Where something holds its input open for longer, the
# log is cut there: what comes later goes to a file that has no name any more.
close_log() {
  local look
  exec >&3 2>&3
  for ((look = 0; look < 100; look++)); do
    if ! kill -0 "$stamper" 2>/dev/null; then return; fi
    sleep 0.1
  done
  cp -- "$evidence/run.log" "$evidence/run.log.part" &&
    mv -- "$evidence/run.log.part" "$evidence/run.log"
}

finish() {
  local code=$? outcome=ok how failed_in cause='' lost=()
  trap - EXIT
  trap '' INT TERM HUP PIPE # once is enough: what is left takes seconds
  set +e
  rm -f "$evidence/reserve"
  case $code in
    0) event end run ;;
    129 | 130 | 143) outcome=interrupted; event fail "${phase:-run}"; event fail run ;;
    *) outcome=failed; event fail "${phase:-run}"; event fail run ;;
  esac
  take_back
  # What ran within `devcontainer up` says more than that did; where it was cut off, it is said here in its place.
  read -r how failed_in < <(sed -nE 's/^\{"event":"([a-z]+)","phase":"(clone|compile|pre_commit)".*/\1 \2/p' \
    "$evidence/container/events.jsonl" 2>/dev/null | tail -n 1)
  case $outcome:$how in
    *:fail) ;;
    failed:begin | interrupted:begin) event fail "$failed_in" ;;
    *) failed_in=$phase ;;
  esac
  printf '\n=== evidence ===\n'
  if runtime_lost; then lost=(--engine-lost); fi
  unwatch
  if [ "$outcome" != ok ]; then
    stop_started
    runtime_stop "$outcome"
    logged '=== evidence ==='
    cause=$(python3 -B "$here/failure_cause.py" "$evidence" --runtime "$runtime" --exit-code "$code" --max-jobs "$MAX_JOBS" \
      --oom-kills-before "${oom_kills_before:-0}" "${lost[@]}")
  fi
  # A host that shuts down does not wait, and what it stops has nothing more to tell.
  [ "$outcome" = interrupted ] || evidence_after
  if [ "$outcome" = ok ]; then
    printf '\nScenario %s is done: run %s\n' "${scenario^^}" "$run_id"
  else
    [ -z "$cause" ] || printf '\n%s\n' "$cause"
    printf '\nScenario %s %s in %s (exit code %s): run %s\n' "${scenario^^}" "$outcome" "${failed_in:-no phase}" "$code" "$run_id"
  fi
  close_log # it is whole before the result says so
  result "$outcome" "$code" "$failed_in" "$cause"
  rm -rf -- "$root/tmp"
  exit "$code"
}
oom_kills_before=$(awk '$1 == "oom_kill" { print $2 }' /proc/vmstat)
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
trap finish EXIT

TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-$(arch_list)}
MAX_JOBS=${MAX_JOBS:-$(max_jobs)}
export TORCH_CUDA_ARCH_LIST MAX_JOBS
# xformers gives nvcc a number of its own; nvcc goes by the last that it is given.
if [ -n "${SCENARIO_NVCC_THREADS-}" ]; then export NVCC_APPEND_FLAGS="--threads=$SCENARIO_NVCC_THREADS"; fi
echo "Scenario ${scenario^^}: run $run_id in $root"
describe_run
watch
evidence_before

event begin run
timed clean clean
keep cpu_before.json python3 -B "$here/cpu_used.py" "$(measured_process)"
runtime_evidence_at_build
timed lay_down lay_down
if declare -F image_build >/dev/null; then timed image_build image_build; else event skip image_build; fi
timed container_up container_up
if [ -n "$(gpus)" ]; then
  timed attention_test attention_test
else
  echo "No NVIDIA GPU answers on this host: the attention test is skipped"
  event skip attention_test
fi
