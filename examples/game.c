/* game: guards walk to the player on the shortest ways round the walls. Workers look for the ways; a frame asks whether one
 * has come, and never waits for it.
 *   cc -O2 -pthread -o game examples/game.c -lSDL2 && ./game */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <SDL2/SDL.h>
#include <stdio.h>

enum { SIDE = 64, PIXELS = 8, GUARDS = 12, FRAMES = 60 };

/* A place is y * SIDE + x. */
static bool is_wall(int place) {
  const int x = place % SIDE, y = place / SIDE;
  return x == 0 || y == 0 || x == SIDE - 1 || y == SIDE - 1 || (x % 4 == 2 && (y + 7 * x) % 16 != 0);
}

/* Where to go next on a shortest way. Runs in a worker: looks at ever more distant places, from the target on. */
PROCPOOL_FUNCTION(int, next_step, int, from, int, target) {
  static const int ways[4] = {1, SIDE, -1, -SIDE};
  int queue[SIDE * SIDE] = {target};
  bool seen[SIDE * SIDE] = {false};
  for (int begin = 0, end = 1; begin < end; begin++)
    for (int i = 0; i < 4; i++) {
      const int next = queue[begin] + ways[i];
      if (next == from)
        return queue[begin];
      if (!is_wall(next) && !seen[next])
        queue[end++] = next;
      seen[next] = true;
    }
  return from;
}

static void draw(SDL_Surface *screen, int place, Uint32 colour) {
  const SDL_Rect box = {place % SIDE * PIXELS, place / SIDE * PIXELS, PIXELS, PIXELS};
  SDL_FillRect(screen, &box, colour);
}

/* Returns how many steps the guards took, or -1 on an error. */
static int play(procpool *pool, SDL_Window *window) {
  SDL_Surface *const screen = SDL_GetWindowSurface(window);
  const Uint64 begin = SDL_GetTicks64();
  int guards[GUARDS], taken = 0;
  procpool_future *steps[GUARDS];
  for (int i = 0; i < GUARDS; i++) {
    guards[i] = (5 * i + 2) * SIDE - 2;
    steps[i] = next_step_submit(pool, guards[i], SIDE + 1);
  }
  for (Uint64 frame = 1, now; frame <= FRAMES; frame++) {
    const int player = (int)frame * SIDE + 1;
    SDL_PumpEvents();
    for (int i = 0; i < SIDE * SIDE; i++)
      draw(screen, i, is_wall(i) ? 0x777777 : 0);
    for (int i = 0; i < GUARDS; i++) {
      if (procpool_future_status(steps[i]) != PROCPOOL_PENDING) { /* its step has come: the next one is looked for */
        if (next_step_result(steps[i], &guards[i]) != PROCPOOL_OK)
          return -1;
        steps[i] = next_step_submit(pool, guards[i], player);
        taken++;
      }
      draw(screen, guards[i], 0xDD4444);
    }
    draw(screen, player, 0x44DD44);
    SDL_UpdateWindowSurface(window);
    if ((now = SDL_GetTicks64() - begin) < frame * 1000 / 60)
      SDL_Delay((Uint32)(frame * 1000 / 60 - now));
  }
  procpool_release_many(steps, GUARDS);
  return taken;
}

int main(void) {
  procpool_error error = {0};
  int taken = -1;
  /* One processor is left to the frames. (0, if there is no other one, is the pool's own choice: one worker.) */
  const procpool_options options = {.max_workers = procpool_cpu_count(PROCPOOL_CPU_USABLE) - 1, .error = &error};
  PROCPOOL_WITH(pool, &options) { /* before SDL opens its window and starts threads */
    SDL_Window *window = NULL;
    if (SDL_Init(SDL_INIT_VIDEO) == 0)
      window = SDL_CreateWindow("game", 0, 0, SIDE * PIXELS, SIDE * PIXELS, 0);
    if (window == NULL)
      fprintf(stderr, "game: %s\n", SDL_GetError());
    else if ((taken = play(pool, window)) < 0)
      fprintf(stderr, "game: %s\n", procpool_last_message());
    else
      printf("%d frames, in which the guards took %d steps\n", FRAMES, taken);
    SDL_Quit();
  }
  else fprintf(stderr, "game: %s\n", error.message);
  return taken < 0;
}
