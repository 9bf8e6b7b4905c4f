#!/usr/bin/env bash
# Scenario A: "new developer, fresh machine". Builds the devcontainer with no cache, compiles xformers in it exactly
# once, runs the attention test, and times each phase by this host's monotonic clock.
#
#   benchmarking/scenario_a.sh           runs it
#   benchmarking/scenario_a.sh --clean   removes the containers, images and workspace of earlier runs
#
# Needs git, python3 and, for the runtime devcontainer, Docker and the Dev Container CLI; for native what
# native_checks.py looks at. Stops, non-zero, at the first thing that fails.
# The folder that holds this one is the base and is only read. Beside it are made
#   BASE-scenario-a/   the scenario's own workspace, made anew by each run
#   runs/RUN_ID/       the evidence: run.log, events.jsonl, and what was laid down and built
#   tmp/               temporary files
# What this user reads or runs there stays this user's. Where that is root, the container's user has two folders of its
# own: the clone, and container/ in the evidence, which is taken back when the run ends.
#
# Settings, from the environment or else from scenario.env beside this script, all optional:
#   XFORMERS_USERNAME, XFORMERS_FORK_URL  what is cloned (alexchesser's fork)
#   XFORMERS_REF                          a branch or tag of it (its own default)
#   TORCH_CUDA_ARCH_LIST                  what to compile for (the GPUs' compute capability, else 12.0)
#   MAX_JOBS                              compilers at once (from cores and memory, see max_jobs)
#   SCENARIO_NVCC_THREADS               threads of each nvcc (xformers' own number)
#   SCENARIO_RUNTIME                    devcontainer or native (devcontainer)
#   DEVCONTAINER                          the Dev Container CLI (devcontainer)
#   SCENARIO_PYTHON                     for native: the site's Python, which has torch (python3)
#   SCENARIO_PYTHON_PACKAGES            for native: what pip installs into the environment
#   SCENARIO_WHEELS                     a folder of wheels, from which alone pip installs; in a container that has it
#                                         mounted, pre-commit
#   SCENARIO_MOUNTS                     SOURCE:TARGET[:ro] ..., mounted into the container
#   SCENARIO_COLD_BASE                  not empty: remove the base image first, so that its pull is timed
#   SCENARIO_SLOW_SECONDS               a pull that gets less than 10 kB/s for so long is given up (120)
#   SCENARIO_RUN_ID                     name of this run (time and a random part)
#   SCENARIO_INPUT_HASH                 kept in the evidence: what makes runs comparable
#   SCENARIO_CHALLENGE                  64 hex digits that who starts the run chose just before: the attention test's
#                                         numbers are made of them (of this host's own random ones: `unchallenged`)
#   http_proxy, https_proxy, no_proxy     reach the build and the container
set -Eeuo pipefail

scenario=a
# shellcheck source=run.sh
. "$(dirname "${BASH_SOURCE[0]}")/run.sh"
