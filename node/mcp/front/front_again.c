/* A call whose node was lost, and which another one executes again, because it may: it only reads.
 * Its client saw a part of the first run, and is not to see from it that there were two. */
#include "node/json/schema.h"
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"

void front_again_runs_at(struct front *front, struct front_call *call, const mn_id *node)
{
    bool has_moved = !mn_id_is_zero(&call->node) && !mn_id_equal(&call->node, node);

    if (mn_id_is_zero(node)) return;
    call->node = *node;
    if (!has_moved) return;
    MN_PROBE("front: a call runs again at another node");
    call->is_again = true;
    front_question_drop(front, call); /* the answers were for a run that is no more */
    if (call->is_noted) front_orphan_save(front, call->session);
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
