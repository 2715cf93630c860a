#include "node/io/fetch.h"

#include <stdlib.h>

#include "node/io/fetch_internal.h"
#include "proto/base/check.h"

void fetch_config_default(struct fetch_config *config)
{
    *config = (struct fetch_config){.idle_max = 256, .idle_timeout = 30 * MN_SEC};
}

struct fetch *fetch_new(struct io *io, const struct fetch_config *config)
{
    struct fetch *fetch = mn_alloc(sizeof *fetch);
    fetch->io = io;
    fetch->config = *config;
    if (config->unix_path != NULL) {
        fetch->unix_path = strdup(config->unix_path);
        MN_ASSERT(fetch->unix_path != NULL);
    }
    mn_map_init(&fetch->calls, 0); /* ids are the node's own: nobody can choose them */
    fetch->plain = fetch_plain_new(fetch);
    fetch->ways_count = 1;
    return fetch;
}

void fetch_way_closed(struct fetch *fetch)
{
    if (--fetch->ways_count > 0) return;
    mn_map_done(&fetch->calls);
    free(fetch->unix_path);
    mn_free(fetch);
}

void fetch_call_init(struct fetch_call *call, struct fetch *fetch, uint64_t id, bool is_plain)
{
    call->fetch = fetch;
    call->id = id;
    call->is_plain = is_plain;
    mn_map_insert(&fetch->calls, &call->entry, mn_span(&call->id, sizeof call->id));
}

void fetch_call_kill(struct fetch_call *call)
{
    if (call->is_dead) return;
    call->is_dead = true;
    mn_map_remove(&call->fetch->calls, &call->entry);
}

static void fetch_give(struct fetch *fetch, const struct edge_input *input)
{
    if (!fetch->is_closing) io_input(fetch->io, input);
}

void fetch_give_head(struct fetch_call *call, uint32_t code, const struct edge_header *headers,
                     uint32_t headers_count)
{
    if (call->is_dead) return;
    fetch_give(call->fetch, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                                 .id = call->id,
                                                 .code = code,
                                                 .headers = headers,
                                                 .headers_count = headers_count});
}

void fetch_give_body(struct fetch_call *call, struct mn_span bytes)
{
    if (call->is_dead) return;
    fetch_give(call->fetch,
               &(struct edge_input){.type = EDGE_IN_FETCH_BODY, .id = call->id, .bytes = bytes});
}

void fetch_give_done(struct fetch_call *call, mn_status status, const char *text)
{
    if (call->is_dead) return;
    fetch_call_kill(call);
    fetch_give(call->fetch, &(struct edge_input){.type = EDGE_IN_FETCH_DONE,
                                                 .id = call->id,
                                                 .status = status,
                                                 .text = mn_span_str(text)});
}

/* RFC 9110, section 5.6.2: 1 where the character may stand in a token. */
static const uint8_t fetch_token_characters[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool fetch_is_token(struct mn_span text)
{
    uint8_t is_good = 1; /* without a branch per byte */
    for (size_t i = 0; i < text.size; i++)
        is_good &= fetch_token_characters[text.data[i]];
    return text.size > 0 && is_good != 0;
}

/* Of eight bytes: whether one is a control character. */
static bool fetch_has_control(const uint8_t *eight)
{
    const uint64_t ones = 0x0101010101010101U, highs = ones << 7;
    uint64_t word, other;
    memcpy(&word, eight, sizeof word);
    other = word ^ ones * 0x7f;
    return ((((word - ones * ' ') & ~word) | ((other - ones) & ~other)) & highs) != 0;
}

bool fetch_is_header_value(struct mn_span text)
{
    uint8_t is_bad = 0;
    size_t at = 0;
    while (at + 8 <= text.size && !fetch_has_control(text.data + at))
        at += 8;
    for (; at < text.size; at++) { /* the rest, or where a tab may be */
        uint8_t c = text.data[at];
        is_bad |= (uint8_t)((c < ' ') & (c != '\t')) | (uint8_t)(c == 0x7f);
    }
    return is_bad == 0;
}

/* Visible ASCII only. */
static bool fetch_is_url(struct mn_span text)
{
    const uint64_t ones = 0x0101010101010101U, highs = ones << 7;
    size_t at = 0;
    for (; at + 8 <= text.size; at += 8) {
        uint64_t word;
        memcpy(&word, text.data + at, sizeof word);
        if (((word | (word + ones) | (word - ones * ('\x20' + 1))) & highs) != 0) return false;
    }
    for (; at < text.size; at++)
        if (text.data[at] <= ' ' || text.data[at] >= 0x7f) return false;
    return true;
}

static bool fetch_is_sound(const struct edge_fetch *start)
{
    if (!fetch_is_token(start->method) || !fetch_is_url(start->url)) return false;
    for (uint32_t i = 0; i < start->headers_count; i++) {
        if (!fetch_is_token(start->headers[i].name) ||
            !fetch_is_header_value(start->headers[i].value))
            return false;
    }
    return true;
}

/* No byte of it goes out. */
static void fetch_refuse(struct fetch *fetch, uint64_t id, const char *why)
{
    fetch_give(fetch, &(struct edge_input){.type = EDGE_IN_FETCH_DONE,
                                           .id = id,
                                           .status = MN_UNREACHABLE,
                                           .text = mn_span_str(why)});
}

static void fetch_start(struct fetch *fetch, uint64_t id, const struct edge_fetch *start)
{
    const char *why = NULL;
    if (!fetch_is_sound(start)) {
        fetch_refuse(fetch, id, "the method, the URL or a header cannot be sent");
        return;
    }
    if (fetch_plain_start(fetch->plain, id, start)) return;
    if (fetch->curl == NULL) {
        fetch->curl = fetch_curl_new(fetch, &why);
        if (fetch->curl == NULL) {
            fetch_refuse(fetch, id, why);
            return;
        }
        fetch->ways_count++;
    }
    fetch_curl_start(fetch->curl, id, start);
}

void fetch_do(struct fetch *fetch, const struct edge_output *output)
{
    if (output->type == EDGE_OUT_FETCH_START) {
        fetch_start(fetch, output->id, output->fetch_start);
        return;
    }
    struct mn_map_entry *entry =
        mn_map_find(&fetch->calls, mn_span(&output->id, sizeof output->id));
    if (entry == NULL) return;
    struct fetch_call *call = MN_CONTAINER(entry, struct fetch_call, entry);
    if (output->type == EDGE_OUT_FETCH_PAUSE) {
        if (call->is_plain)
            fetch_plain_pause(call, output->flag);
        else
            fetch_curl_pause(call, output->flag);
    } else if (output->type == EDGE_OUT_FETCH_CANCEL) {
        fetch_call_kill(call);
        if (call->is_plain)
            fetch_plain_cancel(call);
        else
            fetch_curl_cancel(call);
    }
}

void fetch_close(struct fetch *fetch)
{
    if (fetch == NULL) return;
    fetch->is_closing = true;
    if (fetch->curl != NULL) fetch_curl_close(fetch->curl);
    fetch_plain_close(fetch->plain);
}
