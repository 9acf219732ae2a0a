#!/bin/sh
# The models of the protocol (model/pool.pml: all of it, with two workers; model/wake.pml: who is woken, with three;
# model/litmus.py: its pieces, under the memory model of the language), as test cases for the runner:
#   model.sh list BUILD                         prints cases: NAME LIMIT COMMAND
#   model.sh check BUILD MODEL NAME -DX...      every state of a variant: no error
#   model.sh mutant BUILD MODEL NAME -DX...     a step done wrongly: spin finds it
#   model.sh litmus BUILD WHAT ...              memory orders under the language's model (model/litmus.py): holds NAME..., needs
#                                               NAME FUNCTION FIELD OPERATION, needed (all of them), engine (the checker itself)
# Exit status 77 means skipped. COARSE merges steps whose parts have nothing to do with each other; fine variants with fewer
# tasks stand beside those. "make -C tests model DEEP=1" adds variants of 10 to 60 seconds and up to 2 GB each.
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-cc}

check_case() { # NAME -DX...
  name=$1
  shift
  echo "model_$name 600 sh '$tests/model.sh' check '$build' $model $name $*"
}

mutant_case() {
  name=$1
  shift
  upper=$(echo "$name" | tr '[:lower:]' '[:upper:]')
  echo "model_mutant_$prefix$name 300 sh '$tests/model.sh' mutant '$build' $model $prefix$name -DMUTANT_$upper $*"
}

list_pool() {
  # three tasks, the cells wrap
  check_case no_fault -DCOARSE
  check_case long_task -DCOARSE -DLONG=1
  check_case hint_each -DCOARSE -DHINT_EACH
  check_case ring_full -DSLOTS=3 -DHOLD=1
  # two tasks
  check_case no_fault_fine -DTASKS=2 -DFINE=1
  check_case long_task_fine -DTASKS=2 -DLONG=1
  check_case tail_late -DTASKS=2 -DTAIL_LATE
  check_case cancel -DTASKS=2 -DCOARSE -DCANCELS=1
  check_case kill_long -DTASKS=2 -DCOARSE -DKILLS=1 -DLONG=1
  check_case kill_no_fork -DTASKS=2 -DCOARSE -DKILLS=1 -DNO_FORK -DSLOTS=1
  check_case stop_long -DTASKS=2 -DCOARSE -DSTOPS=1 -DLONG=1
  check_case stop_one_slot -DTASKS=2 -DCOARSE -DSTOPS=1 -DSLOTS=1
  check_case leave -DTASKS=2 -DCOARSE -DLEAVES=1 -DLONG=1
  check_case supervisor_killed -DTASKS=2 -DCOARSE -DSUPER_KILLS=1
  check_case supervisor_stopped -DTASKS=2 -DCOARSE -DSUPER_STOPS=1
  check_case limit -DTASKS=2 -DCOARSE -DLIMITED=1 -DGRACE
  check_case limit_no_grace -DTASKS=2 -DCOARSE -DLIMITED=1
  check_case expire -DTASKS=2 -DCOARSE -DEXPIRES=1
  check_case expire_second -DTASKS=2 -DCOARSE -DEXPIRES=2 -DSLOTS=1
  check_case expire_cancel -DTASKS=2 -DCOARSE -DEXPIRES=1 -DCANCELS=1
  check_case expire_kill -DTASKS=2 -DCOARSE -DEXPIRES=1 -DKILLS=1 -DLONG=1
  # one task: more faults at once, records field by field
  check_case kill_fine -DTASKS=1 -DKILLS=1 -DFINE=1
  check_case kill_twice -DTASKS=1 -DCOARSE -DKILLS=2
  check_case kill_tail_late -DTASKS=1 -DCOARSE -DKILLS=1 -DTAIL_LATE
  check_case stop_fine -DTASKS=1 -DSTOPS=1
  check_case stop_tail_late -DTASKS=1 -DCOARSE -DSTOPS=1 -DTAIL_LATE
  check_case stop_continue -DTASKS=1 -DCOARSE -DSTOPS=1 -DCONTINUES=1
  check_case stop_continue_leave -DTASKS=2 -DSTOPS=1 -DCONTINUES=1 -DLEAVES=1 -DONE_WORKER
  check_case cancel_kill -DTASKS=1 -DCANCEL_KILLS=1 -DGRACE
  check_case supervisor_continued -DTASKS=1 -DCOARSE -DSUPER_STOPS=1 -DSUPER_CONTINUES=1 -DKILLS=1
  check_case both_stopped -DTASKS=1 -DCOARSE -DSUPER_STOPS=1 -DSTOPS=1
  check_case limit_kill -DTASKS=1 -DCOARSE -DLIMITED=1 -DGRACE -DKILLS=1
  check_case limit_stop_continue -DTASKS=1 -DCOARSE -DLIMITED=1 -DGRACE -DSTOPS=1 -DCONTINUES=1 -DRING=2 -DFIELDS -DONE_WORKER
  check_case expire_supervisor_killed -DTASKS=1 -DEXPIRES=1 -DSUPER_KILLS=1
  check_case kill_supervisor_killed -DTASKS=1 -DCOARSE -DKILLS=1 -DSUPER_KILLS=1
  check_case kill_stop_continue -DTASKS=2 -DCOARSE -DKILLS=1 -DSTOPS=1 -DCONTINUES=1 -DRING=2 -DFIELDS -DONE_WORKER -DSLOTS=1

  mutant_case claim_without_owner -DTASKS=1 -DKILLS=1
  mutant_case publish_before_commit -DTASKS=1
  mutant_case host_no_publish -DTASKS=1 -DTAIL_LATE
  mutant_case no_wake_after_reap -DTASKS=1 -DSTOPS=1
  mutant_case no_host_wake_after_reap -DTASKS=1 -DKILLS=1
  mutant_case no_publish_after_death -DTASKS=1 -DKILLS=1
  mutant_case stop_ignored -DTASKS=1 -DSTOPS=1
  mutant_case publish_unstamped -DTASKS=2 -DKILLS=1
  mutant_case record_read_once -DTASKS=2 -DCOARSE -DKILLS=1 -DSTOPS=1 -DCONTINUES=1 -DRING=2 -DFIELDS -DONE_WORKER -DSLOTS=1
  mutant_case idle_no_look -DTASKS=1
  mutant_case submit_no_wake -DTASKS=1
  mutant_case wake_one -DTASKS=2 -DLONG=1
  mutant_case wake_off_by_one -DTASKS=1
  mutant_case not_cleared -DTASKS=2 -DLONG=1
  mutant_case cleared_after_wake -DTASKS=2 -DSLOTS=1
  mutant_case away_kept -DTASKS=1
  mutant_case away_not_on_stop -DTASKS=2 -DCOARSE -DSTOPS=1 -DSLOTS=1
  mutant_case away_late_on_stop -DTASKS=2 -DCOARSE -DSTOPS=1 -DSLOTS=1
  mutant_case away_not_on_death -DTASKS=2 -DCOARSE -DKILLS=1 -DNO_FORK -DSLOTS=1
  mutant_case away_late_on_death -DTASKS=2 -DCOARSE -DKILLS=1 -DNO_FORK -DSLOTS=1
  mutant_case back_never -DTASKS=1 -DCOARSE -DSTOPS=1 -DCONTINUES=1 -DONE_WORKER
  mutant_case back_late -DTASKS=1 -DCOARSE -DSTOPS=1 -DCONTINUES=1 -DONE_WORKER
  mutant_case host_no_look -DTASKS=1
  mutant_case room_no_look -DTASKS=3
  mutant_case room_before_taken -DTASKS=3
  mutant_case room_known_late -DSLOTS=3 -DHOLD=1
  mutant_case room_at_hint -DSLOTS=3 -DHOLD=1
  mutant_case hint_blind -DTASKS=1 -DKILLS=1
  mutant_case hint_lazy -DTASKS=2
  mutant_case cell_before_word -DTASKS=1
  mutant_case cell_overwritten -DSLOTS=3
  mutant_case flag_cleared_by_waker -DTASKS=2 -DCOARSE -DSTOPS=1 -DSUPER_STOPS=1
  mutant_case answered_for_good -DTASKS=2
  mutant_case kill_before_cas -DTASKS=2 -DLIMITED=1
  mutant_case wants_read_early -DTASKS=2 -DLIMITED=1
  mutant_case lost_goes_on -DTASKS=2 -DLIMITED=1
  mutant_case bury_before_reap -DTASKS=2 -DLIMITED=1
  mutant_case expire_without_cas -DTASKS=1 -DEXPIRES=1
  mutant_case expire_wakes_no_host -DTASKS=1 -DEXPIRES=1
  mutant_case finish_while_they_live -DTASKS=1 -DSUPER_KILLS=1
  mutant_case finish_no_publish -DTASKS=1 -DSUPER_KILLS=1
}

list_wake() {
  check_case three_workers -DTASKS=3 -DCOARSE -DMIXED
  check_case three_workers_leave -DTASKS=2 -DCOARSE -DLEAVES=1 -DMIXED
  check_case three_workers_kill -DTASKS=2 -DCOARSE -DKILLS=1
  check_case three_workers_kill_twice -DTASKS=2 -DCOARSE -DKILLS=2 -DNO_FORK
  check_case three_workers_stop -DTASKS=2 -DCOARSE -DSTOPS=1 -DSLOTS=1
  # two workers: step by step
  check_case two_workers -DWORKERS=2 -DTASKS=3 -DMIXED
  check_case two_workers_leave -DWORKERS=2 -DTASKS=3 -DLEAVES=1
  check_case two_workers_kill -DWORKERS=2 -DTASKS=2 -DKILLS=1 -DMIXED
  check_case two_workers_stop -DWORKERS=2 -DTASKS=2 -DSTOPS=1
  check_case two_workers_stop_continue -DWORKERS=2 -DTASKS=2 -DCOARSE -DSTOPS=1 -DCONTINUES=1

  mutant_case wake_one -DTASKS=3 -DCOARSE -DMIXED
  mutant_case wake_off_by_one -DTASKS=3 -DCOARSE
  mutant_case not_cleared -DTASKS=3 -DCOARSE -DMIXED
  mutant_case cleared_after_wake -DTASKS=3 -DWORKERS=2
  mutant_case idle_no_look -DTASKS=3 -DCOARSE
  mutant_case away_not_on_stop -DTASKS=2 -DCOARSE -DSTOPS=1 -DSLOTS=1
  mutant_case away_not_on_death -DTASKS=2 -DCOARSE -DKILLS=2 -DNO_FORK
  mutant_case calls_none -DTASKS=3 -DCOARSE
  mutant_case stays_coming -DTASKS=3 -DCOARSE
  mutant_case coming_late -DTASKS=3 -DWORKERS=2
  mutant_case coming_kept -DTASKS=3 -DWORKERS=2
  mutant_case lost_no_look -DTASKS=3 -DWORKERS=2
  mutant_case calls_kept -DTASKS=2 -DKILLS=1 -DWORKERS=2
  mutant_case calls_cleared_early -DTASKS=3 -DKILLS=1 -DWORKERS=2
}

list_deep() {
  model=pool
  check_case deep_kill -DCOARSE -DKILLS=1
  check_case deep_kill_fine -DTASKS=2 -DKILLS=1 -DFINE=1
  check_case deep_kill_wrap -DTASKS=2 -DCELLS=1 -DCOARSE -DKILLS=1
  check_case deep_kill_twice -DTASKS=2 -DCOARSE -DKILLS=2
  check_case deep_kill_tail_late -DTASKS=2 -DCOARSE -DKILLS=1 -DTAIL_LATE
  check_case deep_stop -DCOARSE -DSTOPS=1
  check_case deep_stop_fine -DTASKS=2 -DSTOPS=1
  check_case deep_stop_continue -DTASKS=2 -DCOARSE -DSTOPS=1 -DCONTINUES=1
  check_case deep_leave -DCOARSE -DLEAVES=1 -DLONG=1
  check_case deep_leave_kill -DTASKS=2 -DCOARSE -DLEAVES=1 -DKILLS=1
  check_case deep_leave_stop_continue -DTASKS=1 -DCOARSE -DLEAVES=1 -DSTOPS=1 -DCONTINUES=1
  check_case deep_cancel -DCOARSE -DCANCELS=1
  check_case deep_cancel_kill -DTASKS=2 -DCOARSE -DCANCEL_KILLS=1 -DGRACE
  check_case deep_limit_kill -DTASKS=1 -DLIMITED=1 -DGRACE -DKILLS=1
  check_case deep_supervisor_killed -DCOARSE -DSUPER_KILLS=1
  check_case deep_supervisor_stopped -DCOARSE -DSUPER_STOPS=1
  check_case deep_supervisor_continued -DTASKS=2 -DCOARSE -DSUPER_STOPS=1 -DSUPER_CONTINUES=1 -DKILLS=1
  check_case deep_both_stopped -DTASKS=2 -DCOARSE -DSUPER_STOPS=1 -DSTOPS=1
  model=wake
  check_case deep_three_workers -DTASKS=2
  check_case deep_two_workers_kill -DWORKERS=2 -DTASKS=3 -DKILLS=1
  check_case deep_three_workers_leave -DTASKS=3 -DCOARSE -DLEAVES=1
}

# Each piece of the protocol with the header's orders, and once with each order that it needs weakened.
list_litmus() {
  command -v python3 >/dev/null 2>&1 || {
    echo "model_orders 10 sh '$tests/model.sh' litmus '$build' holds"
    return
  }
  echo "model_orders_engine 60 sh '$tests/model.sh' litmus '$build' engine"
  python3 "$tests/model/litmus.py" list "$tests/orders.txt" | while read -r kind name access; do
    case $kind in
    holds) echo "model_orders_$name 120 sh '$tests/model.sh' litmus '$build' holds $name" ;;
    needs)
      echo "model_mutant_orders_${name}_$(echo "$access" | tr ' ' '.') 120 sh '$tests/model.sh' litmus '$build' needs $name $access"
      ;;
    esac
  done
}

litmus() {
  command -v python3 >/dev/null 2>&1 || {
    echo 'python3 is not installed'
    exit 77
  }
  how=$1
  shift
  PYTHONDONTWRITEBYTECODE=1 python3 "$tests/model/litmus.py" "$how" "$tests/orders.txt" "$@"
}

list() {
  list_litmus
  prefix='' model=pool
  list_pool
  prefix=three_ model=wake
  list_wake
  [ -z "${DEEP:-}" ] || list_deep
}

# Builds and runs the verifier; what it says lies in ./out. No reduction by partial order: `provided` and `unless` forbid it.
verify() {
  command -v spin >/dev/null 2>&1 || {
    echo 'spin is not installed'
    exit 77
  }
  rm -rf "$work"
  mkdir -p "$work"
  cd "$work"
  spin "-P$CC -std=gnu99 -E -x c" "$@" -a "$tests/model/$model.pml" >spin.out 2>&1 || {
    cat spin.out
    exit 1
  }
  # shellcheck disable=SC2086
  "$CC" $how -w -DSAFETY -DNOREDUCE -DVECTORSZ=1024 -DMEMLIM=2000 -o pan pan.c
  ./pan -E -m1000000 -w21 >out 2>&1
  grep -E '^pan:|errors:|states, stored|Search not|too small' out
  ! grep -qE 'max search depth too small|out of memory|reached -DMEMLIM' out || exit 1
}

check() {
  case $work in
  */check-deep_*) how='-O2 -DCOLLAPSE' ;;
  *) how=-O1 ;; # most of the time goes into compiling
  esac
  verify "$@"
  grep -q 'errors: 0$' out && ! grep -q 'Search not completed' out
  rm -f pan pan.*
}

mutant() {
  how=-O0
  verify "$@"
  grep -q 'assertion violated' out
  rm -f pan pan.*
}

what=$1
build=$2
shift 2
case $what in
list) list ;;
litmus) litmus "$@" ;;
*)
  model=$1
  work=$build/model/$what-$2
  shift 2
  "$what" "$@"
  ;;
esac
