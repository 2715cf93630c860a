#include "proto/base/trace.h"

#include "proto/base/check.h"

struct event_info {
    const char *name, *a_name, *b_name;
    enum mn_level level;
};

static const struct event_info event_infos[MN_EV_COUNT] = {
    [MN_EV_NONE] = {"none", "", "", MN_LEVEL_DEBUG},
#define X(event_name, text, event_level, a, b) \
    [MN_EV_##event_name] = {text, a, b, MN_LEVEL_##event_level},
    MN_EVENT_LIST(X)
#undef X
};

void mn_trace_init(struct mn_trace *trace, struct mn_trace_event *ring, uint32_t capacity)
{
    MN_ASSERT(capacity > 0);
    *trace = (struct mn_trace){.ring = ring, .capacity = capacity};
}

void mn_trace_span(struct mn_trace *trace, mn_time mono, enum mn_event event, const mn_id *id,
                   uint64_t a, uint64_t b, struct mn_span text)
{
    struct mn_trace_event *slot;

    if (trace == NULL) return;
    if (trace->written - trace->read == trace->capacity) {
        trace->read++;
        trace->lost++;
    }
    slot = &trace->ring[trace->written++ % trace->capacity];
    *slot = (struct mn_trace_event){.mono = mono, .event = event, .a = a, .b = b};
    if (id != NULL) slot->id = *id;
    if (text.size >= sizeof slot->text) text.size = sizeof slot->text - 1;
    if (text.size > 0) memcpy(slot->text, text.data, text.size);
}

void mn_trace(struct mn_trace *trace, mn_time mono, enum mn_event event, const mn_id *id,
              uint64_t a, uint64_t b, const char *text)
{
    mn_trace_span(trace, mono, event, id, a, b, mn_span_str(text));
}

const struct mn_trace_event *mn_trace_take(struct mn_trace *trace)
{
    if (trace->read == trace->written) return NULL;
    return &trace->ring[trace->read++ % trace->capacity];
}

static const struct event_info *event_info(enum mn_event event)
{
    MN_ASSERT(event < MN_EV_COUNT);
    return &event_infos[event];
}

const char *mn_event_name(enum mn_event event)
{
    return event_info(event)->name;
}

enum mn_level mn_event_level(enum mn_event event)
{
    return event_info(event)->level;
}

const char *mn_event_a_name(enum mn_event event)
{
    return event_info(event)->a_name;
}

const char *mn_event_b_name(enum mn_event event)
{
    return event_info(event)->b_name;
}
