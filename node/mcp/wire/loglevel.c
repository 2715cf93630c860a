#include "node/mcp/wire/loglevel.h"

#include <stddef.h>

static const char *const names[] = {"",      "debug",    "info",  "notice",   "warning",
                                    "error", "critical", "alert", "emergency"};

enum loglevel loglevel_parse(struct mn_span text)
{
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (mn_span_is(text, names[i])) return (enum loglevel)i;
    return LOGLEVEL_NONE;
}

const char *loglevel_name(enum loglevel level)
{
    return names[level];
}
