/* Large requests are copied for the mesh in slices, one per tick, for a copy of many megabytes
 * would hold up everybody else. The call is in its table meanwhile, but nobody has heard of it. */
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define PACK_SLICE ((size_t)64 << 10) /* bytes of one tick */
#define PARAMS_FIELD 2                /* of a request, gateway.proto */

struct front_pack {
    struct mn_list link; /* in front->packs */
    struct front_call *call;
    struct mn_buf *source; /* the body that it came in */
    struct pieces params;
    size_t at; /* in them */
    struct mn_writer payload;
    mn_id node;
    bool is_idempotent;
    struct mn_buf *trace;
};

static bool pack_has(const struct front *front, struct mn_list *link, const struct mn_buf *source)
{
    return link != &front->packs && MN_CONTAINER(link, struct front_pack, link)->source == source;
}

/* Whether another call came in the same body, which counts once: those of one stand together. */
static bool pack_is_shared(const struct front *front, const struct front_pack *pack)
{
    return pack_has(front, pack->link.prev, pack->source) ||
           pack_has(front, pack->link.next, pack->source);
}

void front_pack_begin(struct front *front, struct front_call *call, struct mn_buf *source,
                      struct pieces *params)
{
    struct front_pack *pack = mn_alloc(sizeof *pack);
    uint8_t head[PB_BYTES_HEAD_MAX];
    size_t size = pieces_size(params), head_size = pb_bytes_head(PARAMS_FIELD, size, head);

    MN_PROBE("front: a large request");
    pack->call = call;
    pack->source = mn_buf_ref(source);
    pack->params = *params;
    *params = (struct pieces){0};
    mn_writer_reserve(&pack->payload, call->payload->size + head_size + size);
    mn_writer_add(&pack->payload, mn_buf_span(call->payload));
    mn_writer_add(&pack->payload, mn_span(head, head_size));
    call->payload = mn_buf_unref(call->payload);
    call->pack = pack;
    mn_list_push_back(&front->packs, &pack->link);
    if (!pack_is_shared(front, pack)) front->bodies_size += source->size;
}

void front_pack_send(struct front_call *call, const mn_id *node, bool is_idempotent,
                     struct mn_span trace)
{
    call->pack->node = *node;
    call->pack->is_idempotent = is_idempotent;
    call->pack->trace = mn_buf_copy(trace);
}

void front_pack_drop(struct front *front, struct front_call *call)
{
    struct front_pack *pack = call->pack;

    if (pack == NULL) return;
    call->pack = NULL;
    if (!pack_is_shared(front, pack)) front->bodies_size -= pack->source->size;
    mn_list_remove(&pack->link);
    pieces_drop(&pack->params);
    mn_writer_drop(&pack->payload);
    mn_buf_unref(pack->source);
    mn_buf_unref(pack->trace);
    mn_free(pack);
}

/* A slice of the one that has waited longest. */
void front_pack_on_tick(struct front *front)
{
    struct front_pack *pack;
    struct front_call *call;

    if (mn_list_is_empty(&front->packs)) return;
    pack = MN_CONTAINER(front->packs.next, struct front_pack, link);
    call = pack->call;
    if (!pieces_copy(&pack->params, &pack->at, PACK_SLICE, false, &pack->payload)) return;
    call->payload = mn_writer_done(&pack->payload);
    front_call_emit(front, call, &pack->node, pack->is_idempotent, mn_buf_span(pack->trace));
    front_pack_drop(front, call);
}

size_t front_pack_size(const struct front *front)
{
    size_t size = 0;

    MN_LIST_FOR_EACH (link, &front->packs) {
        const struct mn_buf *source = MN_CONTAINER(link, struct front_pack, link)->source;
        if (!pack_has(front, link->next, source)) size += source->size;
    }
    return size;
}
