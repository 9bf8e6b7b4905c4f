# shellcheck shell=sh
# Sourced by the scripts beside it: makes this checkout's virtual environment, once.
#
# A bare Debian or Ubuntu has Python but neither venv nor pip, and Ubuntu 22.04's Python is too old: what is
# missing is taken from the distribution. Nothing is done, and nothing is waited for, when nothing is missing.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 2; }

# The first Python that provisioner runs on, by name; nothing where there is none.
find_python() {
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}

# apt_install PACKAGE...: only as root, and only for what is missing.
apt_install() {
  command -v apt-get >/dev/null || die "needs $*, and apt-get is not here to install it: install it and run this again"
  [ "$(id -u)" -eq 0 ] || die "needs $*: run 'sudo apt-get install $*', or run this as root"
  say "installing $*"
  # What apt and dpkg say is of use only where they fail.
  if ! said=$({ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } 2>&1); then
    printf '%s\n' "$said" >&2
    die "apt-get could not install $*: mend what it says above and run this again"
  fi
}

# need COMMAND PACKAGE: the command is there, if need be from the distribution's package.
need() { command -v "$1" >/dev/null || apt_install "$2"; }

# ensure_venv LOCK: the virtual environment holds just what LOCK, a requirements file with hashes, names.
ensure_venv() {
  lock=$root/$1
  stamp=$venv/.$1
  if cmp -s "$lock" "$stamp"; then return; fi
  mkdir -p "$venv"
  exec 9>"$venv/.lock"
  flock 9 # a second script started beside this one waits here, then finds the work done
  if ! cmp -s "$lock" "$stamp"; then
    python=$(find_python)
    if [ -z "$python" ]; then
      apt_install python3.11-venv
      python=$(find_python)
    fi
    [ -n "$python" ] || die "needs Python 3.11 or newer"
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install "$(basename "$(readlink -f "$python")")-venv"
    say "installing the locked requirements of $1 into ${venv}"
    [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
    # pip reads PIP_CERT but not SSL_CERT_FILE, by which a site usually names its CA bundle.
    if [ -n "${SSL_CERT_FILE-}" ]; then export PIP_CERT="${PIP_CERT-$SSL_CERT_FILE}"; fi
    "$venv/bin/pip" --disable-pip-version-check install --quiet --quiet --no-deps --require-hashes -r "$lock" >&2
    cp "$lock" "$stamp"
  fi
  exec 9>&-
}
