/* A call that runs more than once: its node was lost, and another one executes it again, because it
 * may; or who was asked first does not know what it asks for, and another server is asked. Its
 * client may have seen a part of the first run, and is not to see from it that there were two. */
#include "node/json/schema.h"
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

void front_again_begin(struct front *front, struct front_call *call)
{
    call->is_again = call->is_again || call->is_heard;
    call->is_heard = false;
    call->node = (mn_id){{0}};
    front_question_drop(front, call); /* the answers were for a run that is no more */
}

void front_again_on_event(struct front *front, struct front_call *call,
                          const struct call_event *event)
{
    bool is_known = mn_id_is_zero(&event->node) || mn_id_equal(&call->node, &event->node);

    if (!is_known) {
        if (!mn_id_is_zero(&call->node)) {
            MN_PROBE("front: a call runs again at another node");
            front_again_begin(front, call);
        }
        call->node = event->node;
        if (call->is_noted) front_orphan_save(front, call->session);
    }
    /* That it was sent there, or is not forgotten, says nothing to its client. */
    if (event->kind == CALL_EVENT_PROGRESS && mn_buf_span(event->payload).size > 0)
        call->is_heard = true;
}

bool front_again_is_further(struct front_call *call, const struct json *progress)
{
    if (!json_is(progress, JSON_NUMBER)) return true;
    if (call->is_again && call->told_size > 0 &&
        schema_number_compare(progress->raw, mn_span(call->told, call->told_size)) <= 0)
        return false; /* it had been there before */
    call->told_size = 0;
    if (progress->raw.size > sizeof call->told) return true;
    memcpy(call->told, progress->raw.data, progress->raw.size);
    call->told_size = (uint8_t)progress->raw.size;
    return true;
}
