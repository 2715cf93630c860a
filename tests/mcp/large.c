#include "tests/mcp/large.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"

#define TICKS_MAX 4096 /* until it is answered */

static char *text;

char *large_made(const char *head, const char *unit, size_t size, const char *tail)
{
    size_t unit_size = strlen(unit), count = size / unit_size;
    char *at;

    large_done();
    at = text = malloc(strlen(head) + count * unit_size + strlen(tail) + 1);
    ck_assert_ptr_nonnull(text);
    at += sprintf(at, "%s", head);
    for (size_t i = 0; i < count; i++, at += unit_size)
        memcpy(at, unit, unit_size);
    sprintf(at, "%s", tail);
    return text;
}

char *large_text(void)
{
    return text;
}

void large_done(void)
{
    free(text);
    text = NULL;
}

void large_work_off(void)
{
    for (int i = 0; front_deadline(client_front) <= client_now.mono; i++) {
        ck_assert_int_lt(i, TICKS_MAX);
        client_at(client_now.mono);
    }
}

void large_assert(const char *said, const char *head, const char *unit, size_t size,
                  const char *tail)
{
    ck_assert_uint_eq(strlen(said),
                      strlen(head) + size / strlen(unit) * strlen(unit) + strlen(tail));
    ck_assert_int_eq(strncmp(said, head, strlen(head)), 0);
    said += strlen(head);
    for (size_t i = 0; i < size / strlen(unit); i++, said += strlen(unit))
        for (size_t k = 0; unit[k] != '\0'; k++)
            if (said[k] != (unit[k] == '\n' || unit[k] == '\r' ? ' ' : unit[k]))
                ck_abort_msg("unit %zu differs", i);
    ck_assert_str_eq(said, tail);
}
