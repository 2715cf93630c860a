#include "node/mcp/wire/jsonrpc_skim.h"

#include <stdbool.h>

struct skim {
    const uint8_t *at, *end;
    uint32_t depth;     /* objects and arrays around [at] */
    struct mn_span key; /* the last one of the message itself, with its quotes */
};

/* Takes the string that begins here, with its quotes. */
static struct mn_span skim_string(struct skim *skim)
{
    const uint8_t *begin = skim->at++;

    while (skim->at < skim->end && *skim->at != '"')
        skim->at += *skim->at == '\\' ? 2 : 1;
    skim->at = skim->at < skim->end ? skim->at + 1 : skim->end;
    return mn_span(begin, (size_t)(skim->at - begin));
}

static bool skim_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool skim_ends_word(uint8_t c)
{
    return skim_is_space(c) || c == ',' || c == '}' || c == ']';
}

/* Takes a number, true, false or null. */
static struct mn_span skim_word(struct skim *skim)
{
    const uint8_t *begin = skim->at;

    while (skim->at < skim->end && !skim_ends_word(*skim->at))
        skim->at++;
    return mn_span(begin, (size_t)(skim->at - begin));
}

static bool skim_is_key(struct skim *skim)
{
    while (skim->at < skim->end && skim_is_space(*skim->at))
        skim->at++;
    return skim->at < skim->end && *skim->at == ':';
}

/* The next scalar that is a member of the message itself; skim->key is its key. */
static bool skim_next(struct skim *skim, struct mn_span *ret)
{
    while (skim->at < skim->end) {
        uint8_t c = *skim->at;
        if (c == '"') {
            *ret = skim_string(skim);
            if (skim->depth != 1) continue;
            if (!skim_is_key(skim)) return true;
            skim->key = *ret;
        } else if (c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) {
            *ret = skim_word(skim);
            if (skim->depth == 1) return true;
        } else {
            skim->depth += c == '{' || c == '[';
            skim->depth -= (c == '}' || c == ']') && skim->depth > 0;
            skim->at++;
        }
    }
    return false;
}

struct mn_span jsonrpc_skim_answered(struct mn_span text)
{
    struct skim skim = {.at = text.data, .end = text.data + text.size};
    struct mn_span id = {0}, value;

    while (skim_next(&skim, &value)) {
        if (mn_span_is(skim.key, "\"method\"")) return mn_span(NULL, 0);
        if (mn_span_is(skim.key, "\"id\"")) id = value;
    }
    return id;
}
