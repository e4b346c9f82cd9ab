#!/bin/sh
# Makes .venv-bench, with this project and each of its peers, and runs the benchmarks in it:
#
#   sh tools/bench.sh [arguments of python -m benchmarks]
#   sh tools/bench.sh first_fit|versions|gpu|clicks|out_of_core [arguments of that one]
#
# osipy and NLSQ need Python 3.12: PYTHON_BENCH names the interpreter (python3.12), and without one PYTHON is taken.
# A peer that cannot be installed is no error: the tables say that it is missing. What is there already is left
# alone; to install anew, remove .venv-bench.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-bench

install() { # install PACKAGE...
    rm -f "$venv/.compiled"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"
}

if [ "$(cat "$venv/.made-in" 2>/dev/null)" != "$(pwd)" ]; then
    python=$(sh tools/find-python.sh 3.11 3.99 "${PYTHON_BENCH:-python3.12}" "${PYTHON:-python3}") || {
        echo "napari-imagefit: there is no Python 3.11 or newer here; name one: make bench PYTHON_BENCH=/path/to/python3.12" >&2
        exit 1
    }
    echo "Making $venv with $("$python" -V)"
    "$python" -m venv --clear "$venv"
    pwd >"$venv/.made-in"
fi

stamp=$(cksum <pyproject.toml)
if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$stamp" ]; then
    echo "Installing napari-imagefit into $venv: one to two minutes"
    install --editable ".[demo]" matplotlib
    if command -v nvidia-smi >/dev/null 2>&1; then
        echo "Installing JAX for CUDA"
        install "jax[${BENCH_CUDA:-cuda12}]" || echo "JAX for CUDA cannot be installed (see above): measured is the CPU"
    fi
    echo "$stamp" >"$venv/.installed"
fi

# one at a time: one that conflicts must not keep the others out
for peer in jaxfit==0.0.5 nlsq osipy picassosr; do
    if ! [ -e "$venv/.tried-$peer" ]; then
        echo "Installing $peer"
        if ! install "$peer" || ! install --editable ".[demo]"; then
            echo "$peer cannot be installed (see above): it is missing in the tables"
        fi
        : >"$venv/.tried-$peer"
    fi
done

# as pip does it: where Python may not write bytecode, each of the many fresh processes would spend seconds on compiling
# the sources of what it imports
if ! [ -e "$venv/.compiled" ]; then
    echo "Compiling what is installed: a minute"
    # some packages hold files for other versions of Python
    "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null 2>&1 || true
    : >"$venv/.compiled"
fi
unset PYTHONDONTWRITEBYTECODE

module=benchmarks
case ${1:-} in
    [a-z]*)
        module=benchmarks.$1
        shift
        ;;
esac
exec "$venv/bin/python" -m "$module" "$@"
