#!/usr/bin/env bash
# Scenario A, inside the devcontainer: clone the fork into the workspace and compile xformers there, once.
#
# Environment, all of it optional:
#   XFORMERS_USERNAME     whose fork is cloned; asked for on a terminal, else alexchesser
#   XFORMERS_FORK_URL     clone this instead of the user's fork on GitHub
#   XFORMERS_REF          a branch or tag of it; else the one that its remote names
#   TORCH_CUDA_ARCH_LIST  what to compile for (12.0)
#   MAX_JOBS              compilers at once (ninja decides)
#   SCENARIO_WHEELS     a folder of wheels, from which alone pre-commit is installed
#   SCENARIO_EVIDENCE   a folder for phases, pip's output, ninja's logs and what was here before; without it none
#                         are kept
set -Eeuo pipefail

readonly DEFAULT_USERNAME=alexchesser
readonly XFORMERS_PATH="${PWD}/xformers"
# Where pip and pre-commit put commands when site-packages belongs to root, as it does for the user vscode.
export PATH="${PATH}:${HOME}/.local/bin"

phase=

# event EVENT PHASE: one line in the evidence. /proc/uptime is one clock for the host and its containers; the time of day,
# read in the same moment, tells where that was set meanwhile.
event() {
  [ -n "${SCENARIO_EVIDENCE-}" ] || return 0
  local uptime now
  read -r uptime _ </proc/uptime
  now=${EPOCHREALTIME:-$(date +%s.%6N)} # bash 4 has none
  TZ=UTC0 printf '{"event":"%s","phase":"%s","uptime":%s,"time":"%(%Y-%m-%dT%H:%M:%S)T.%sZ"}\n' \
    "$1" "$2" "$uptime" "${now%[.,]*}" "${now: -6:3}" >>"${SCENARIO_EVIDENCE}/events.jsonl"
}
begin() { phase=$1; printf '\n=== %s ===\n' "$phase"; event begin "$phase"; }
end() { event end "$phase"; phase=; }
trap '[ -z "$phase" ] || event fail "$phase"' EXIT

# told, run, again
# shellcheck source=commands.sh
. "$(dirname "${BASH_SOURCE[0]}")/commands.sh"

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

# What sends less than 1 kB/s for a minute is given up, and by SSH who gives no answer for as long: git itself waits for
# ever. Nor may it ask anything, since nobody is there to answer.
export GIT_HTTP_LOW_SPEED_LIMIT=1000 GIT_HTTP_LOW_SPEED_TIME=60 GIT_TERMINAL_PROMPT=0
if [ -z "${GIT_SSH_COMMAND-}${GIT_SSH-}$(git config core.sshCommand || true)" ]; then
  export GIT_SSH_COMMAND="ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
fi

# clone_whole URL: a clone, or nothing of one: git takes a submodule that it has not checked out for one that is done.
clone_whole() {
  local code=0 there
  there=$(ls -A "$XFORMERS_PATH" 2>/dev/null) || true
  run git clone --recurse-submodules ${XFORMERS_REF:+--branch "$XFORMERS_REF"} -- "$1" "$XFORMERS_PATH" || code=$?
  if [ "$code" -ne 0 ] && [ -z "$there" ] && [ -d "$XFORMERS_PATH" ]; then find "$XFORMERS_PATH" -mindepth 1 -delete; fi
  return "$code"
}

clone() {
  local url=$1
  # Until it is told to, git reads no repository on disk that belongs to somebody else, and takes no submodule from disk.
  if [[ $url == file://* ]]; then
    run git config --global --add safe.directory '*'
    run git config --global protocol.file.allow always
  fi
  again clone_whole "$url"
  # The workspace is a mount: its owner may differ from this user. $sm_path alone is relative, so git would
  # never match it; $toplevel makes it absolute, for submodules of submodules too.
  run git config --global --add safe.directory "$XFORMERS_PATH"
  # shellcheck disable=SC2016 # git expands these, in each submodule
  run git -C "$XFORMERS_PATH" submodule --quiet foreach --recursive \
    'git config --global --add safe.directory "$toplevel/$sm_path"'
  require_large_files
}

# Without git-lfs a clone has pointers in place of files that are kept there, and says nothing.
require_large_files() {
  local listing="git ls-files -- ':(attr:filter=lfs)'" files
  if git lfs version >/dev/null 2>&1; then return; fi
  files=$(cd "$XFORMERS_PATH" && eval "$listing" && git submodule --quiet foreach --recursive "$listing")
  if [ -z "$files" ]; then return; fi
  printf 'the fork keeps files in Git LFS, and git-lfs is not here: %s\n' "$(head -n 1 <<<"$files")" >&2
  return 1
}

# The one compile. pip says with -v what ninja does, which is where the progress comes from.
compile() {
  local log=/dev/null
  if [ -n "${SCENARIO_EVIDENCE-}" ]; then
    log=${SCENARIO_EVIDENCE}/pip.log
    export PATH="${PWD}/.devcontainer/bin:${PATH}"
  fi
  run env FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST:-12.0}" ${MAX_JOBS:+MAX_JOBS="$MAX_JOBS"} \
    python3 -m pip install --verbose --no-cache-dir --no-build-isolation --no-deps -e "$XFORMERS_PATH" 2>&1 | tee "$log"
}

# What is here of xformers before anything is cloned: nothing, on a fresh machine.
look_before() {
  [ -z "${SCENARIO_EVIDENCE-}" ] || python3 .devcontainer/environment_facts.py --before \
    >"${SCENARIO_EVIDENCE}/environment_before.json" || echo "evidence: what was here before is not known"
}

# The extension as this compile left it: a file that is written again changes these. And, where there is a cuobjdump, of
# CUDA or of triton's wheel, the GPU code in it.
look_at_extension() {
  [ -n "${SCENARIO_EVIDENCE-}" ] || return 0
  stat --printf '{"path":"%n","size":%s,"inode":%i,"modified":"%.9Y","changed":"%.9Z"}\n' "$XFORMERS_PATH"/xformers/_C*.so \
    >"${SCENARIO_EVIDENCE}/extensions.jsonl" || { echo "evidence: the compile left no extension"; return 0; }
  sha256sum "$XFORMERS_PATH"/xformers/_C*.so >"${SCENARIO_EVIDENCE}/extension_sums.txt"
  local cuobjdump
  cuobjdump=$(PATH=$PATH:/usr/local/cuda/bin command -v cuobjdump) || cuobjdump=$(python3 -c '
import importlib.util, os
print(os.path.dirname(importlib.util.find_spec("triton").origin) + "/backends/nvidia/bin/cuobjdump")' 2>/dev/null) || true
  if [ -x "$cuobjdump" ]; then
    "$cuobjdump" --list-elf --list-ptx "$XFORMERS_PATH"/xformers/_C*.so
  else
    echo "there is no cuobjdump here"
  fi >"${SCENARIO_EVIDENCE}/extension_elf.txt" 2>&1 || echo "evidence: cuobjdump failed"
}

# look_at_source MOMENT: what git says of the clone then.
look_at_source() {
  [ -z "${SCENARIO_EVIDENCE-}" ] || .devcontainer/source_facts.sh "$XFORMERS_PATH" \
    >"${SCENARIO_EVIDENCE}/source_$1.txt" || echo "evidence: the source $1 is not known"
}

pre_commit() {
  run python3 -m pip install --no-cache-dir \
    ${SCENARIO_WHEELS:+--no-index --find-links "$SCENARIO_WHEELS"} pre-commit
  cd "$XFORMERS_PATH"
  run pre-commit install
}

url=$(fork_url)
look_before
begin clone
clone "$url"
end
look_at_source after_clone
begin compile
compile
end
look_at_source after_compile
look_at_extension
begin pre_commit
pre_commit
end
