#!/usr/bin/env bash
# carry.sh FOLDER: makes FOLDER and FOLDER.00, FOLDER.01, ... of it: all that tests/gpu/accept.sh needs on a machine without
# a network. Debian with apt, npm, and the checkout's own Python environment.
set -Eeuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python=$root/.venv/bin/python
[ $# -eq 1 ] && [ ! -e "$1" ] || { echo "carry.sh: name one folder that is not there yet" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The machine's Python and platform; Ubuntu 24.04.
PYTHON=3.12
platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64
  --platform manylinux2014_x86_64)

# The controller: this checkout's wheel, and what it depends on, by the lock; without what `compare` alone needs.
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$out/wheelhouse" "$root"
"$python" - "$root/requirements.txt" >"$scratch/requirements.txt" <<'END'
import re, sys
for line in open(sys.argv[1]).read().replace("\\\n", " ").splitlines():
    name, _, marker = (*re.split(r"\s*;\s*|\s+--hash", line, maxsplit=1), "")[:3]
    needed = not re.search(r"sys_platform == .win32|python_full_version < '3.12'", line)
    if re.match(r"\w", line) and needed and line.split("==")[0] not in ("numpy", "scipy"):
        print(re.sub(r" ;.*?(?= --hash)", "", line))
END
"$python" -m pip download --quiet --dest "$out/wheelhouse" --no-deps --require-hashes --only-binary=:all: \
  --python-version "$PYTHON" --implementation cp "${platforms[@]}" -r "$scratch/requirements.txt"

"$root/bin/provisioner" bundle --python "$PYTHON" --runtime devcontainer -o "$out/bundle.tar"

# The engine's packages, for the site's mirror: Debian 13's, which Ubuntu 24.04 can install.
packages=(docker.io docker-cli docker-buildx containerd runc tini iptables libip4tc2 libip6tc2 libxtables12 libmnl0
  libnetfilter-conntrack3 libnfnetlink0 libnftnl11 apparmor)
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$out/mirror"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$scratch/sources.list"
apt=(-o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/nonexistent -o "Dir::State::lists=$scratch/lists"
  -o "Dir::Cache=$scratch/cache" -o APT::Architectures=amd64 -o APT::Architecture=amd64)
apt-get "${apt[@]}" --quiet update
(cd "$out/mirror" && apt-get "${apt[@]}" --quiet download "${packages[@]}")

cp "$here"/{accept.sh,site.sh,wheels_again.py,stand_in_runtime.py} "$out/"
tar -C "$(dirname "$out")" -c "$(basename "$out")" | split --bytes=56M --numeric-suffixes - "$out."
ls -l "$out".??
