/* database: each worker has a connection of its own to one SQLite database. The initializer opens it, queries go as
 * strings, and the finalizer closes it and says how much the worker did, which the host adds up.
 *   cc -O2 -pthread -o database examples/database.c -lsqlite3 && ./database */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <sqlite3.h>
#include <stdio.h>

static const char path[] = "rivers.db";
static sqlite3 *database; /* this worker's: static variables are what lasts from task to task */
static long asked;
static int open_database(const void *argument, size_t size) {
  (void)argument, (void)size;
  return sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL);
}

PROCPOOL_STRING_FUNCTION(query, sql) { /* the first column of the first row */
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
    procpool_task_return_string(task, (const char *)sqlite3_column_text(statement, 0));
  else
    procpool_task_fail(task, sqlite3_errcode(database), sqlite3_errmsg(database));
  asked++;
  sqlite3_finalize(statement);
}

static void close_database(procpool_task *task) {
  sqlite3_close(database);
  procpool_task_return(task, &asked, sizeof(asked));
}

static void add_up(procpool_future *future, void *total) {
  const long *count = procpool_future_data(future, NULL); /* null if the worker could not say it */
  *(long *)total += count != NULL ? *count : 0;
}

int main(void) {
  static const char rivers[] = "drop table if exists river; create table river(name, km);"
                               "insert into river values ('Rhine', 1233), ('Elbe', 1094), ('Danube', 2850)";
  static const char *const queries[4] = {"select sum(km) from river", "select name from river where km > 2000",
                                         "select depth from river", "select count(*) from river"};
  procpool_future *futures[4];
  long total = 0;
  procpool_options options = {.initializer = open_database, .finalizer = close_database, .finalizer_callback = add_up};
  options.finalizer_context = &total;
  if (sqlite3_open(path, &database) || sqlite3_exec(database, rivers, NULL, NULL, NULL) || sqlite3_close(database))
    return fprintf(stderr, "database: %s\n", sqlite3_errmsg(database)), 1;
  PROCPOOL_WITH(pool, &options) { /* no connection may be open in a process that forks */
    if (query_submit_many(pool, queries, 4, futures) != PROCPOOL_OK)
      return fprintf(stderr, "database: %s\n", procpool_last_message()), 1;
    for (int i = 0; i < 4; i++) {
      const char *answer = procpool_future_string(futures[i]);
      printf("%s: %s\n", queries[i], answer != NULL ? answer : procpool_last_message());
    }
    procpool_release_many(futures, 4);
  }
  else return fprintf(stderr, "database: %s\n", procpool_last_message()), 1;
  printf("%ld queries in all\n", total); /* the pool has ended, and so has every finalizer */
  return 0;
}
