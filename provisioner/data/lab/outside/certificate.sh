#!/bin/bash
# Makes /srv/outside/authority.pem, unless it is there, and by it the certificate that nginx shows under all names.
#   certificate.sh                 a good one
#   certificate.sh expired         one whose time is over
#   certificate.sh other-name      one for another name
#   certificate.sh other-authority one that nobody trusts
set -euo pipefail
names=$(cd "$(dirname "$0")" && pwd)/names
private=/etc/outside
mkdir -p "$private"
chmod 0700 "$private"
cd "$private"

# authority NAME: a key and a certificate that may sign others.
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=a lab's own authority" \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
[ -e authority.pem ] || authority authority
install -m 0644 authority.pem /srv/outside/authority.pem

signer=authority
alternatives=$(sed 's/^/DNS:/' "$names" | paste -sd ,)
begins=$(date -u -d '1 day ago' +%y%m%d%H%M%SZ)
ends=$(date -u -d '800 days' +%y%m%d%H%M%SZ)
case ${1-} in
  '') ;;
  expired) ends=$(date -u -d '1 hour ago' +%y%m%d%H%M%SZ) ;;
  other-name) alternatives=DNS:somewhere.example ;;
  other-authority) signer=stranger; authority stranger ;;
  *) echo "certificate.sh: unknown argument $1" >&2; exit 2 ;;
esac
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=stand-in' -keyout server.key -out server.csr 2>/dev/null
# `openssl x509` takes no dates; `openssl ca` does, and wants a list of what it signed.
: >index.txt
cat >ca.conf <<END
[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = $alternatives
END
openssl ca -batch -notext -config ca.conf -extensions server -cert "$signer.pem" -keyfile "$signer.key" \
  -startdate "$begins" -enddate "$ends" -in server.csr -out server.pem 2>/dev/null
