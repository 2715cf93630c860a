#include "tests/mcp/work.h"

#include "node/json/feed.h"
#include "node/json/index.h"
#include "node/mcp/front/front.h"
#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/uritemplate.h"

#define WRAPPED(type, name, ...)     \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

static size_t now, worst;

size_t work_worst(void)
{
    return worst;
}

void work_reset(void)
{
    now = worst = 0;
}

static void work_end(void)
{
    if (now > worst) worst = now;
    now = 0;
}

WRAPPED(void, front_step, struct front *front, struct mn_now at, const struct mcp_input *input,
        struct mcp_outbox *outbox)
{
    now = 0;
    __real_front_step(front, at, input, outbox);
    work_end();
}

WRAPPED(void, upstreams_step, struct upstreams *upstreams, struct mn_now at,
        const struct upstreams_input *input, struct upstreams_outbox *outbox)
{
    now = 0;
    __real_upstreams_step(upstreams, at, input, outbox);
    work_end();
}

WRAPPED(void *, memcpy, void *to, const void *from, size_t size)
{
    now += size;
    return __real_memcpy(to, from, size);
}

WRAPPED(void *, memmove, void *to, const void *from, size_t size)
{
    now += size;
    return __real_memmove(to, from, size);
}

WRAPPED(void *, memchr, const void *text, int c, size_t size)
{
    now += size;
    return __real_memchr(text, c, size);
}

WRAPPED(bool, json_index_find, struct json_index *index, const uint8_t *text, size_t size,
        const uint32_t **positions, uint32_t *positions_count)
{
    now += size;
    return __real_json_index_find(index, text, size, positions, positions_count);
}

WRAPPED(mn_status, json_feed_check, struct json_feed *feed, struct mn_span text, size_t size_max)
{
    size_t before = json_feed_place(feed);
    mn_status status = __real_json_feed_check(feed, text, size_max);
    now += json_feed_place(feed) - before;
    return status;
}

WRAPPED(mn_status, json_feed_end, struct json_feed *feed, struct mn_span text,
        struct mn_arena *arena, const struct json **ret)
{
    size_t before = json_feed_place(feed);
    mn_status status = __real_json_feed_end(feed, text, arena, ret);
    now += json_feed_place(feed) - before;
    return status;
}

WRAPPED(bool, uritemplate_match, struct mn_span template, struct mn_span uri, uint32_t *literals,
        size_t *effort)
{
    now += template.size;
    return __real_uritemplate_match(template, uri, literals, effort);
}
