#!/bin/sh
# The suite on machines, and with C libraries, other than this one's own:
#   machines.sh native BUILD JOBS [PATTERN...]    i386 (gcc and clang, either size of time_t) and musl, which run here
#   machines.sh arch BUILD JOBS                   what cross compilers build: the header as C and C++, the suite
#   machines.sh emulate BUILD JOBS ARCH [PATTERN...]    that suite under qemu-system, with Debian's kernel for ARCH
#   machines.sh houses BUILD JOBS [PATTERN...]    the suite in chroots of Debian releases; as root
# Prints what failed or was skipped, and at last a sum. VERBOSE=-v: all of it. HOUSES: releases.
# Why qemu-system: qemu-user refuses a clone with exit signal 0, so fork and spawn could not be seen there.
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tests")
what=$1
build=$2
jobs=$3
shift 3
passed=0 failed=0 skipped=0
log=$build/machines.$$
trap 'rm -f "$log"' EXIT
mkdir -p "$build"

# The rows that a second variant of a machine runs: all ways to start, to end and to wait, in half a minute.
core="r018 r020 r021 r025 r041 r053 r070 r073 r110 r125 r128 status_ typed_ buffers_argument"

skip() {
  echo "skip  $1: $2"
  skipped=$((skipped + 1))
}

fail() {
  echo "FAIL  $1: $2"
  failed=$((failed + 1))
}

# Adds up the last "N passed, N failed, N skipped" of the log, which must be there.
count() {
  counts=$(tr -d '\r' <"$log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' | tail -n 1)
  if [ -z "$counts" ]; then
    tail -n 40 "$log"
    fail "$1" "it came to no end"
    return
  fi
  if [ -n "${VERBOSE:-}" ]; then cat "$log"; else grep -v '^ok ' "$log" || true; fi
  # shellcheck disable=SC2086
  set -- $counts
  passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
}

# Whether the compiler (a command with options) builds a program at all; where RUNS is set, one that runs here.
builds() {
  echo 'int main(void) { return 0; }' >"$build/nothing.c"
  # shellcheck disable=SC2086
  command -v "${1%% *}" >/dev/null 2>&1 && $1 -o "$build/nothing" "$build/nothing.c" -pthread >"$log" 2>&1 &&
    { [ -z "${RUNS:-}" ] || "$build/nothing"; }
}

# header NAME CC CXX: without a warning, in the oldest dialects (the newer ones are the matrix's).
header() {
  : >"$build/$1.cases"
  echo "$1_header_c99 240 sh '$tests/matrix.sh' once '$build' '$2' c99 c" >>"$build/$1.cases"
  [ "$3" = none ] || echo "$1_header_c++11 240 sh '$tests/matrix.sh' once '$build' '$3' c++11 cc" >>"$build/$1.cases"
  "$build/run" -j "$jobs" -c "$build/$1.cases" "$1_header" >"$log" 2>&1 || true
  count "$1_header"
}

# suite NAME CC CXX [VARIABLE=VALUE]: builds it, all test programs included.
suite() {
  if make -s -C "$tests" -j "$jobs" build B="$build/$1" CC="$2" CXX="$3" ${4:+"$4"} >"$log" 2>&1 &&
    ! grep -E 'warning|error' "$log"; then
    passed=$((passed + 1))
  else
    tail -n 20 "$log"
    fail "$1_build" "make build B=... CC='$2' CXX='$3'"
  fi
}

# variant NAME CC CXX PATTERN...
variant() {
  name=$1 cc=$2 cxx=$3
  shift 3
  echo "== $name: $cc"
  if ! RUNS=1 builds "$cc"; then
    skip "$name" "$cc builds no program that runs here"
    return
  fi
  RUNS=1 builds "$cxx" || cxx=none
  header "$name" "$cc" "$cxx"
  before=$failed
  suite "$name" "$cc" "$cxx"
  [ "$failed" = "$before" ] || return 0
  "$build/$name/run" -j "$jobs" "$@" >"$log" 2>&1 || true
  count "$name"
}

native() {
  # A link /usr/include/asm, as gcc-multilib makes it, excludes Debian's cross compilers: the path is given instead.
  bits32="-m32 -isystem /usr/include/x86_64-linux-gnu"
  time64="-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64"
  # shellcheck disable=SC2086
  [ "${1:-}" != core ] || set -- $core
  patterns=${*:-$core}
  kernel="-idirafter /usr/include -idirafter /usr/include/$(uname -m)-linux-gnu"
  # shellcheck disable=SC2086
  {
    variant i386 "gcc $bits32" "g++ $bits32" "$@"
    variant i386_time64 "gcc $bits32 $time64" "g++ $bits32 $time64" $patterns
    variant i386_clang "clang $bits32" "clang++ $bits32" $patterns
    variant i386_clang_time64 "clang $bits32 $time64" "clang++ $bits32 $time64" $patterns
    variant musl "musl-gcc $kernel" none $patterns
  }
}

# ---- other processors ----

# Debian's name, the compilers' prefix, qemu's system and machine, the package of the kernel, a release that has it.
machine_of() {
  case $1 in
  aarch64) echo "arm64 aarch64-linux-gnu aarch64 virt,-cpu,cortex-a72 linux-image-arm64 bookworm ttyAMA0" ;;
  armhf) echo "armhf arm-linux-gnueabihf arm virt,-cpu,cortex-a15 linux-image-armmp bookworm ttyAMA0" ;;
  riscv64) echo "riscv64 riscv64-linux-gnu riscv64 virt linux-image-riscv64 trixie ttyS0" ;;
  s390x) echo "s390x s390x-linux-gnu s390x s390-ccw-virtio linux-image-s390x bookworm ttysclp0" ;;
  ppc64el) echo "ppc64el powerpc64le-linux-gnu ppc64 pseries linux-image-powerpc64le bookworm hvc0" ;;
  *) return 1 ;;
  esac
}

cross() {
  # shellcheck disable=SC2046
  set -- "$1" $(machine_of "$1")
  echo "== $1: $3-gcc"
  if ! builds "$3-gcc"; then
    skip "$1" "$3-gcc is not installed"
    return
  fi
  cxx=$3-g++
  builds "$cxx" || cxx=none
  if [ -n "${TO_RUN:-}" ]; then
    suite "$1" "$3-gcc" "$cxx"
  else
    header "$1" "$3-gcc" "$cxx"
    suite "$1" "$3-gcc" "$cxx" CFLAGS=-O0 # it is not run, and the header has been compiled by an optimizer
  fi
}

arch() {
  for name in aarch64 armhf riscv64 s390x ppc64el; do
    cross "$name"
  done
}

# Where this machine's own apt fetches Debian from, such as is configured: never written down elsewhere.
mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(SUITE)' 2>/dev/null | awk '$2 !~ /security/ { print $1; exit }'
}

# fetch ARCH RELEASE PACKAGE: the package of another machine (and not those that it depends on), unpacked in $place.
fetch() {
  apt_state=$build/apt/$1-$2
  options="-o APT::Architecture=$1 -o APT::Architectures::=$1 -o Dir::Etc::sourcelist=$apt_state/sources.list"
  options="$options -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$apt_state/lists -o Dir::Cache=$apt_state/cache"
  options="$options -o Dir::State::status=$apt_state/status -o APT::Sandbox::User=root"
  mkdir -p "$apt_state/lists/partial" "$apt_state/cache/archives/partial" "$place"
  : >>"$apt_state/status"
  # shellcheck disable=SC2086
  {
    if ! [ -s "$apt_state/sources.list" ]; then
      echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $2 main" >"$apt_state/sources.list"
      apt-get $options -q update >>"$log" 2>&1
    fi
    package=$3
    real=$(apt-cache $options depends "$package" | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    package=${real:-$package}
    (cd "$place" && apt-get $options -q download "$package" >>"$log" 2>&1 && dpkg-deb -x "$package"_*.deb . && rm -f ./*.deb)
  }
}

# The first process of the emulated machine: mounts what the tests look at, runs them, and switches the machine off.
first_process() {
  cat >"$1" <<'SOURCE'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  static char line[4000], *words[64] = {"/tests/run", NULL};
  int count = 1;
  FILE *file = fopen("/arguments", "r");
  mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755), mkdir("/tmp", 01777);
  mount("proc", "/proc", "proc", 0, NULL), mount("sys", "/sys", "sysfs", 0, NULL), mount("tmp", "/tmp", "tmpfs", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL), mkdir("/dev/shm", 01777), mount("shm", "/dev/shm", "tmpfs", 0, NULL);
  const int console = open("/dev/console", O_RDWR);
  dup2(console, 0), dup2(console, 1), dup2(console, 2);
  if (file != NULL && fgets(line, sizeof(line), file) != NULL)
    for (char *word = strtok(line, " \n"); word != NULL && count < 63; word = strtok(NULL, " \n"))
      words[count++] = word;
  if (fork() == 0) {
    putenv("PATH=/bin"), putenv("HOME=/tmp");
    execv(words[0], words);
    perror(words[0]);
    _exit(1);
  }
  while (wait(NULL) > 0)
    continue;
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
SOURCE
}

# emulate ARCH PATTERN...
emulate() {
  name=$1
  shift
  patterns=${*:-$core}
  machine_of "$name" >/dev/null || { fail "$name" "no such machine"; return; }
  before=$failed
  TO_RUN=1 cross "$name"
  [ "$failed" = "$before" ] && [ -x "$build/$name/run" ] || return 0
  # shellcheck disable=SC2046
  set -- $(machine_of "$name")
  debian=$1 prefix=$2 system=$3 machine=$4 kernel_package=$5 release=$6 console=$7
  command -v cpio >/dev/null || { skip "$name" "cpio is not installed"; return; }
  command -v "qemu-system-$system" >/dev/null || { skip "$name" "qemu-system-$system is not installed"; return; }
  place=$build/kernels/$name
  [ -d "$place/boot" ] || fetch "$debian" "$release" "$kernel_package" ||
    { tail -n 5 "$log"; skip "$name" "no kernel to be had"; return; }
  tree=$build/trees/$name
  rm -rf "$tree"
  mkdir -p "$tree/tests" "$tree/lib" "$tree/bin" "$tree/dev"
  for file in run nodoor elsewhere plugin.so plugin2.so plugin_pool.so plugin_worker count leaks; do
    cp "$build/$name/$file" "$tree/tests/"
  done
  cp "/usr/$prefix/lib/"*.so* "$tree/lib/" 2>/dev/null || true
  find "$tree/lib" -name '*san*' -delete
  ln -s lib "$tree/lib64"
  mkdir -p "$tree/usr" && ln -s ../lib "$tree/usr/lib"
  ln -s . "$tree/lib/$prefix"
  echo "-j 2 -s 10 $patterns" >"$tree/arguments"
  first_process "$build/first.c"
  "$prefix-gcc" -O1 -static -o "$tree/init" "$build/first.c"
  mkdir -p "$tree/bin"
  (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) >"$build/$name.cpio.gz"
  # shellcheck disable=SC2046
  timeout "${EMULATION_LIMIT:-3600}" "qemu-system-$system" -M $(echo "$machine" | tr , ' ') -smp 2 -m 2048 -display none \
    -nodefaults -serial stdio -no-reboot -kernel "$(find "$place/boot" -name 'vmlinu*' | head -n 1)" \
    -initrd "$build/$name.cpio.gz" -append "console=$console quiet panic=-1" </dev/null >"$log" 2>&1 || true
  tr -d '\r' <"$log" >"$build/$name.console"
  count "$name"
}

# ---- other releases of Debian ----

house() {
  release=$1
  shift
  echo "== $release"
  home=$build/houses/$release
  if ! [ -e "$home/ready" ]; then
    rm -rf "$home"
    mkdir -p "$home"
    debootstrap --variant=minbase --include=gcc,g++,make,libc6-dev "$release" "$home" "$(mirror)" >"$log" 2>&1 ||
      { tail -n 3 "$log"; skip "$release" "debootstrap did not get it"; return; }
    touch "$home/ready"
  fi
  rm -rf "$home/project"
  mkdir -p "$home/project"
  (cd "$root" && tar -c --exclude=./tests/build --exclude=./.git . | tar -x -C "$home/project")
  # In a mount namespace of its own: nothing has to be taken down afterwards.
  # shellcheck disable=SC2016
  unshare --mount sh -c '
    mount --make-rprivate /
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount -t tmpfs tmp "$0/tmp"
    exec chroot "$0" make -s -C /project/tests JOBS="$1" ONLY="$2"' "$home" "$jobs" "$*" >"$log" 2>&1 || true
  count "$release"
}

houses() {
  command -v debootstrap >/dev/null || { skip houses "debootstrap is not installed"; return; }
  [ "$(id -u)" = 0 ] || { skip houses "only root can"; return; }
  for release in ${HOUSES:-bullseye trixie}; do
    house "$release" "$@"
  done
}

"$what" "$@"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
