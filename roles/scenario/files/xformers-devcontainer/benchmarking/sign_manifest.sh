#!/usr/bin/env bash
# sign_manifest.sh MANIFEST [FOLDER]: signs a run's manifest with each of the host's SSH keys in FOLDER (/etc/ssh), as
# MANIFEST.KIND.sig, less a .part at MANIFEST's end. Whoever knows the host by one of them can tell that the evidence is as it was here:
#
#   ssh-keygen -Y verify -f ALLOWED_SIGNERS -I HOST -n provisioner-evidence -s MANIFEST.ed25519.sig <MANIFEST
#
# Where there is no such key or no ssh-keygen, and where this is not root, nothing is signed and nothing fails.
set -uo pipefail

manifest=$1
folder=${2:-/etc/ssh}

for kind in ed25519 ecdsa rsa; do
  key=$folder/ssh_host_${kind}_key
  signature=${manifest%.part}.$kind.sig
  if [ -r "$key" ] && SSH_ASKPASS_REQUIRE=never timeout 10 \
    ssh-keygen -q -Y sign -f "$key" -n provisioner-evidence <"$manifest" >"$signature.part" 2>/dev/null; then
    mv -- "$signature.part" "$signature"
  fi
  rm -f -- "$signature.part"
done
