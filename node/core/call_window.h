/* call_window.h: which calls of one caller came already. The highest number seen and a bitmap of
 * the CALL_WINDOW_SIZE numbers up to it, as in the replay window of IPsec (RFC 4303, section
 * 3.4.3). What is below the window counts as seen: refusing an old call is safe, executing it a
 * second time is not. */
#ifndef CALL_WINDOW_H
#define CALL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define CALL_WINDOW_SIZE 4096

struct call_window {
    uint64_t highest;                     /* 0: none seen */
    uint64_t bits[CALL_WINDOW_SIZE / 64]; /* of number n: bit n % CALL_WINDOW_SIZE */
};

/* Marks [number] (> 0) as seen. False: it was already, or is too old to tell. */
bool call_window_take(struct call_window *window, uint64_t number);

#endif
