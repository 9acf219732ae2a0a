/* The runner and the audit after each case: that they find what a case leaves behind. Each test runs the program of
 * leaks.c, whose cases leak on purpose. */
#include "harness.h"

#include <errno.h>

/* Runs one case that must be reported, and looks for the line that says why. */
static void check_found(const char *name, const char *line) {
  char output[20000];
  const int code = test_run(output, sizeof(output), test_path("leaks"), name, (char *)NULL);
  if (code == 0 && strstr(output, "0 passed, 0 failed, 1 skipped") != NULL)
    SKIP("it needs rights that are not there");
  if (code != 1 || strstr(output, line) == NULL || strstr(output, "0 passed, 1 failed, 0 skipped") == NULL)
    harness_fail(__FILE__, __LINE__, "status %d, \"%s\" expected in:\n%s", code, line, output);
}

TEST(r129_a_clean_case_passes) {
  char output[20000];
  CHECK_EQ(test_run(output, sizeof(output), test_path("leaks"), "leak_nothing", (char *)NULL), 0);
  CHECK(strstr(output, "1 passed, 0 failed, 0 skipped") != NULL);
}

TEST(r129_a_descriptor_is_found) {
  check_found("leak_descriptor", "audit: left behind: descriptor");
}
TEST(r129_a_closed_descriptor_is_found) {
  check_found("leak_closed_descriptor", "audit: gone: descriptor 0");
}
TEST(r129_a_thread_is_found) {
  check_found("leak_thread", "audit: 1 threads before, 2 after");
}
TEST(r129_a_child_is_found) {
  check_found("leak_child", "audit: a child process is left");
}
TEST(r129_a_zombie_is_found) {
  check_found("leak_zombie", "audit: a child process is left");
}
TEST(r129_an_orphan_is_found) {
  check_found("leak_orphan", "left running");
}
TEST(r129_a_shared_mapping_is_found) {
  check_found("leak_mapping", "audit: left behind: shared mapping");
}
TEST(r129_a_name_in_shared_memory_is_found) {
  check_found("leak_name", "audit: left behind: procpool");
}
TEST(r129_a_signal_mask_is_found) {
  check_found("leak_mask", "audit: left behind: SigBlk");
}
TEST(r129_a_signal_handler_is_found) {
  check_found("leak_handler", "audit: left behind: SigCgt");
}
TEST(r129_a_variable_is_found) {
  check_found("leak_variable", "audit: left behind: LEAKED=1");
}
TEST(r129_a_directory_is_found) {
  check_found("leak_directory", "audit: left behind: directory /");
}
TEST(r129_an_umask_is_found) {
  check_found("leak_umask", "audit: left behind: umask");
}
TEST(r129_a_pool_that_was_forgotten_is_found) {
  check_found("leak_pool", "audit: left behind: descriptor");
}
TEST(r129_a_pool_that_broke_is_found) {
  check_found("leak_broken_pool", "BROKEN");
}
TEST(r129_a_check_that_fails_in_a_worker_is_found) {
  check_found("leak_check_in_a_worker", "[in process ");
}
TEST(r129_a_case_that_hangs_is_found) {
  check_found("leak_hang", "timeout after 1 s");
}
TEST(r129_a_case_that_exits_is_found) {
  check_found("leak_exit", "ended with status 0");
}
TEST(r129_a_case_that_dies_is_found) {
  check_found("leak_death", "ended by signal 11");
}

/* What a case left running was ended with it. */
TEST(r129_an_orphan_does_not_outlive_the_runner) {
  char output[20000];
  const char *text;
  long pid = 0;
  CHECK_EQ(test_run(output, sizeof(output), test_path("leaks"), "leak_orphan", (char *)NULL), 1);
  text = strstr(output, "orphan is ");
  CHECK(text != NULL);
  CHECK_EQ(sscanf(text, "orphan is %ld", &pid), 1);
  CHECK_EQ(kill((pid_t)pid, 0), -1);
  CHECK_EQ(errno, ESRCH);
}
