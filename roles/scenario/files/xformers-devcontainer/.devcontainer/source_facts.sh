#!/usr/bin/env bash
# Print what git says of a clone, for the evidence. A line each:
#
#   commit HASH, tree HASH     what is checked out
#   submodule MARK HASH PATH   as `git submodule status` has it; the mark is `ok` where it is at the commit's own
#   hidden PATH                a file whose changes git was told not to look at
#   changed XY PATH            what is not as it was committed, as `git status --porcelain` has it: files that are not
#                              tracked (??) and ignored ones (!!) too, those of submodules by their path in the clone
#
# Usage: source_facts.sh CLONE
set -euo pipefail

cd "$1"
# Whatever settings say: every file is looked at, by git alone.
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=core.fsmonitor GIT_CONFIG_VALUE_0=false \
  GIT_CONFIG_KEY_1=core.untrackedCache GIT_CONFIG_VALUE_1=false
# shellcheck disable=SC2016 # expanded where it runs, in the clone and in each submodule
LOOK='git ls-files -v | sed -n "s#^[a-zS] #hidden $displaypath#p"
  git status --porcelain --untracked-files=normal --ignored --ignore-submodules=none | sed "s#^\(..\) #changed \1 $displaypath#"'

printf 'commit %s\ntree %s\n' "$(git rev-parse HEAD)" "$(git rev-parse 'HEAD^{tree}')"
git submodule status --recursive | sed -E 's/^ /ok /; s/^([-+U])/\1 /; s/ \([^()]*\)$//; s/^/submodule /'
displaypath='' bash -c "$LOOK"
git submodule --quiet foreach --recursive "displaypath=\$displaypath/; $LOOK"
