#!/bin/sh
# Runs tests with other versions of what the project needs, in an environment of their own:
#
#   sh tools/test-versions.sh lowest|newest [arguments of pytest]
#
# "lowest" takes the lowest versions that pyproject.toml allows, on the lowest Python; "newest" the newest ones, some
# of which need a later Python than the lowest. PYTHON_LOWEST and PYTHON_NEWEST name the interpreters to look for.
# Where none of them is here, nothing is run, and that is said and no error.
set -eu
cd "$(dirname "$0")/.."

versions=$1
shift
case $versions in
    lowest) named=PYTHON_LOWEST minimum=3.11 maximum=3.11 which="Python 3.11" ;;
    newest) named=PYTHON_NEWEST minimum=3.12 maximum=3.99 which="Python 3.12 or newer" ;;
    *)
        echo "napari-imagefit: $0 lowest|newest [arguments of pytest]" >&2
        exit 2
        ;;
esac
eval "candidates=\${$named:-}"

# shellcheck disable=SC2086  # one word an interpreter
python=$(sh tools/find-python.sh $minimum $maximum $candidates "${PYTHON:-python3}") || {
    printf '\nnapari-imagefit: SKIPPED: the tests with the %s versions, because there is no %s here; name one: make test-%s %s=/path/to/python\n\n' \
        "$versions" "$which" "$versions" "$named" >&2
    exit 0
}

PYTHON=$python sh tools/setup.sh test "$versions"
python=.venv-$versions/bin/python
echo "The $versions versions: $("$python" -V), $("$python" -m pip list --disable-pip-version-check --format freeze | tr '\n' ' ')"
exec "$python" -m pytest "$@"
