#!/bin/sh
# Prints the path of the first of the named interpreters that is a Python from MINIMUM to MAXIMUM, and fails where
# there is none:
#
#   sh tools/find-python.sh MINIMUM MAXIMUM CANDIDATE...      such as: 3.12 3.99 python3.13 python3.12 python3
#
# One that can make environments goes first; Debian keeps what that needs in a package of its own.
set -eu
minimum=$1 maximum=$2
shift 2

probe='import sys
low, high = (tuple(map(int, version.split("."))) for version in sys.argv[1:])
if not low <= sys.version_info[:2] <= high:
    sys.exit(1)
print(sys.executable)
import ensurepip, venv'

second=""
for candidate in "$@"; do
    others=""
    case $candidate in
        */*) ;;
        # pyenv has commands for all of its versions, and those that are not chosen fail
        *) others=$(pyenv versions --bare 2>/dev/null | grep "^${candidate#python}\." || true) ;;
    esac
    for version in "" $others; do
        if path=$(PYENV_VERSION=$version "$candidate" -c "$probe" "$minimum" "$maximum" 2>/dev/null); then
            echo "$path"
            exit
        fi
        second=${second:-$path}
    done
done
[ -n "$second" ] && echo "$second"
