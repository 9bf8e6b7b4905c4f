# shellcheck shell=bash
# The runtime "devcontainer" of run.sh, which sources this file: the phases that the host runs and the evidence
# that only Docker and the Dev Container CLI can give. Another runtime is another file with the functions that
# run.sh names under "the runtime".
#
# From run.sh: scenario, root, base, work, here, evidence, devcontainer, the settings, and run, keep, gpus.
# shellcheck disable=SC2154 # assigned there

# ---- phases --------------------------------------------------------------------------------------------------------

# Images that would shorten the build: the devcontainer's own, the builders', and an earlier run's.
SHORTCUTS='(^|/)(xformers-devcontainer|xformers-dependency-downloader|xformers-builder):|^vsc-xformers-devcontainer-scenario-[a-z]-'

# By name, so that no other name of the same image goes with it; by digest where a newer one has taken its tag.
shortcut_images() {
  docker image ls --digests --format '{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' | sort -u | grep -E "$SHORTCUTS" |
    awk '{ print ($1 ~ /:<none>$/) ? $2 : $1 }' || true
}

base_image() { awk '$1 == "FROM" { print $2; exit }' "$base/.devcontainer/Dockerfile.scenario-$scenario"; }

# of_builds: those of the ids on stdin that a build of an earlier run named in its log (`---> ID`, `---> Running in ID`).
# The log was called scenario_a.log once.
of_builds() {
  grep -xF -f <(cat "$root"/runs/*/{run,scenario_a}.log 2>/dev/null | sed -nE 's/.* ---> (Running in )?([0-9a-f]{12})$/\2/p') || true
}

clean() {
  local containers images
  mapfile -t containers < <(
    docker container ls --all --quiet --filter "label=devcontainer.local_folder=$work"
    # A build that was cut short leaves the container of its last step, and layers that no image has a name for.
    docker container ls --quiet --filter status=exited | of_builds
  )
  [ "${#containers[@]}" -eq 0 ] || run docker container rm --force --volumes "${containers[@]}"
  mapfile -t images < <(
    shortcut_images
    docker image ls --quiet --filter dangling=true | of_builds
  )
  if [ -n "${SCENARIO_COLD_BASE-}" ] && docker image inspect "$(base_image)" >/dev/null 2>&1; then
    images+=("$(base_image)")
  fi
  [ "${#images[@]}" -eq 0 ] || run docker image rm --force "${images[@]}"
  run rm -rf -- "$work"
}

lay_down() {
  local options=(--scenario "$scenario" --env "SCENARIO_EVIDENCE=/scenario-evidence" --env "TORCH_CUDA_ARCH_LIST=$TORCH_CUDA_ARCH_LIST"
    --env "MAX_JOBS=$MAX_JOBS" --mount "$evidence/container:/scenario-evidence")
  local name mount source target
  for name in XFORMERS_USERNAME XFORMERS_FORK_URL XFORMERS_REF NVCC_APPEND_FLAGS; do
    [ -z "${!name-}" ] || options+=(--env "$name=${!name}")
  done
  for mount in ${SCENARIO_MOUNTS-}; do
    options+=(--mount "$mount")
    # Wheels that the container sees are what its pip gets pre-commit from, too: there may be no index.
    IFS=: read -r source target _ <<<"$mount"
    if [[ ${SCENARIO_WHEELS-} == "$source"/* ]]; then
      options+=(--env "SCENARIO_WHEELS=$target${SCENARIO_WHEELS#"$source"}")
    fi
  done
  [ -z "$(gpus)" ] || options+=(--gpus)

  copy_base
  run python3 -B "$here/devcontainer_json.py" "$base/.devcontainer/devcontainer.json" "${options[@]}" \
    --output "$work/.devcontainer/devcontainer.json"
  keep_laid_down
  use_proxies
}

# The environment's proxies, for builds and containers. What the container's shell knows the CLI makes options of `docker
# exec`, where every user of the host could read a password: then it does not ask the shell.
no_probe=()
use_proxies() {
  local proxies=${http_proxy-}${https_proxy-}${HTTP_PROXY-}${HTTPS_PROXY-}
  if [ -z "$proxies${no_proxy-}${NO_PROXY-}" ]; then return; fi
  run python3 -B "$here/docker_config.py" "$TMPDIR/docker"
  export DOCKER_CONFIG=$TMPDIR/docker
  if [[ $proxies == *@* ]]; then no_probe=(--default-user-env-probe none); fi
}

# How the Dev Container CLI builds, both times: by `docker build`. With its own call of BuildKit and no cache it has the
# builder ask the registry for the base again, although that is here; one that was made on this host is in none. `docker
# build` itself is the classic builder, or BuildKit where its plugin is installed (Docker 23 and newer).
builder=(--buildkit never)

# engine_read: bytes that the engine has read so far, from the network and of what it unpacks; nothing where we may not
# know. What the host as a whole receives tells less: whoever watches the run sends it more than a slow registry does.
engine_read() {
  local pid
  for pid in $(pgrep -x 'dockerd|containerd'); do cat "/proc/$pid/io"; done 2>/dev/null |
    awk '$1 == "rchar:" { sum += $2 } END { if (NR) printf "%.0f\n", sum }'
}

# stop_slow PID: ends a pull for which the engine read less than SLOW_RATE bytes a second for a time: docker itself waits
# for ever.
SLOW_RATE=10000
stop_slow() {
  local slow=${SCENARIO_SLOW_SECONDS:-120} before after
  while :; do
    before=$(engine_read)
    if [ -z "$before" ]; then
      echo "who runs this may not see what the engine reads: a pull that does not get on is not ended"
      return
    fi
    read -rt "$slow" <> <(:) || true # a pause without a process, which would outlive this one and keep the log open
    kill -0 "$1" 2>/dev/null || return
    after=$(engine_read)
    if [ -n "$after" ] && [ $((after - before)) -lt $((SLOW_RATE * slow)) ]; then
      printf 'the registry sent less than %s kB/s for %s s: given up\n' $((SLOW_RATE / 1000)) "$slow"
      kill "$1" 2>/dev/null
      return
    fi
  done
}

# pull IMAGE: as docker does it, but for one that does not get on. In a subshell of its own.
pull() (
  code=0
  told docker image pull "$1"
  docker image pull "$1" &
  pulling=$!
  stop_slow "$pulling" 9>&- &
  watching=$!
  trap 'kill "$pulling" "$watching" 2>/dev/null; exit 143' TERM INT HUP # nothing of it may outlive the run
  wait "$pulling" || code=$?
  if [ "$code" -eq 143 ]; then code=1; fi # by stop_slow: a failure, and none who stops the run
  kill "$watching" 2>/dev/null
  exit "$code"
)

# ask_base_image: what its nvcc says of itself becomes evidence. Where that cannot build for what is asked, the run ends
# here and not after the whole build; an image without nvcc is left alone. No GPU is wanted for it, so that it costs a
# fraction of a second.
ask_base_image() {
  # shellcheck disable=SC2016 # it is the image's shell that expands it
  local ask='PATH=$PATH:/usr/local/cuda/bin; command -v nvcc >/dev/null || exit 0; nvcc --version; '
  ask+='{ nvcc --list-gpu-code; nvcc --help; } | grep -Eo "sm_[0-9]+[af]?" | sort -u'
  # By the label the next clean-up finds one that does not end.
  keep base_image_cuda.txt timeout --kill-after=10 60 docker run --rm --pull never --network none \
    --label "devcontainer.local_folder=$work" \
    --env NVIDIA_VISIBLE_DEVICES=void --entrypoint sh "$(base_image)" -c "$ask"
  python3 -B "$here/base_image_cuda.py" "$evidence/base_image_cuda.txt" "$TORCH_CUDA_ARCH_LIST"
}

# ask_gpus: a container of the base image is given the host's GPUs, as the devcontainer will be. Where the engine cannot,
# or gives fewer, or the driver is too old for the image's CUDA, the run ends here and not after the build. What was said
# becomes evidence.
ask_gpus() {
  [ -n "$(gpus)" ] || return 0
  keep container_gpus.txt gpus_in_container
  keep host_gpus.txt sh -c 'nvidia-smi; nvidia-smi -L'
  python3 -B "$here/container_gpus.py" "$evidence/container_gpus.txt" "$evidence/host_gpus.txt" "$evidence/base_image_cuda.txt"
}
gpus_in_container() {
  local code=0
  timeout --kill-after=10 120 docker run --rm --pull never --network none --gpus all \
    --label "devcontainer.local_folder=$work" --entrypoint sh "$(base_image)" \
    -c 'ls -d /dev/nvidia[0-9]* /dev/dxg 2>/dev/null; nvidia-smi; nvidia-smi -L; exit 0' 2>&1 || code=$?
  echo "exit code $code"
}

image_build() {
  # As part of what is timed, whichever builder follows: BuildKit would pull it too, but keep no image of it, so that
  # nothing could tell its layers from those of this build.
  docker image inspect "$(base_image)" >/dev/null 2>&1 || again pull "$(base_image)"
  ask_base_image
  ask_gpus
  run "$devcontainer" build --workspace-folder "$work" --no-cache --log-format text "${builder[@]}" | tee "$evidence/build.json"
}

container_up() {
  local user image
  image=$(built_image)
  user=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get("remoteUser", "vscode"))' "$work/.devcontainer/devcontainer.json")
  # The Dev Container CLI gives the container's user this user's number, so that both may write the workspace; but
  # not root's. Then the container's user gets what it writes, and no more: the rest root reads and runs.
  if [ "$(id -u)" -eq 0 ]; then
    run mkdir "$work/xformers"
    told docker run --rm --entrypoint id "$image" -u "$user"
    run chown "$(docker run --rm --entrypoint id "$image" -u "$user")" "$work/xformers" "$evidence/container"
  fi
  run "$devcontainer" up --workspace-folder "$work" --remove-existing-container --log-format text \
    "${builder[@]}" "${no_probe[@]}" | tee "$evidence/up.json"
}

attention_test() {
  run "$devcontainer" exec "${no_probe[@]}" --workspace-folder "$work" \
    python3 attention_test.py --challenge "$challenge" | tee "$evidence/attention_test.log"
}

built_image() {
  python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).read().splitlines()[-1])["imageName"][0])' "$evidence/build.json"
}

# ---- evidence ------------------------------------------------------------------------------------------------------

# Every image, those without a name too, by what cannot be renamed: its id and its layers. One JSON object a line.
images() {
  docker image ls --all --quiet --no-trunc | sort -u | xargs -r docker image inspect --format \
    '{"id":{{json .Id}},"tags":{{json .RepoTags}},"digests":{{json .RepoDigests}},"created":{{json .Created}},"layers":{{json .RootFS.Layers}}}'
}

layers() { docker image history --no-trunc --format '{{json .}}' "$1"; }

# What comes to the host while the run is under way; stopped by unwatch. That containers are created is kept as well:
# the run's own shows that the watch was on.
watch() {
  docker events --filter type=image --filter type=container --filter event=pull --filter event=load \
    --filter event=import --filter event=tag --filter event=create --format '{{json .}}' \
    >"$evidence/docker_events.jsonl" 2>/dev/null 9>&- &
  docker_events=$!
}
unwatch() { kill "$docker_events" 2>/dev/null; }

# runtime_stop OUTCOME: ends what still runs in containers. A build's steps and, where nobody will ask it anything, the
# devcontainer are killed; that of a failed run is begun anew, which ends what outlived `devcontainer up`.
runtime_stop() {
  local containers
  mapfile -t containers < <(timeout 20 docker container ls --quiet --filter status=running | of_builds)
  [ "${#containers[@]}" -eq 0 ] || timeout 20 docker container kill "${containers[@]}" >/dev/null
  mapfile -t containers < <(timeout 20 docker container ls --quiet --filter "label=devcontainer.local_folder=$work")
  if [ "${#containers[@]}" -eq 0 ]; then return; fi
  if [ "$1" = failed ] && timeout 60 docker container restart --time 0 "${containers[@]}" >/dev/null; then return; fi
  timeout 20 docker container kill "${containers[@]}" >/dev/null
}

# Whether the engine went away meanwhile: the watching ends with it, also where it has been restarted since.
runtime_lost() { ! kill -0 "$docker_events" 2>/dev/null; }

# The container's first; none where there is no container.
measured_process() {
  docker container ls --quiet --filter "label=devcontainer.local_folder=$work" | head -n 1 |
    xargs -r docker container inspect --format '{{.State.Pid}}'
}

runtime_evidence_before() {
  keep images_before.jsonl images
  keep docker_version.json docker version --format '{{json .}}'
  keep devcontainer_version.txt "$devcontainer" --version
}

# After the clean-up, before the build.
runtime_evidence_at_build() {
  keep images_at_build.jsonl images
  keep base_image_before.json docker image inspect "$(base_image)"
}

# driver_says: which GPUs the driver has here, by its program or else by the kernel's own files; nothing where it has none.
driver_says='{ nvidia-smi -L || cat /proc/driver/nvidia/gpus/*/information; } 2>/dev/null'

# What the container's own user sees, whose packages and repository they are: each under its heading. The CLI takes a
# second for each call of it, so there is one.
inside() {
  "$devcontainer" exec "${no_probe[@]}" --workspace-folder "$work" sh -c "
    echo '=== gpus.txt'; $driver_says
    echo '=== scripts_inside.sha256'; $scripts_sums"'
    echo "=== packages.json"; python3 -m pip list --format json
    echo "=== commit.txt"; git -C xformers rev-parse HEAD
    echo "=== tree.txt"; git -C xformers rev-parse "HEAD^{tree}"
    echo "=== environment.json"; python3 .devcontainer/environment_facts.py
    echo "=== toolchain.json"; python3 -B .devcontainer/toolchain_facts.py'
}
told_inside() { sed -n "/^=== $1\$/,/^=== /{/^=== /!p}" "$evidence/inside.txt"; }

runtime_evidence_after() {
  local container image name asked=()
  container=$(docker container ls --all --quiet --filter "label=devcontainer.local_folder=$work" | head -n 1)
  keep images_after.jsonl images
  keep base_image.json docker image inspect "$(base_image)"
  keep base_image_history.jsonl layers "$(base_image)"
  if image=$(built_image 2>/dev/null); then
    keep image_inspect.json docker image inspect "$image"
    keep image_history.jsonl layers "$image"
  fi
  # What takes a second each is asked for side by side.
  if [ -e "$work" ]; then
    keep devcontainer_configuration.json "$devcontainer" read-configuration --workspace-folder "$work" --include-merged-configuration &
    asked+=("$!")
  fi
  if [ -n "$container" ]; then
    keep container_inspect.json docker container inspect "$container"
    image=$(docker container inspect --format '{{.Image}}' "$container")
    keep container_image.json docker image inspect "$image"
    keep container_image_history.jsonl layers "$image"
    keep container_diff.txt docker container diff "$container" &
    asked+=("$!")
    keep inside.txt inside
    for name in gpus.txt scripts_inside.sha256 packages.json commit.txt tree.txt environment.json toolchain.json; do
      keep "$name" told_inside "$name"
    done
    rm -f "$evidence/inside.txt"
  fi
  [ "${#asked[@]}" -eq 0 ] || wait "${asked[@]}"
  # Last, since the container that it makes has the workspace's label, by which the Dev Container CLI knows its own.
  if built_image >/dev/null 2>&1; then
    keep base_files.json timeout --kill-after=10 600 \
      python3 -B "$here/base_files.py" "$(base_image)" "devcontainer.local_folder=$work"
  fi
}
