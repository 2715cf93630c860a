/* large.h: what tests of large messages share: texts that are made, and the steps until nothing is
 * left to be handled. */
#ifndef TEST_LARGE_H
#define TEST_LARGE_H

#include <stddef.h>

#define LARGE ((size_t)20 << 20)
#define LARGE_PIECE ((size_t)64 << 10)   /* bytes of one input */
#define LARGE_STEP_MAX ((size_t)1 << 20) /* bytes that one step may handle */

/* HEAD, then a text of [size] bytes made of [unit], then TAIL; of the test, until the next one or
 * large_done(). */
char *large_made(const char *head, const char *unit, size_t size, const char *tail);
char *large_text(void);
void large_done(void);

/* [said] is HEAD, what large_made() puts between, CR and LF as spaces, and TAIL. */
void large_assert(const char *said, const char *head, const char *unit, size_t size,
                  const char *tail);

/* Ticks of the front until nothing is left to be checked. */
void large_work_off(void);

#endif
