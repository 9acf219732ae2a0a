/* luapool: a module for Lua, in a program whose main is not its own: workers are starts of a program of the module's.
 *   cc -O2 -pthread -shared -fPIC -I/usr/include/lua5.4 -o luapool.so examples/luapool.c
 *   cc -O2 -pthread -o luapool-worker ./luapool.so -llua5.4 && lua5.4 examples/luapool.lua */
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
  lua_pushstring(own, item); /* of a number, too: Lua reckons with it */
  if (lua_pcall(own, 1, 1, 0) != LUA_OK)
    procpool_task_fail(task, 1, lua_tostring(own, -1));
  else
    procpool_task_return_string(task, lua_tostring(own, -1));
  lua_settop(own, 1);
}

/* map(code, items): calls the function that the code returns. A table of the results, and one of what went wrong. */
static int map(lua_State *L) {
  procpool_options options = {.start = PROCPOOL_START_SPAWN, .worker_path = "./luapool-worker"};
  const lua_Unsigned count = lua_rawlen(L, 2);
  procpool_future **futures = lua_newuserdatauv(L, count * sizeof(*futures) + 1, 0);
  options.initializer = load_function;
  options.initializer_argument = luaL_checklstring(L, 1, &options.initializer_size);
  lua_newtable(L);
  lua_newtable(L);
  PROCPOOL_WITH(pool, &options) {
    for (lua_Unsigned i = 0; i < count; i++) {
      lua_rawgeti(L, 2, (lua_Integer)i + 1);
      futures[i] = apply_submit(pool, lua_tostring(L, -1)); /* null where it is refused: an error below */
      lua_pop(L, 1);
    }
    for (lua_Unsigned i = 0; i < count; i++) {
      const char *result = procpool_future_string(futures[i]);
      lua_pushstring(L, result != NULL ? result : procpool_last_message());
      lua_rawseti(L, result != NULL ? -3 : -2, (lua_Integer)i + 1);
    }
    procpool_release_many(futures, count);
    return 2;
  }
  return luaL_error(L, "%s", procpool_last_message());
}

LUAMOD_API int luaopen_luapool(lua_State *L) {
  lua_pushcfunction(L, map);
  return 1;
}

int main(void) { /* luapool-worker's. To be started anew works in hosts with threads, too */
  procpool_worker_main();
  return 1; /* no pool has started it */
}
