/* game: the game of life. A worker computes the next generation; a frame asks whether it has come, and never waits.
 *   cc -O2 -pthread -o game examples/game.c -lSDL2 && ./game */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <SDL2/SDL.h>
#include <stdio.h>

enum { SIDE = 128, PIXELS = 4, SIZE = SIDE * PIXELS, FRAMES = 60, M = SIDE / 2 * SIDE + SIDE / 2 /* the middle */ };

typedef struct world {
  bool alive[SIDE * SIDE];
} world;

PROCPOOL_FUNCTION(world, evolve, world, old) { /* runs in a worker */
  world next = {{false}};
  for (int i = SIDE + 1; i < SIDE * (SIDE - 1) - 1; i++) {
    int alive = 0; /* of this cell and the eight around it */
    for (int j = i - SIDE; j <= i + SIDE; j += SIDE)
      alive += old.alive[j - 1] + old.alive[j] + old.alive[j + 1];
    next.alive[i] = alive == 3 || (alive == 4 && old.alive[i]);
  }
  return next;
}

static void draw(SDL_Window *window, const world *now) {
  for (int i = 0; i < SIDE * SIDE; i++) {
    const SDL_Rect cell = {i % SIDE * PIXELS, i / SIDE * PIXELS, PIXELS, PIXELS};
    SDL_FillRect(SDL_GetWindowSurface(window), &cell, now->alive[i] ? 0x44DD44 : 0);
  }
  SDL_UpdateWindowSurface(window);
}

int main(void) {
  SDL_Window *window = NULL;
  world now = {.alive = {[M] = 1, [M + 1] = 1, [M + SIDE - 1] = 1, [M + SIDE] = 1, [M + 2 * SIDE] = 1}};
  int generations = 0;
  PROCPOOL_WITH(pool, NULL) { /* before SDL opens its window and starts threads */
    if (SDL_Init(SDL_INIT_VIDEO) != 0 || (window = SDL_CreateWindow("game", 0, 0, SIZE, SIZE, 0)) == NULL)
      return fprintf(stderr, "game: %s\n", SDL_GetError()), 1;
    procpool_future *next = evolve_submit(pool, now);
    for (Uint64 frame = 1, begin = SDL_GetTicks64(); frame <= FRAMES; frame++) {
      SDL_PumpEvents();
      if (procpool_future_done(next)) {
        if (evolve_result(next, &now) != PROCPOOL_OK)
          return fprintf(stderr, "game: %s\n", procpool_last_message()), 1;
        next = evolve_submit(pool, now);
        generations++;
      }
      draw(window, &now);
      while (SDL_GetTicks64() - begin < frame * 1000 / 60)
        SDL_Delay(1);
    }
    procpool_future_release(next);
    SDL_Quit();
    printf("%d frames, in which %d generations came\n", FRAMES, generations);
    return 0;
  }
  return fprintf(stderr, "game: %s\n", procpool_last_message()), 1;
}
