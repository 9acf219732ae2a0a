/* luapool: a module for Lua, whose main is not its own: a pool whose workers run a Lua function. They are starts of a small
 * program of the module's, so that it works in hosts with threads, too. That program is this file, compiled with WORKER.
 *   cc -O2 -pthread -shared -fPIC -I/usr/include/lua5.4 -o luapool.so examples/luapool.c
 *   cc -O2 -pthread -DWORKER -o luapool-worker examples/luapool.c ./luapool.so -llua5.4
 *   lua5.4 examples/luapool.lua */
#ifdef WORKER
#include "../procpool.h"

/* It has luapool.so open, as the host has: so the tasks in there are found. */
int main(void) {
  procpool_worker_main();
  return 1; /* no pool has started it */
}
#else
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <lauxlib.h>
#include <lualib.h>

static lua_State *own; /* a worker's: the function lies at the bottom of its stack */

static int load_function(const void *code, size_t size) {
  own = luaL_newstate();
  luaL_openlibs(own);
  return luaL_loadbuffer(own, code, size, "pool") != LUA_OK || lua_pcall(own, 0, 1, 0) != LUA_OK;
}

PROCPOOL_STRING_FUNCTION(apply, item) {
  lua_pushvalue(own, 1);
  if (lua_stringtonumber(own, item) == 0)
    lua_pushstring(own, item);
  if (lua_pcall(own, 1, 1, 0) != LUA_OK)
    procpool_task_fail(task, 1, lua_tostring(own, -1));
  else
    procpool_task_return_string(task, lua_tostring(own, -1));
  lua_settop(own, 1);
}

/* luapool.open(code): a pool for the function that the code returns. */
static int open_pool(lua_State *L) {
  procpool_error error = {0};
  procpool_options options = {.error = &error, .start = PROCPOOL_START_SPAWN, .worker_path = "./luapool-worker"};
  options.initializer = load_function;
  options.initializer_argument = luaL_checklstring(L, 1, &options.initializer_size);
  procpool **place = lua_newuserdatauv(L, sizeof(procpool *), 0);
  *place = procpool_open(&options);
  if (*place == NULL)
    return luaL_error(L, "%s", error.message);
  luaL_setmetatable(L, "luapool");
  return 1;
}

/* pool:map(items): a table of the results as strings, and one of what went wrong. */
static int map(lua_State *L) {
  procpool **place = luaL_checkudata(L, 1, "luapool");
  const lua_Unsigned count = lua_rawlen(L, 2);
  procpool_future **futures = lua_newuserdatauv(L, count * sizeof(procpool_future *) + 1, 0);
  lua_newtable(L);
  lua_newtable(L);
  for (lua_Unsigned i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    futures[i] = apply_submit(*place, lua_tostring(L, -1));
    lua_pop(L, 1);
    if (futures[i] == NULL) {
      procpool_release_many(futures, i);
      return luaL_error(L, "%s", procpool_last_message());
    }
  }
  for (lua_Unsigned i = 0; i < count; i++) {
    const char *result = procpool_future_string(futures[i]);
    lua_pushstring(L, result != NULL ? result : procpool_last_message());
    lua_rawseti(L, result != NULL ? -3 : -2, (lua_Integer)i + 1);
  }
  procpool_release_many(futures, count);
  return 2;
}

static int close_pool(lua_State *L) {
  procpool **place = luaL_checkudata(L, 1, "luapool");
  procpool_close(*place);
  *place = NULL;
  return 0;
}

__attribute__((visibility("default"))) int luaopen_luapool(lua_State *L);
int luaopen_luapool(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", open_pool}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"map", map}, {"__gc", close_pool}, {"__close", close_pool}, {NULL, NULL}};
  luaL_newmetatable(L, "luapool");
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
#endif
