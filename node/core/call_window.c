#include "node/core/call_window.h"

#include <string.h>

#include "proto/base/check.h"

static uint64_t *call_window_word(struct call_window *window, uint64_t number)
{
    return &window->bits[number % CALL_WINDOW_SIZE / 64];
}

static void call_window_advance(struct call_window *window, uint64_t number)
{
    if (number - window->highest >= CALL_WINDOW_SIZE) {
        memset(window->bits, 0, sizeof window->bits);
    } else {
        for (uint64_t n = window->highest + 1; n <= number; n++)
            *call_window_word(window, n) &= ~((uint64_t)1 << n % 64);
    }
    window->highest = number;
}

bool call_window_take(struct call_window *window, uint64_t number)
{
    uint64_t bit = (uint64_t)1 << number % 64;

    MN_ASSERT(number > 0);
    if (number > window->highest)
        call_window_advance(window, number);
    else if (window->highest - number >= CALL_WINDOW_SIZE)
        return false;
    if ((*call_window_word(window, number) & bit) != 0) return false;
    *call_window_word(window, number) |= bit;
    return true;
}
