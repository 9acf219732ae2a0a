/* database: each worker has a connection of its own to one SQLite database. The initializer opens it, queries go as
 * strings, and the finalizer closes it and says how much the worker did, which the host adds up.
 *   cc -O2 -pthread -o database examples/database.c -lsqlite3 && ./database */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <sqlite3.h>
#include <stdio.h>

static sqlite3 *database; /* this worker's: static variables are what lasts from task to task */
static long answered;

static int open_database(const void *path, size_t size) {
  (void)size;
  return sqlite3_open_v2((const char *)path, &database, SQLITE_OPEN_READONLY, NULL);
}

/* The first column of the first row. */
PROCPOOL_STRING_FUNCTION(query, sql) {
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    procpool_task_return_string(task, (const char *)sqlite3_column_text(statement, 0));
    answered++;
  } else {
    procpool_task_fail(task, sqlite3_errcode(database), sqlite3_errmsg(database));
  }
  sqlite3_finalize(statement);
}

static void close_database(procpool_task *task) {
  sqlite3_close(database);
  procpool_task_return(task, &answered, sizeof(answered));
}

static void add_up(procpool_future *future, void *total) {
  long count;
  if (procpool_future_result(future, 0, &count, sizeof(count), NULL) == PROCPOOL_OK)
    *(long *)total += count;
}

int main(void) {
  static const char path[] = "rivers.db";
  static const char rivers[] = "drop table if exists river; create table river(name, km);"
                               "insert into river values ('Rhine', 1233), ('Elbe', 1094), ('Danube', 2850)";
  static const char *const queries[] = {"select sum(km) from river", "select name from river where km > 2000",
                                        "select depth from river", "select count(*) from river"};
  enum { QUERIES = sizeof(queries) / sizeof(queries[0]) };
  long total = 0;
  procpool_error error = {0};
  const procpool_options options = {.error = &error,
                                    .initializer = open_database,
                                    .initializer_argument = path,
                                    .initializer_size = sizeof(path),
                                    .finalizer = close_database,
                                    .finalizer_callback = add_up,
                                    .finalizer_context = &total};
  if (sqlite3_open(path, &database) != SQLITE_OK || sqlite3_exec(database, rivers, NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_close(database) != SQLITE_OK) { /* closed, for no connection may be open in a process that forks */
    fprintf(stderr, "database: %s\n", sqlite3_errmsg(database));
    return 1;
  }
  PROCPOOL_WITH(pool, &options) {
    procpool_future *futures[QUERIES];
    if (procpool_wait_ready(pool, PROCPOOL_FOREVER) != PROCPOOL_OK ||
        query_submit_many(pool, queries, QUERIES, futures) != PROCPOOL_OK) {
      fprintf(stderr, "database: %s\n", procpool_last_message());
      return 1;
    }
    for (int i = 0; i < QUERIES; i++) {
      const char *answer = procpool_future_string(futures[i]);
      printf("%s: %s\n", queries[i], answer != NULL ? answer : procpool_future_message(futures[i]));
    }
    procpool_release_many(futures, QUERIES);
  }
  else {
    fprintf(stderr, "database: no pool: %s\n", error.message);
    return 1;
  }
  printf("%ld queries answered\n", total); /* the pool has ended, and so has every finalizer */
  return 0;
}
