#!/usr/bin/env bash
# Scenario A, inside the devcontainer: clone the fork into the workspace and compile xformers there, once.
#
# Environment, all of it optional:
#   XFORMERS_USERNAME     whose fork is cloned; asked for on a terminal, else alexchesser
#   XFORMERS_FORK_URL     clone this instead of the user's fork on GitHub
#   TORCH_CUDA_ARCH_LIST  what to compile for (12.0)
#   MAX_JOBS              compilers at once (ninja decides)
#   SCENARIO_A_EVIDENCE   a folder for phases, pip's output and ninja's logs; without it none are kept
set -Eeuo pipefail

readonly DEFAULT_USERNAME=alexchesser
readonly XFORMERS_PATH="${PWD}/xformers"
# Where pip and pre-commit put commands when site-packages belongs to root, as it does for the user vscode.
export PATH="${PATH}:${HOME}/.local/bin"

phase=

# event EVENT PHASE: one line in the evidence. /proc/uptime is one clock for the host and its containers.
event() {
  [ -n "${SCENARIO_A_EVIDENCE-}" ] || return 0
  local uptime
  read -r uptime _ </proc/uptime
  printf '{"event":"%s","phase":"%s","uptime":%s}\n' "$1" "$2" "$uptime" >>"${SCENARIO_A_EVIDENCE}/events.jsonl"
}
begin() { phase=$1; printf '\n=== %s ===\n' "$phase"; event begin "$phase"; }
end() { event end "$phase"; phase=; }
trap '[ -z "$phase" ] || event fail "$phase"' EXIT

# run COMMAND...: says what is about to run, then runs it.
# The echo is one write: the Dev Container CLI makes a line of each.
run() {
  local words
  printf -v words ' %q' "$@"
  printf '+%s\n' "$words"
  "$@"
}

fork_url() {
  if [ -n "${XFORMERS_FORK_URL-}" ]; then
    printf '%s\n' "$XFORMERS_FORK_URL"
    return
  fi
  local username=${XFORMERS_USERNAME-}
  if [ -z "$username" ] && [ -t 0 ]; then
    read -rp "GitHub user whose xformers fork to clone [${DEFAULT_USERNAME}]: " username
  fi
  username=${username:-$DEFAULT_USERNAME}
  # GitHub's own rule for names; anything else would end up in a URL.
  if ! [[ $username =~ ^[A-Za-z0-9]([A-Za-z0-9-]{0,37}[A-Za-z0-9])?$ ]]; then
    printf 'XFORMERS_USERNAME is not a GitHub user name: %q\n' "$username" >&2
    return 2
  fi
  printf 'https://github.com/%s/xformers.git\n' "$username"
}

clone() {
  local url=$1
  # git refuses to read a repository on disk that belongs to somebody else until it is told to.
  if [[ $url == file://* ]]; then run git config --global --add safe.directory "${url#file://}"; fi
  run git clone --recurse-submodules -- "$url" "$XFORMERS_PATH"
  # The workspace is a mount: its owner may differ from this user. $sm_path alone is relative, so git would
  # never match it; $toplevel makes it absolute, for submodules of submodules too.
  run git config --global --add safe.directory "$XFORMERS_PATH"
  # shellcheck disable=SC2016 # git expands these, in each submodule
  run git -C "$XFORMERS_PATH" submodule --quiet foreach --recursive \
    'git config --global --add safe.directory "$toplevel/$sm_path"'
}

# The one compile. pip says with -v what ninja does, which is where the progress comes from.
compile() {
  local log=/dev/null
  if [ -n "${SCENARIO_A_EVIDENCE-}" ]; then
    log=${SCENARIO_A_EVIDENCE}/pip.log
    export PATH="${PWD}/.devcontainer/bin:${PATH}"
  fi
  run env FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST:-12.0}" ${MAX_JOBS:+MAX_JOBS="$MAX_JOBS"} \
    python3 -m pip install --verbose --no-cache-dir --no-build-isolation --no-deps -e "$XFORMERS_PATH" 2>&1 | tee "$log"
}

pre_commit() {
  run python3 -m pip install --no-cache-dir pre-commit
  cd "$XFORMERS_PATH"
  run pre-commit install
}

url=$(fork_url)
begin clone
clone "$url"
end
begin compile
compile
end
begin pre_commit
pre_commit
end
