#!/bin/sh
# Makes this clone ready for `make demo`, `make test` or `make lint`:
#
#   sh tools/setup.sh demo|test|dev [lowest|newest]
#
# the shared libraries that Qt and napari need, a .venv, and the project in it with that extra.
# With "lowest" the environment is .venv-lowest, and each package that pyproject.toml names has the
# lowest version that it allows; with "newest" it is .venv-newest, beside a .venv of another Python.
# What is there already is left alone, so that a second run needs no network. System packages
# are installed only by root; anyone else, and anyone without apt, is told what to run.
set -eu
cd "$(dirname "$0")/.."

extra=$1
versions=${2:-}
python=${PYTHON:-python3}
venv=.venv${versions:+-$versions}
[ "$extra" = dev ] && goal=lint || goal=$extra${versions:+-$versions}

die() {
    printf '\nnapari-imagefit: %s\n' "$*" >&2
    exit 1
}

# --- what the system must bring: first all that is missing is listed, then it is installed at once ---

missing="" packages=""

lacks() { # lacks WHAT DEBIAN-PACKAGE
    missing="$missing${missing:+, }$1"
    packages="$packages $2"
}

check_python() {
    command -v "$python" >/dev/null 2>&1 ||
        die "there is no $python here; install Python 3.11 or newer, or name one: make $goal PYTHON=/path/to/python3"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is Python $version, and 3.11 or newer is needed; install one and name it: make $goal PYTHON=python3.12"
    # Debian keeps these two in a package of their own
    "$python" -c 'import ensurepip, venv' 2>/dev/null || lacks "Python's venv module" "python$version-venv"
}

check_window() {
    # The loader is asked and not dpkg, because later releases name some packages differently
    # (libglib2.0-0t64); apt-get still finds them by these names. ldconfig stands in /sbin, which is
    # not in everybody's PATH.
    if known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null); then
        while read -r library package; do
            case $known in
                *"	$library "*) ;;
                *) lacks "$library" "$package" ;;
            esac
        done <<END
libGL.so.1 libgl1
libEGL.so.1 libegl1
libglib-2.0.so.0 libglib2.0-0
libfontconfig.so.1 libfontconfig1
libdbus-1.so.3 libdbus-1-3
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-shape.so.0 libxcb-shape0
END
    fi
    # tests move the pointer, and need screens of their own even where there is one
    if [ "$extra" = test ] || [ -z "${DISPLAY:-}" ]; then
        command -v xvfb-run >/dev/null 2>&1 || lacks "Xvfb (virtual screens)" xvfb
        command -v xauth >/dev/null 2>&1 || lacks xauth xauth
    fi
}

install_packages() {
    remedy="apt-get update && apt-get install --no-install-recommends$packages"
    command -v apt-get >/dev/null 2>&1 ||
        die "this system lacks $missing; install that with its package manager, then run 'make $goal' again."
    [ "$(id -u)" -eq 0 ] ||
        die "this system lacks $missing; run as root: $remedy"
    echo "Installing with apt-get:$packages"
    # a failed update is no failure yet: the packages may be known, or only an unrelated source be down
    apt-get -qq update || true
    # shellcheck disable=SC2086  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $packages >/dev/null ||
        die "this system lacks $missing, and apt-get could not install it (see above); with a working network run: $remedy"
}

# --- .venv ---

usable_venv() {
    # without pip it is the remains of a failed attempt; when it was moved, stale paths are in it
    "$venv/bin/python" -c 'import pip' 2>/dev/null &&
        [ "$(cat "$venv/.made-in" 2>/dev/null || pwd)" = "$(pwd)" ]
}

make_venv() {
    echo "Making $venv with Python $version"
    "$python" -m venv --clear "$venv" ||
        die "$python -m venv failed (see above); name another Python: make $goal PYTHON=/path/to/python3"
    pwd >"$venv/.made-in"
}

pip_install() {
    # without compiling it is half a minute faster, and most modules are never imported
    "$venv/bin/python" -m pip install $quiet --disable-pip-version-check --no-compile "$@"
}

install_project() {
    echo "Installing napari-imagefit[$extra] into $venv: one to two minutes, 1.2 GB"
    quiet=""
    [ -t 1 ] || quiet=--quiet # a log needs only what goes wrong
    if [ "$versions" = lowest ]; then
        # pip knows only the newest; without --upgrade, what is there and still allowed would stay
        pip_install uv &&
            "$venv/bin/uv" pip install $quiet --python "$venv/bin/python" --resolution lowest-direct --upgrade --editable ".[$extra]"
    else
        pip_install --editable ".[$extra]"
    fi ||
        die "the Python packages could not be installed (see above); check that this machine reaches the package index (pypi.org, or the one that pip is configured for), then run 'make $goal' again."
    # each extra holds the ones before it
    for covered in demo test dev; do
        echo "$stamp" >"$venv/.installed-$covered"
        [ "$covered" != "$extra" ] || break
    done
}

usable_venv && venv_is_there=yes || venv_is_there=no
[ "$venv_is_there" = yes ] || check_python
[ "$extra" = dev ] || check_window
[ -z "$packages" ] || install_packages
[ "$venv_is_there" = yes ] || make_venv

stamp=$(cksum <pyproject.toml)
[ "$(cat "$venv/.installed-$extra" 2>/dev/null)" = "$stamp" ] || install_project
