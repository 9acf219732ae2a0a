/* Statuses, their names and texts; the version. */
#include "harness.h"

#include <limits.h>

/* Written out once more: the values are part of the interface, so that changing one must be noticed here. */
static const struct {
  procpool_status status;
  int value;
  const char *name;
} statuses[] = {
    {PROCPOOL_OK, 0, "OK"},
    {PROCPOOL_FAILED, 1, "FAILED"},
    {PROCPOOL_TRANSFER, 2, "TRANSFER"},
    {PROCPOOL_CRASHED, 3, "CRASHED"},
    {PROCPOOL_TIMEOUT, 4, "TIMEOUT"},
    {PROCPOOL_CANCELLED, 5, "CANCELLED"},
    {PROCPOOL_SHUTDOWN, 6, "SHUTDOWN"},
    {PROCPOOL_INIT_FAIL, 7, "INIT_FAIL"},
    {PROCPOOL_SPAWN_FAIL, 8, "SPAWN_FAIL"},
    {PROCPOOL_BROKEN, 9, "BROKEN"},
    {PROCPOOL_PENDING, 20, "PENDING"},
    {PROCPOOL_FULL, 21, "FULL"},
    {PROCPOOL_END, 22, "END"},
    {PROCPOOL_INTERRUPTED, 23, "INTERRUPTED"},
    {PROCPOOL_ARGUMENT, 40, "ARGUMENT"},
    {PROCPOOL_HANDLE, 41, "HANDLE"},
    {PROCPOOL_MISMATCH, 42, "MISMATCH"},
    {PROCPOOL_TOO_SMALL, 43, "TOO_SMALL"},
    {PROCPOOL_MEMORY, 44, "MEMORY"},
    {PROCPOOL_SYSTEM, 45, "SYSTEM"},
    {PROCPOOL_NO_FUNCTION, 46, "NO_FUNCTION"},
    {PROCPOOL_NO_WORKER_MAIN, 47, "NO_WORKER_MAIN"},
    {PROCPOOL_THREADS, 48, "THREADS"},
    {PROCPOOL_FORKED, 49, "FORKED"},
    {PROCPOOL_DEADLOCK, 50, "DEADLOCK"},
    {PROCPOOL_UNSUPPORTED, 51, "UNSUPPORTED"},
    {PROCPOOL_TOO_DEEP, 52, "TOO_DEEP"},
    {PROCPOOL_GENERATOR, 53, "GENERATOR"},
};
enum { STATUSES = (int)(sizeof(statuses) / sizeof(statuses[0])) };

TEST(status_values_and_names) {
  for (int i = 0; i < STATUSES; i++) {
    CHECK_EQ(statuses[i].status, statuses[i].value);
    CHECK_TEXT(procpool_status_name(statuses[i].status), statuses[i].name);
  }
}

TEST(status_list_is_complete) {
  int count = 0;
#define COUNT(name, value, text) count++;
  PROCPOOL_STATUSES(COUNT)
#undef COUNT
  CHECK_EQ(count, STATUSES);
}

TEST(status_texts_are_those_of_the_list) {
#define COMPARE(name, value, text) CHECK_TEXT(procpool_strerror(PROCPOOL_##name), text);
  PROCPOOL_STATUSES(COMPARE)
#undef COMPARE
}

TEST(status_texts_differ) {
  for (int i = 0; i < STATUSES; i++)
    for (int j = 0; j < i; j++)
      CHECK(strcmp(procpool_strerror(statuses[i].status), procpool_strerror(statuses[j].status)) != 0);
}

TEST(status_unknown_values_have_a_text_of_their_own) {
  static const int unknown[] = {-1, 10, 19, 24, 39, 54, 63, 64, 65, 1000, INT_MAX, INT_MIN};
  for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
    const char *text = procpool_strerror((procpool_status)unknown[i]);
    const char *name = procpool_status_name((procpool_status)unknown[i]);
    CHECK(text != NULL && text[0] != '\0');
    CHECK(name != NULL && name[0] != '\0');
    for (int j = 0; j < STATUSES; j++) {
      CHECK(strcmp(text, procpool_strerror(statuses[j].status)) != 0);
      CHECK(strcmp(name, statuses[j].name) != 0);
    }
  }
}

TEST(version_of_header_and_implementation) {
  CHECK_EQ(procpool_version(), PROCPOOL_VERSION);
  CHECK_EQ(PROCPOOL_VERSION, PROCPOOL_VERSION_MAJOR * 10000 + PROCPOOL_VERSION_MINOR * 100 + PROCPOOL_VERSION_PATCH);
}
