#include "node/mcp/wire/extension.h"

#define METHOD_SIZE_MAX 128

static bool extension_is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("_-./:", c) != NULL);
}

bool extension_is_method(struct mn_span name)
{
    static const char *const own[] = {
        "initialize", "ping",   "server/",      "tools/",         "prompts/",
        "resources/", "roots/", "completion/",  "logging/",       "sampling/",
        "tasks/",     "rpc.",   "elicitation/", "subscriptions/", "notifications/"};

    if (name.size == 0 || name.size > METHOD_SIZE_MAX) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (name.size >= strlen(own[i]) && memcmp(name.data, own[i], strlen(own[i])) == 0)
            return false;
    for (size_t i = 0; i < name.size; i++)
        if (!extension_is_letter(name.data[i])) return false;
    return true;
}
