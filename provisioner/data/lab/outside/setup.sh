#!/bin/bash
# Run once as root on the lab host that stands in for the outside world, in the folder of these files, where site-ca.pem
# has the authorities by which this machine reaches the real world. $1 is the host's own address.
# Makes /srv/outside: authority.pem; fingerprints.json, of the repositories' keys; image/, from which an engine builds the
# base image; and a folder for each name with what that serves.
set -euo pipefail
cd "$(dirname "$0")"
world=/srv/outside
export SSL_CERT_FILE=$PWD/site-ca.pem
umask 022

apt-get -qq update
apt-get -qq install -y --no-install-recommends \
  ca-certificates dnsmasq-base docker-registry fcgiwrap git gpg gpg-agent nginx-light openssl skopeo >/dev/null
mkdir -p "$world"

# ---- an authority of this lab's own, and one certificate under all names ---------------------------------------------
./certificate.sh
cp site-ca.pem /etc/nginx/site-ca.pem

# ---- what is served ------------------------------------------------------------------------------------------------
mkdir -p "$world/image"
cp Dockerfile "$world/image/"
python3 old_packages.py "$world/image/packages"
python3 pytorch_index.py "$world/download.pytorch.org/whl/cu128"
./github.sh "$world/github.com"
python3 apt_repositories.py "$world" >"$world/fingerprints.json"

# ---- who serves it -------------------------------------------------------------------------------------------------
cat >/etc/docker/registry/config.yml <<'END'
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
http:
  addr: 127.0.0.1:5000
  relativeurls: true
END
systemctl restart docker-registry
cp nginx.conf /etc/nginx/
for part in git pypi registry; do cp "nginx-$part.conf" "/etc/nginx/$part.conf"; done
mkdir -p /etc/nginx/faults
systemctl restart fcgiwrap.socket
systemctl restart nginx

# Every name of these, and none below them, is this host; all others are what they are.
while read -r name; do echo "host-record=$name,$1"; done <names >/etc/outside-names.conf
cat >/etc/systemd/system/outside-names.service <<END
[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/etc/outside-names.conf --no-hosts --listen-address=$1 --bind-interfaces
Restart=always
[Install]
WantedBy=multi-user.target
END
systemctl enable --now --quiet outside-names
