#include "tests/mcp/large.h"

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
