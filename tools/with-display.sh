#!/bin/sh
# Runs its arguments where windows can open: on the present screen, else on a virtual one.
set -eu

[ -z "${DISPLAY:-}" ] || exec "$@"

command -v xvfb-run >/dev/null 2>&1 || {
    echo "napari-imagefit: there is no screen (DISPLAY is not set) and no xvfb-run; install Xvfb (Debian: apt-get install xvfb xauth)" >&2
    exit 1
}
# "offscreen" or Wayland, should the environment ask for them, would draw nothing there
export QT_QPA_PLATFORM=xcb
exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
