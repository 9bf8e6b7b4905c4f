#!/bin/bash
# Makes the repositories of GitHub that the seed clones, in the folder $1: the fork, from xformers' source release, and the
# submodules in it. third_party/flash-attention has a submodule of its own and little else: xformers 0.0.35 builds
# without it.
set -euo pipefail
folder=$1
version=0.0.35
sha256=f7fc183a58e4bf0e2ae339a18fb1b1d4a37854c0f2545b4f360fef001646ab76
rm -rf "$folder" # of a set-up that was broken off
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=stand-in GIT_AUTHOR_EMAIL=stand-in@localhost
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
export GIT_AUTHOR_DATE=2025-01-01T00:00:00+0000 GIT_COMMITTER_DATE=2025-01-01T00:00:00+0000

# publish TREE PROJECT: the tree becomes the one commit of a repository that is served.
publish() {
  local repository=$folder/$2.git
  prepare "$1"
  git -C "$1" add --all --force # also what it would ignore
  git -C "$1" commit --quiet --message "$2, a stand-in"
  mkdir -p "$(dirname "$repository")"
  git clone --quiet --bare "$1" "$repository"
  ln -s "$(basename "$repository")" "${repository%.git}"
}
# prepare TREE: a repository, where it is none yet.
prepare() { [ -d "$1/.git" ] || git -C "$1" init --quiet --initial-branch=main; }
# submodule TREE PATH PROJECT: in TREE, PATH becomes the head of what is published.
submodule() {
  prepare "$1"
  mkdir -p "$1/$2"
  git config --file "$1/.gitmodules" "submodule.$2.path" "$2"
  git config --file "$1/.gitmodules" "submodule.$2.url" "https://github.com/$3.git"
  git -C "$1" update-index --add --cacheinfo "160000,$(git -C "$folder/$3.git" rev-parse HEAD),$2"
}

here=$(cd "$(dirname "$0")" && pwd)
cd "$work"
python3 "$here/pypi.py" xformers "xformers-$version\.tar\.gz" xformers.tar.gz
echo "$sha256  xformers.tar.gz" | sha256sum --quiet --check
tar --no-same-owner -xzf xformers.tar.gz
mv "xformers-$version" xformers

mv xformers/third_party/cutlass cutlass
publish cutlass NVIDIA/cutlass

mkdir flash-attention
echo "A stand-in for flash-attention, which this version of xformers does not build." >flash-attention/README.md
submodule flash-attention csrc/cutlass NVIDIA/cutlass
publish flash-attention Dao-AILab/flash-attention

submodule xformers third_party/cutlass NVIDIA/cutlass
submodule xformers third_party/flash-attention Dao-AILab/flash-attention
publish xformers alexchesser/xformers
chown -R www-data: "$folder"
