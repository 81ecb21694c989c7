#!/usr/bin/env bash
# Sees to the programs that no Python package brings: system_packages.sh GROUP...
#   venv      what `python3 -m venv` needs        compiler  a C compiler, for the hot modules
#   test, bench                       the servers and load generators that some tests start, and `make bench`
#
# Where we are root on Debian (or its like) the missing ones are installed; elsewhere they are named, with the way to
# get them, and the status is 0 all the same: only what needs them is left out. Nothing that is installed here is left
# running or switched on at boot. STEELYARD_SYSTEM_PACKAGES=0 never installs.
set -euo pipefail

packages=()  # what is missing, as Debian calls it
missing=()   # the same, as a person calls it
services=()  # of these, what Debian would start

need() { # need PROGRAM PACKAGE [SERVICE]
  command -v "$1" >/dev/null 2>&1 && return
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 && return
  missing+=("$1")
  packages+=("$2")
  if [ -n "${3:-}" ]; then services+=("$3"); fi
}

need_compiler() {
  command -v "${CC:-cc}" >/dev/null 2>&1 || { missing+=("a C compiler"); packages+=(gcc libc6-dev); }
  local python include
  python=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)
  include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])' 2>/dev/null) || return 0
  if [ ! -e "$include/Python.h" ]; then
    missing+=("Python.h")
    packages+=("$("$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')")
  fi
}

need_servers() {
  need nginx "$(apt-cache show nginx-light >/dev/null 2>&1 && echo nginx-light || echo nginx)" nginx
  need haproxy haproxy haproxy
  need wrk wrk
  need ab apache2-utils
  need curl curl
  need ss iproute2
}

need_stream() { # datagrams are compared with nginx's stream module, which is built in or a file of its own
  [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] && return
  local nginx
  nginx=$(PATH="$PATH:/usr/sbin:/sbin" command -v nginx) || nginx=true
  case " $("$nginx" -V 2>&1) " in *" --with-stream "*) return ;; esac
  missing+=("nginx's stream module")
  packages+=(libnginx-mod-stream)
}

for group in "$@"; do
  case $group in
    venv) python3 -c 'import ensurepip' >/dev/null 2>&1 || { missing+=("ensurepip"); packages+=(python3-venv); } ;;
    compiler) need_compiler ;;
    test | bench) need_servers; need_stream ;;
    *) echo "system_packages.sh: unknown group '$group'" >&2; exit 2 ;;
  esac
done
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "${STEELYARD_SYSTEM_PACKAGES:-1}" = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing: ${missing[*]}. What needs them is left out."
  echo "  Debian, Ubuntu: sudo apt-get install ${packages[*]}"
  exit 0
fi

echo "Installing ${packages[*]} (for: ${missing[*]})"
# The customary way to say that a package may not start its service. One that is there already is left as it is.
policy=/usr/sbin/policy-rc.d
if [ ${#services[@]} -gt 0 ] && [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get -qq update </dev/null || echo "apt-get update failed; trying with the lists that are there" >&2
install() { apt-get -qq -y install --no-install-recommends "${packages[@]}" </dev/null >/dev/null; }
if ! install && ! { sleep 5 && install; }; then
  echo "Could not install ${packages[*]}: what needs ${missing[*]} is left out." >&2
  exit 0
fi
for service in "${services[@]}"; do
  systemctl --quiet --no-reload disable "$service.service" >/dev/null 2>&1 || true
done
