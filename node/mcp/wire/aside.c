#include "node/mcp/wire/aside.h"

#include <string.h>

#define PREFIX "notifications/"

static bool aside_is_plain(struct mn_span method)
{
    for (size_t i = 0; i < method.size; i++) {
        uint8_t c = method.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && (c == 0 || strchr("/_-.$", c) == NULL)) return false;
    }
    return true;
}

bool aside_is_carried(struct mn_span method)
{
    static const char *const others[] = {
        PREFIX "progress",
        PREFIX "cancelled",
        PREFIX "initialized",
        PREFIX "tools/list_changed",
        PREFIX "prompts/list_changed",
        PREFIX "resources/list_changed",
        PREFIX "resources/updated",
        PREFIX "roots/list_changed",
        PREFIX "tasks",
        PREFIX "tasks/status",
        PREFIX "subscriptions/acknowledged",
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (mn_span_is(method, others[i])) return false;
    return method.size > 0 && method.size <= ASIDE_METHOD_MAX && aside_is_plain(method);
}
