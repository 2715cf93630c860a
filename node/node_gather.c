/* node_gather.c: what every member finds about itself and its mesh, asked of all at once: each asks
 * its own operator's side (`/v1/check`), whoever asked puts the answers together. */
#include "node/gather.h"
#include "node/json/json.h"
#include "node/node_inside.h"
#include "proto/base/check.h"

#define PATH "/v1/check"

/* Our own findings, for whoever asked: sent when nobody walks through outputs. */
struct own_answer {
    struct mn_list list;
    mn_id to;
    uint64_t number;
    struct mn_buf *json;
};

struct node_gather {
    struct gather gather;
    struct mn_list own;
    struct json_parser *parser;
};

struct node_gather *node_gather_new(void)
{
    struct node_gather *ret = mn_alloc(sizeof *ret);

    gather_init(&ret->gather);
    mn_list_init(&ret->own);
    ret->parser = json_parser_new();
    return ret;
}

static void own_free(struct own_answer *own)
{
    mn_list_remove(&own->list);
    mn_buf_unref(own->json);
    mn_free(own);
}

void node_gather_free(struct node_gather *gather)
{
    if (gather == NULL) return;
    while (!mn_list_is_empty(&gather->own))
        own_free(MN_CONTAINER(gather->own.next, struct own_answer, list));
    gather_done(&gather->gather);
    json_parser_free(gather->parser);
    mn_free(gather);
}

/* ---- asking ---- */

static void carry(struct node *node, struct mn_now now, const mn_id *to, struct mn_buf *buf,
                  struct edge_outbox *outbox)
{
    struct core_input input = {.type = CORE_IN_CARRY};

    input.carry.to = *to;
    input.carry.what = CORE_CARRIED_FINDINGS;
    input.carry.buf = buf;
    node_step_core(node, now, &input, outbox);
}

static uint32_t list_members(const struct node *node, mn_id *ids)
{
    const struct membership *membership = core_membership(node->core);
    const struct member *member = NULL;
    uint32_t count = 0;

    if (membership == NULL) { /* it has not joined: it can be asked itself */
        ids[0] = core_self(node->core).node_id;
        return 1;
    }
    while ((member = membership_next(membership, member)) != NULL && count < GATHER_NODES_MAX)
        if (member->is_self || member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT)
            ids[count++] = member->node_id;
    return count;
}

void node_gather_start(struct node *node, struct mn_now now, uint64_t ticket, mn_time timeout,
                       struct edge_outbox *outbox)
{
    struct gather *gather = &node->gather->gather;
    mn_id self = core_self(node->core).node_id, ids[GATHER_NODES_MAX];
    struct admin_gateway_answer busy = {.ticket = ticket, .status = MN_BUSY};
    uint32_t count = list_members(node, ids);
    struct gather_run *run = gather_begin(gather, now.mono, ticket, timeout, ids, count);
    uint64_t number;

    if (run == NULL) {
        node_step_admin(node, now,
                        &(struct admin_input){.type = ADMIN_IN_GATEWAY, .gateway = &busy}, outbox);
        return;
    }
    number = run->number;
    for (uint32_t i = 0; i < count; i++) {
        bool is_self = mn_id_equal(&ids[i], &self);
        if (is_self ? !node_mesh_ask_own(node, now, &self, number, PATH, outbox)
                    : peers_find(core_peers(node->core), &ids[i]) == NULL)
            gather_on_answer(gather, number, &ids[i], NULL);
        else if (!is_self)
            carry(node, now, &ids[i], gather_encode(GATHER_ASK, number, mn_span(NULL, 0)), outbox);
    }
}

/* ---- answering ---- */

void node_gather_on_carried(struct node *node, struct mn_now now, const mn_id *from,
                            struct mn_span bytes, struct edge_outbox *outbox)
{
    enum gather_kind kind;
    uint64_t number;
    struct mn_span text;
    const struct json *json;
    struct mn_buf *buf;

    if (!gather_decode(bytes, &kind, &number, &text)) return;
    if (kind == GATHER_ASK) {
        (void)node_mesh_ask_own(node, now, from, number, PATH, outbox); /* else it stays silent */
        return;
    }
    if (json_parse_copy(node->gather->parser, text, (struct json_limits){16, 1, 64}, &node->arena,
                        &json) != MN_OK ||
        json->type != JSON_OBJECT)
        return; /* as good as no answer */
    buf = mn_buf_copy(text);
    gather_on_answer(&node->gather->gather, number, from, buf);
    mn_buf_unref(buf);
}

void node_gather_on_own(struct node *node, const mn_id *to, uint64_t number, struct mn_span json)
{
    struct own_answer *own = mn_alloc(sizeof *own);

    if (json.size > GATHER_JSON_MAX) json = mn_span_str("{\"level\":\"warning\",\"findings\":[]}");
    own->to = *to;
    own->number = number;
    own->json = mn_buf_copy(json);
    mn_list_push_back(&node->gather->own, &own->list);
}

void node_gather_on_down(struct node *node, const mn_id *other)
{
    gather_on_down(&node->gather->gather, other);
}

static void send_own(struct node *node, struct mn_now now, struct own_answer *own,
                     struct edge_outbox *outbox)
{
    mn_id self = core_self(node->core).node_id;

    if (mn_id_equal(&own->to, &self))
        gather_on_answer(&node->gather->gather, own->number, &self, own->json);
    else
        carry(node, now, &own->to,
              gather_encode(GATHER_ANSWER, own->number, mn_buf_span(own->json)), outbox);
    own_free(own);
}

/* {"took_ms":N,"items":[{"id":ID,"check":{...}|null}]} */
static void finish(struct node *node, struct mn_now now, struct gather_run *run,
                   struct edge_outbox *outbox)
{
    struct admin_gateway_answer answer = {.ticket = run->ticket};
    struct mn_writer writer = {0};
    char id[MN_ID_TEXT_SIZE];
    struct mn_buf *json;

    mn_writer_format(&writer, "{\"took_ms\":%llu,\"items\":[",
                     (unsigned long long)((now.mono - run->begun) / MN_MS));
    for (uint32_t i = 0; i < run->nodes_count; i++) {
        mn_writer_format(&writer, "%s{\"id\":\"%s\",\"check\":", i > 0 ? "," : "",
                         mn_id_format(&run->nodes[i].id, id));
        mn_writer_add(&writer, run->nodes[i].json == NULL ? mn_span_str("null")
                                                          : mn_buf_span(run->nodes[i].json));
        mn_writer_str(&writer, "}");
    }
    mn_writer_str(&writer, "]}");
    gather_drop(&node->gather->gather, run);
    json = mn_writer_done(&writer);
    answer.json = mn_buf_span(json);
    node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_GATEWAY, .gateway = &answer},
                    outbox);
    mn_buf_unref(json);
}

void node_gather_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct gather_run *run;

    while (!mn_list_is_empty(&node->gather->own))
        send_own(node, now, MN_CONTAINER(node->gather->own.next, struct own_answer, list), outbox);
    while ((run = gather_next(&node->gather->gather, now.mono)) != NULL)
        finish(node, now, run, outbox);
}

mn_time node_gather_deadline(const struct node *node)
{
    if (!mn_list_is_empty(&node->gather->own)) return 0;
    return gather_deadline(&node->gather->gather);
}

void node_gather_check(const struct node *node)
{
    gather_check(&node->gather->gather);
}
