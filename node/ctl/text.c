/* Values as text for people. What came from the mesh may hold anything: control characters would
 * steer a terminal. */
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"

const struct json *ctl_find(const struct json *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        size_t size = strcspn(path, ".");
        object = json_find(object, mn_span(path, size));
        path += size + (path[size] == '.' ? 1 : 0);
    }
    return object;
}

bool ctl_is_true(const struct json *object, const char *path)
{
    return json_is_true(ctl_find(object, path));
}

double ctl_number(const struct json *object, const char *path)
{
    const struct json *value = ctl_find(object, path);
    char text[64];

    if (!json_is(value, JSON_NUMBER) || value->raw.size >= sizeof text) return 0;
    memcpy(text, value->raw.data, value->raw.size);
    text[value->raw.size] = '\0';
    return strtod(text, NULL);
}

struct mn_span ctl_string(const struct json *object, const char *path)
{
    return json_text(ctl_find(object, path));
}

/* C0, DEL, and C1 as UTF-8 has it (0xc2 0x80 .. 0xc2 0x9f). */
static bool is_control(const uint8_t *at, const uint8_t *end)
{
    if (at[0] < 0x20 || at[0] == 0x7f) return true;
    return at[0] == 0xc2 && end - at > 1 && at[1] < 0xa0;
}

const char *ctl_show_span(struct ctl *ctl, struct mn_span text)
{
    char *copy = mn_arena_alloc(&ctl->arena, text.size + 1), *to = copy;
    const uint8_t *end = text.data + text.size;

    for (const uint8_t *at = text.data; at != end; at++) {
        if (!is_control(at, end)) {
            *to++ = (char)*at;
            continue;
        }
        *to++ = ' ';
        if (*at == 0xc2) at++;
    }
    *to = '\0';
    return copy;
}

const char *ctl_show(struct ctl *ctl, const struct json *object, const char *path)
{
    return ctl_show_span(ctl, ctl_string(object, path));
}

const char *ctl_show_age(struct ctl *ctl, double ms)
{
    long long s = (long long)(ms / 1000);

    if (s < 60) return mn_arena_format(&ctl->arena, "%llds", s);
    if (s < 3600) return mn_arena_format(&ctl->arena, "%lldm%llds", s / 60, s % 60);
    if (s < 86400) return mn_arena_format(&ctl->arena, "%lldh%lldm", s / 3600, s / 60 % 60);
    return mn_arena_format(&ctl->arena, "%lldd%lldh", s / 86400, s / 3600 % 24);
}

const char *ctl_show_time(struct ctl *ctl, double ms)
{
    if (ms < 10) return mn_arena_format(&ctl->arena, "%.2f ms", ms);
    if (ms < 1000) return mn_arena_format(&ctl->arena, "%.0f ms", ms);
    if (ms < 100000) return mn_arena_format(&ctl->arena, "%.2f s", ms / 1000);
    return ctl_show_age(ctl, ms);
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0) return true;
    return false;
}

const char *ctl_colour(const struct ctl *ctl, const char *word)
{
    static const char *const green[] = {"alive", "ready", "ok", "OK", NULL};
    static const char *const yellow[] = {"suspect", "starting", "probing",   "backoff", "degraded",
                                         "warning", "WARNING",  "not ready", NULL};
    static const char *const red[] = {"dead",     "failed",   "auth",  "down",
                                      "critical", "CRITICAL", "error", NULL};

    if (!ctl->has_colour) return "";
    if (is_one_of(word, green)) return "\033[32m";
    if (is_one_of(word, yellow)) return "\033[33m";
    return is_one_of(word, red) ? "\033[31m" : "";
}

const char *ctl_colour_end(const struct ctl *ctl)
{
    return ctl->has_colour ? "\033[0m" : "";
}

bool ctl_wants_json(const struct ctl *ctl)
{
    return ctl->format == CTL_JSON || ctl->format == CTL_JSONL;
}
