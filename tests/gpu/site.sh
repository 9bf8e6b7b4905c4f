#!/usr/bin/env bash
# site.sh FOLDER: what a site without a network has before it calls `provisioner`, made on this machine: a mirror with an
# engine's packages, an index for pip, a way to give containers the GPU. FOLDER gets site.yml, the site's variables.
# The site's Python, which has torch: SITE_PYTHON.
set -Eeuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
python=${SITE_PYTHON:-/opt/torch/.venv/bin/python3}
# The engine's bridge has this address on the host by default; a container reaches it without NAT.
index=172.17.0.1

# --- packages: the mirror alone, since nothing else is reached; in the base image as well.
mkdir -p /srv/mirror /var/lib/site-disabled
cp "$here"/mirror/*.deb /srv/mirror/
(
  cd /srv/mirror
  dpkg-scanpackages --multiversion . >Packages 2>/dev/null
  printf 'Origin: Site\nSuite: noble\nCodename: noble\nArchitectures: amd64\nDate: %s\nSHA256:\n %s %s Packages\n' \
    "$(date -uR)" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
)
find /etc/apt \( -name '*.list' -o -name '*.sources' \) -exec mv -t /var/lib/site-disabled {} +
echo 'deb [trusted=yes] file:/srv/mirror ./' >/etc/apt/sources.list.d/site.list

# --- an index for pip, with the site's torch and what it depends on: for the image's pip, which its variables tell of it.
"$python" "$here/wheels_again.py" /var/lib/site-index torch triton ninja
# And the bundle's pip: the machine's own is not as its package has it.
pip=$(tar -tf "$here/bundle.tar" | grep '^wheels/pip-')
tar -C /var/lib/site-index -xf "$here/bundle.tar" "$pip"
mkdir -p /var/lib/site-index/simple/pip
echo "<a href=\"/$pip\">${pip#wheels/}</a>" >/var/lib/site-index/simple/pip/index.html

# --- the GPU in containers: a stand-in for NVIDIA's toolkit, and the engine's settings for it and for a kernel without NAT.
# Nobody answers for DNS, and that at once: pip's upgrade of itself asks for an index that is not to be had.
install -m 0755 "$here/stand_in_runtime.py" /usr/local/bin/stand-in-for-nvidia-runtime
printf '#!/bin/sh\n# A STAND-IN: by this name the engine takes --gpus; stand-in-for-nvidia-runtime does the work.\nexit 0\n' \
  >/usr/local/bin/nvidia-container-runtime-hook
chmod 0755 /usr/local/bin/nvidia-container-runtime-hook
mkdir -p /etc/docker
cat >/etc/docker/daemon.json <<'END'
{
    "iptables": false,
    "ip6tables": false,
    "dns": ["172.17.0.1"],
    "default-runtime": "nvidia",
    "runtimes": {"nvidia": {"path": "/usr/local/bin/stand-in-for-nvidia-runtime"}}
}
END

# --- the variables. Of the root file system what is no distribution's is left out, and the largest libraries that torch
# brings itself.
torch=$("$python" -c 'from importlib.metadata import version; print(version("torch"))')
triton=$("$python" -c 'from importlib.metadata import version; print(version("triton"))')
cuda=$(readlink -f /usr/local/cuda | grep -oE '[0-9]+\.[0-9]+$')
# What runs when Python starts and is of no package, and Python's packages of the machine's own; and this test's folder.
pth=$(find /usr/lib/python3 -name '*.pth' -exec sh -c 'dpkg --search "$1" >/dev/null 2>&1 || printf "\"./%s\", " "${1#/}"' _ {} \;)
own=$(find / -mindepth 1 -maxdepth 1 -printf '%f\n' |
  grep -vxE 'bin|boot|dev|etc|home|lib|lib32|lib64|libx32|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|.*\.usr-is-merged' |
  sed 's|.*|"./&",|' | tr '\n' ' ')
cat >"$out/site.yml" <<END
scenario_base_image: site/cuda:$cuda-devel
local_sources_bundle: $here/bundle.tar
local_sources_base_image_from: /
local_sources_base_image_exclude: [$own "./opt/*", "./mnt/*", "./var/lib/site-*",
  $pth"./usr/local/lib/python3*/dist-packages/*", "./var/lib/acceptance*",
  "./usr/local/cuda-*/targets/*/lib/lib[!c]*_static*.a", "./usr/local/cuda-*/targets/*/lib/libcu[!d]*_static*.a",
  "./usr/lib/x86_64-linux-gnu/libcudnn*"]
scenario_system_packages: [python3-pip, python3-dev, build-essential, git]
scenario_python_packages:
  - [pip, --ignore-installed, --index-url, "http://$index:8010/simple", --trusted-host, $index]
  - [torch==$torch, triton==$triton, ninja, --index-url, "http://$index:8010/simple", --trusted-host, $index]
scenario_python: $python
# The mirror has Debian's packages, in which the engine's client is one of its own.
docker_engine_packages: {distribution: {ubuntu24.04: [docker.io, docker-cli, docker-buildx, iptables, apparmor, ca-certificates]}}
# A stand-in, here; elsewhere a runtime of the site's own, or CDI that it looks after.
nvidia_container_toolkit_manage: false
END
# Up before the engine is: its address comes with the engine's bridge.
setsid "$python" -m http.server --bind 0.0.0.0 --directory /var/lib/site-index 8010 >/var/lib/site-index/log 2>&1 </dev/null &
