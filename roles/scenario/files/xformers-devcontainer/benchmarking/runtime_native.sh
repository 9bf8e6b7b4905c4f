# shellcheck shell=bash
# The runtime "native" of run.sh, which sources this file: no container, for hosts that may not run any. A fresh
# virtual environment sees the site's torch, and takes the image's place; the same post-create script clones and
# compiles there, once. There is no image, so there is no phase image_build, and `container_up` makes the environment.
#
# From run.sh: base, work, here, evidence, the settings, and run, keep.
# shellcheck disable=SC2154 # assigned there

python=${SCENARIO_PYTHON:-python3}
environment=$work/.venv

# ---- phases --------------------------------------------------------------------------------------------------------

base_image() { :; }

clean() { run rm -rf -- "$work"; }

lay_down() {
  copy_base
  keep_laid_down
}

container_up() {
  run "$python" -B "$here/native_checks.py" --output "$evidence/native_checks.json" "$TORCH_CUDA_ARCH_LIST"
  make_environment
  run inside "$work/.devcontainer/post-create-scenario-a.sh"
}

attention_test() {
  run inside python3 attention_test.py --challenge "$challenge" | tee "$evidence/attention_test.log"
}

# The environment's own packages, and behind them what the site's Python has: a virtual environment made by another
# one would see neither that one's packages nor its pip.
make_environment() {
  local packages
  run mkdir "$work/home"
  run "$python" -m venv --without-pip "$environment"
  "$python" -c 'import site; [print(f"import site; site.addsitedir({folder!r})") for folder in site.getsitepackages()]' |
    tee "$(inside python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/site.pth"
  read -ra packages <<<"${SCENARIO_PYTHON_PACKAGES-}"
  [ "${#packages[@]}" -eq 0 ] || run inside python3 -m pip install --no-cache-dir \
    ${SCENARIO_WHEELS:+--no-index --find-links "$SCENARIO_WHEELS"} "${packages[@]}"
}

# inside COMMAND...: in the workspace and the environment, with an empty home and nothing of the caller's environment
# but what is named here, so that no setting, compiler or cache of a user gets into the measurement.
inside() {
  local name kept=()
  for name in CUDA_HOME LD_LIBRARY_PATH TMPDIR MAX_JOBS NVCC_APPEND_FLAGS SCENARIO_STARTED_BY SCENARIO_WHEELS \
    TORCH_CUDA_ARCH_LIST XFORMERS_USERNAME XFORMERS_REF \
    http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE; do
    [ -z "${!name-}" ] || kept+=("$name=${!name}")
  done
  if [ -n "${SSL_CERT_FILE-}" ]; then kept+=("PIP_CERT=$SSL_CERT_FILE" "GIT_SSL_CAINFO=$SSL_CERT_FILE"); fi
  (
    cd "$work" || exit
    exec env -i "${kept[@]}" LANG=C.UTF-8 "HOME=$work/home" \
      "PATH=$environment/bin:$PATH:${CUDA_HOME:-/usr/local/cuda}/bin" \
      "XFORMERS_FORK_URL=$(as_mounted "${XFORMERS_FORK_URL-}")" "SCENARIO_EVIDENCE=$evidence/container" \
      PIP_DISABLE_PIP_VERSION_CHECK=1 "$@"
  )
}

# as_mounted URL: a file:// URL below a mount's target names what a container would see there; here it is the source.
as_mounted() {
  local url=$1 mount source target
  for mount in ${SCENARIO_MOUNTS-}; do
    IFS=: read -r source target _ <<<"$mount"
    if [[ $url == "file://$target/"* ]]; then url=file://$source/${url#"file://$target/"}; fi
  done
  printf '%s\n' "$url"
}

# ---- evidence ------------------------------------------------------------------------------------------------------

watch() { :; }
unwatch() { :; }
runtime_lost() { false; }
# All that runs is this host's own, and has been stopped.
runtime_stop() { :; }

measured_process() { echo $$; }

runtime_evidence_before() { :; }

runtime_evidence_at_build() { :; }

runtime_evidence_after() {
  [ -e "$environment" ] || return 0
  keep gpus.txt inside sh -c 'nvidia-smi -L 2>/dev/null || true'
  keep scripts_inside.sha256 inside sh -c "$scripts_sums"
  keep packages.json inside python3 -m pip list --format json
  keep commit.txt inside git -C xformers rev-parse HEAD
  keep tree.txt inside git -C xformers rev-parse 'HEAD^{tree}'
  keep environment.json inside python3 .devcontainer/environment_facts.py
  keep toolchain.json inside python3 -B .devcontainer/toolchain_facts.py
  keep extension.txt inside find xformers/xformers -maxdepth 1 -name '_C*.so' -exec sha256sum {} +
}
