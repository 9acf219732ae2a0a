#!/bin/sh
# One figure of one of Python's pools: peers.sh PEER WHAT WORKERS COUNT WINDOW CHUNK. With WHAT = probe it prints ok, or why
# there is none. Debian's python3 comes first: that is the one which python3-mpi4py belongs to.
peer=$1
folder=$(dirname "$0")
python=${PYTHON:-$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)}
command -v "$python" >/dev/null 2>&1 || {
  echo 'python3 is not installed'
  exit 1
}
if [ "$peer" != mpi ]; then
  exec timeout 60 "$python" "$folder/peers.py" "$@"
fi

command -v mpirun >/dev/null 2>&1 || {
  echo 'mpirun is not installed (openmpi-bin)'
  exit 1
}
"$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("mpi4py.futures"))' 2>/dev/null || {
  echo 'mpi4py is not installed (python3-mpi4py)'
  exit 1
}
# One rank is the host. Ranks are bound to no processor, and may be more than the processors.
timeout 60 mpirun --allow-run-as-root --oversubscribe --bind-to none -n $(($3 + 1)) \
  "$python" -m mpi4py.futures "$folder/peers.py" "$@" || {
  echo 'mpirun fails here'
  exit 1
}
