#include "proto/call.h"

#include "proto/base/check.h"

struct call_message *call_emit(struct call_outbox *outbox, enum call_message_type type)
{
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct call_message){.type = type};
    return &outbox->items[outbox->count++];
}

struct mn_buf *call_message_buf(const struct call_message *message)
{
    switch (message->type) {
    case CALL_MESSAGE_OFFER: return message->offer.body;
    case CALL_MESSAGE_SERVICE: return message->service.body;
    case CALL_MESSAGE_REQUEST: return message->request.payload;
    case CALL_MESSAGE_EVENT: return message->event.payload;
    case CALL_MESSAGE_INPUT: return message->more.payload;
    case CALL_MESSAGE_CANCEL: return NULL;
    }
    MN_ASSERT(!"a message type of the list");
    return NULL;
}

void call_outbox_reset(struct call_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        mn_buf_unref(call_message_buf(&outbox->items[i]));
    outbox->items = NULL;
    outbox->count = outbox->capacity = 0;
}

const char *call_failure_name(enum call_failure failure)
{
    static const char *const names[] = {
        [CALL_FAILED_NONE] = "none",
        [CALL_NOT_FOUND] = "not_found",
        [CALL_CONFLICT] = "conflict",
        [CALL_UNAVAILABLE] = "unavailable",
        [CALL_BUSY] = "busy",
        [CALL_TIMED_OUT] = "timed_out",
        [CALL_OUTCOME_UNKNOWN] = "outcome_unknown",
        [CALL_UPSTREAM] = "upstream",
        [CALL_TOO_BIG] = "too_big",
        [CALL_TAKEN] = "taken",
        [CALL_GONE] = "gone",
    };
    MN_ASSERT((unsigned)failure < sizeof names / sizeof *names);
    return names[failure];
}
