#include "node/mcp/wire/uritemplate.h"

#include <string.h>

#include "node/mcp/wire/effort.h"

#define HEAD_PER_EFFORT 64 /* bytes that are compared all at once */

/* Which bytes of the URI the part of the template read so far can end before. What is behind the
 * end of the URI is not set. */
struct reach {
    size_t *effort; /* that is left */
    bool at[URITEMPLATE_URI_MAX + 1];
};

static void uritemplate_keep(const struct reach *reach, struct mn_span uri, bool *at)
{
    effort_take(reach->effort, uri.size + 1);
    memcpy(at, reach->at, uri.size + 1);
}

static bool uritemplate_is_simple(uint8_t c)
{
    return c != '/' && c != '?' && c != '#';
}

static bool uritemplate_is_any(uint8_t c)
{
    (void)c;
    return true;
}

static bool uritemplate_is_query(uint8_t c)
{
    return c != '#';
}

static void uritemplate_literal(struct reach *reach, struct mn_span text, struct mn_span uri)
{
    effort_take(reach->effort, uri.size + 1);
    for (size_t i = uri.size + 1; i-- > 0;) {
        bool was = i >= text.size && reach->at[i - text.size];
        reach->at[i] = was && memcmp(uri.data + i - text.size, text.data, text.size) == 0;
    }
}

/* One or more bytes of a class, after [mark] unless that is 0. */
static void uritemplate_run(struct reach *reach, struct mn_span uri, uint8_t mark,
                            bool (*is_in)(uint8_t))
{
    bool from[URITEMPLATE_URI_MAX + 1], is_running = false;

    uritemplate_keep(reach, uri, from);
    for (size_t i = 0; i <= uri.size; i++) {
        bool begins;
        if (mark == 0)
            begins = i > 0 && from[i - 1];
        else
            begins = i > 1 && from[i - 2] && uri.data[i - 2] == mark;
        /* Can a run end before byte i? */
        is_running = i > 0 && (is_running || begins) && is_in(uri.data[i - 1]);
        reach->at[i] = is_running;
    }
}

/* {/a,b} and {.a}: at least one segment; more of them when there are several names or a star. */
static void uritemplate_segments(struct reach *reach, struct mn_span uri, uint8_t mark,
                                 struct mn_span expression)
{
    uint32_t count = 1;

    for (size_t i = 0; i < expression.size; i++)
        count += expression.data[i] == ',' || expression.data[i] == '*';
    for (uint32_t i = 0;
         i < count && i < URITEMPLATE_EXPRESSIONS_MAX && effort_take(reach->effort, 0); i++) {
        bool before[URITEMPLATE_URI_MAX + 1];
        uritemplate_keep(reach, uri, before);
        uritemplate_run(reach, uri, mark, uritemplate_is_simple);
        for (size_t k = 0; i > 0 && k <= uri.size; k++)
            reach->at[k] |= before[k];
    }
}

/* {?a}, {&a}, {;a}: whatever follows the mark, or nothing. */
static void uritemplate_optional(struct reach *reach, struct mn_span uri, uint8_t mark)
{
    bool before[URITEMPLATE_URI_MAX + 1];

    uritemplate_keep(reach, uri, before);
    uritemplate_run(reach, uri, mark, uritemplate_is_query);
    for (size_t i = 0; i <= uri.size; i++)
        reach->at[i] |= before[i];
}

static void uritemplate_expression(struct reach *reach, struct mn_span uri,
                                   struct mn_span expression)
{
    uint8_t operator= expression.size == 0 ? 0 : expression.data[0];

    switch (operator) {
    case '+': uritemplate_run(reach, uri, 0, uritemplate_is_any); break;
    case '#': uritemplate_run(reach, uri, '#', uritemplate_is_any); break;
    case '/':
    case '.': uritemplate_segments(reach, uri, operator, expression); break;
    case '?':
    case '&':
    case ';': uritemplate_optional(reach, uri, operator); break;
    default: uritemplate_run(reach, uri, 0, uritemplate_is_simple); break;
    }
}

/* The text up to the next `{` or, behind one, up to its `}`. */
static struct mn_span uritemplate_until(struct mn_span *rest, uint8_t end)
{
    const uint8_t *found = rest->size == 0 ? NULL : memchr(rest->data, end, rest->size);
    struct mn_span head = *rest;

    if (found != NULL) head.size = (size_t)(found - rest->data);
    *rest = mn_span(rest->data + head.size, rest->size - head.size);
    return head;
}

/* [head] and then [rest], which begins with a `{`, or is nothing. */
static bool uritemplate_all(struct mn_span head, struct mn_span rest, struct mn_span uri,
                            uint32_t *literals, size_t *effort)
{
    struct reach reach;
    struct mn_span part = head;
    uint32_t count = 0, expressions = 0;

    reach.effort = effort;
    memset(reach.at, 0, uri.size + 1);
    reach.at[0] = true;
    while (*effort > 0) {
        if (part.size > 0) uritemplate_literal(&reach, part, uri);
        count += (uint32_t)part.size;
        if (rest.size == 0) break;
        rest = mn_span(rest.data + 1, rest.size - 1);
        part = uritemplate_until(&rest, '}');
        if (rest.size == 0 || ++expressions > URITEMPLATE_EXPRESSIONS_MAX) return false;
        rest = mn_span(rest.data + 1, rest.size - 1);
        uritemplate_expression(&reach, uri, part);
        part = uritemplate_until(&rest, '{');
    }
    *literals = count;
    return reach.at[uri.size] && *effort > 0;
}

bool uritemplate_match(struct mn_span template, struct mn_span uri, uint32_t *literals,
                       size_t *effort)
{
    struct mn_span rest = template, head = uritemplate_until(&rest, '{');

    if (!effort_take(effort, 1 + head.size / HEAD_PER_EFFORT)) return false;
    /* Nearly all that do not match differ here. */
    if (uri.size > URITEMPLATE_URI_MAX || head.size > uri.size ||
        (head.size > 0 && memcmp(head.data, uri.data, head.size) != 0))
        return false;
    return uritemplate_all(head, rest, uri, literals, effort);
}
