/* second.h - a second copy of the implementation in the test program: a static one, in second.c. */
#ifndef SECOND_H
#define SECOND_H

#include <stdbool.h>
#include <stddef.h>

/* Opens a forked pool of the second copy's with one worker; null where that fails. */
void *second_open(void);
bool second_works(void *pool);
long second_supervisor(void *pool);
bool second_free(void *pool);

#endif /* SECOND_H */
