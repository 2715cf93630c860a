/* The record of a legacy session as another member, or the node's store, gives it, and the id of
 * the event after which its client comes: the session goes on, or its client starts over;
 * invariants hold, and what it then sends of itself can be read back by the next node. The input:
 * the event's id, a line feed, the record's body. */
#include <stdlib.h>

#include "crypto/rng.h"
#include "node/mcp/front/front.h"
#include "node/mcp/records/records.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define SESSION_SIZE 300
#define INITIALIZE                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-11-25\",\"capabilities\":{}}}"

static const mn_id others[2] = {{{2}}, {{3}}};

struct world {
    struct front *front;
    struct mn_now now;
    struct mn_arena arena, kept;
    struct edge_outbox edge;
    struct call_outbox calls;
    char session[SESSION_SIZE];
    struct mn_buf *put;   /* the record that it told others last */
    struct mn_buf *asked; /* what it asked them last */
    uint64_t ticket;      /* of its newest request to the core; 0: none */
    uint32_t ended_count; /* responses */
};

static void on_carry(struct world *world, const struct mcp_carry *carry)
{
    const Meshnode__Record__Packet *packet =
        pb_unpack(&meshnode__record__packet__descriptor, &world->kept, mn_buf_span(carry->buf));

    MN_ASSERT(packet != NULL);
    if (packet->what_case == MESHNODE__RECORD__PACKET__WHAT_PUT) {
        mn_buf_unref(world->put);
        world->put = pb_pack(&packet->put->base);
    }
    if (packet->what_case == MESHNODE__RECORD__PACKET__WHAT_ASK) {
        mn_buf_unref(world->asked);
        world->asked = mn_buf_copy(pb_span(packet->ask->key));
    }
    mn_buf_unref(carry->buf);
}

static void step(struct world *world, const struct mcp_input *input)
{
    struct mn_arena carried = {0};
    struct mcp_carries carries = {.arena = &carried};
    struct mcp_outbox outbox = {&world->edge, &world->calls, &carries};

    front_step(world->front, world->now, input, &outbox);
    front_check(world->front);
    for (uint32_t i = 0; i < world->edge.count; i++) {
        const struct edge_output *output = &world->edge.items[i];
        if (output->type == EDGE_OUT_HTTP_BODY) world->ended_count += output->flag;
        for (uint32_t k = 0; output->type == EDGE_OUT_HTTP_HEAD && k < output->headers_count; k++)
            if (mn_span_is(output->headers[k].name, "mcp-session-id"))
                memcpy(world->session, output->headers[k].value.data,
                       output->headers[k].value.size);
    }
    for (uint32_t i = 0; i < world->calls.count; i++)
        if (world->calls.items[i].type == CALL_MESSAGE_REQUEST)
            world->ticket = world->calls.items[i].request.ticket;
    for (uint32_t i = 0; i < carries.count; i++)
        on_carry(world, &carries.items[i]);
    mn_arena_done(&carried);
    call_outbox_reset(&world->calls);
    edge_outbox_reset(&world->edge);
}

static void pass(struct world *world, mn_time time)
{
    world->now.mono += time;
    step(world, &(struct mcp_input){.type = MCP_IN_TICK});
}

static void edge_input(struct world *world, const struct edge_input *input)
{
    step(world, &(struct mcp_input){.type = MCP_IN_EDGE, .edge = input});
}

static void world_init(struct world *world)
{
    static const uint8_t seed[RNG_SEED_SIZE];
    struct mcp_config config = {.self = {{1}}, .seed = seed};
    char session[SESSION_SIZE];

    memcpy(session, world->session, sizeof session); /* the next node of the same mesh */
    *world = (struct world){.now = {MN_MINUTE, MN_HOUR}};
    memcpy(world->session, session, sizeof session);
    world->edge.arena = world->calls.arena = &world->arena;
    world->front = front_new(&config);
    step(world, &(struct mcp_input){.type = MCP_IN_NODES, .nodes = {.items = others, .count = 2}});
    pass(world, MN_SEC);
}

static void world_done(struct world *world)
{
    front_free(world->front);
    mn_buf_unref(world->put);
    mn_buf_unref(world->asked);
    mn_arena_done(&world->arena);
    mn_arena_done(&world->kept);
}

static void ask(struct world *world, uint64_t id, const char *verb, struct mn_span last,
                const char *body)
{
    struct edge_header headers[6] = {
        {mn_span_str("host"), mn_span_str("localhost")},
        {mn_span_str("content-type"), mn_span_str("application/json")},
        {mn_span_str("accept"), mn_span_str("application/json, text/event-stream")}};
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .method = mn_span_str(verb),
                                     .target = mn_span_str("/mcp"),
                                     .headers = headers,
                                     .headers_count = 3};

    if (world->session[0] != '\0')
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("mcp-session-id"), mn_span_str(world->session)};
    if (last.size > 0)
        headers[http.headers_count++] = (struct edge_header){mn_span_str("last-event-id"), last};
    edge_input(world, &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .id = id, .http = &http});
    edge_input(world, &(struct edge_input){.type = EDGE_IN_HTTP_BODY,
                                           .id = id,
                                           .bytes = mn_span_str(body),
                                           .is_last = true});
}

/* What others say to that question: this record. */
static void found(struct world *world, struct mn_span body)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Found said = MESHNODE__RECORD__FOUND__INIT;
    Meshnode__Record__Record record = MESHNODE__RECORD__RECORD__INIT;
    struct mn_buf *bytes;

    if (world->asked == NULL) return;
    said.key = record.key = pb_bytes(mn_buf_span(world->asked));
    record.version = 5;
    record.writer = pb_id_bytes(&others[0]);
    record.life_ms = 1000;
    record.body = pb_bytes(body);
    if (body.size > 0) said.record = &record;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_FOUND;
    packet.found = &said;
    bytes = pb_pack(&packet.base);
    for (int i = 0; i < 2; i++)
        step(world, &(struct mcp_input){.type = MCP_IN_CARRIED,
                                        .carried = {others[i], mn_buf_span(bytes)}});
    mn_buf_unref(bytes);
    pass(world, RECORDS_WAIT); /* copies that nobody confirms */
    pass(world, 5 * MN_SEC);
}

/* The session as another node finds it, and what it tells of it. */
static void go_on(struct world *world, struct mn_span last, struct mn_span body)
{
    struct call_message failed = {.type = CALL_MESSAGE_EVENT};

    world_init(world);
    ask(world, 21, "GET", last, "");
    found(world, body);
    pass(world, 30 * MN_SEC);
    for (int i = 0; i < 3 && world->ticket != 0; i++) { /* of a call that it claims */
        failed.event = (struct call_event){.ticket = world->ticket,
                                           .kind = CALL_EVENT_FAILED,
                                           .failure = CALL_UNAVAILABLE,
                                           .text = mn_span_str("no")};
        step(world, &(struct mcp_input){.type = MCP_IN_CALL, .call = &failed});
        pass(world, 4 * MN_SEC);
    }
    edge_input(world, &(struct edge_input){.type = EDGE_IN_HTTP_GONE, .id = 21});
    if (!front_is_idle(world->front)) abort();
}

/* The body as it would be for this session's client, or as it is if it does not decode. */
static struct mn_buf *for_client(struct world *world, struct mn_span body)
{
    struct mn_arena *arena = &world->kept;
    const Meshnode__Record__Record *own =
        pb_unpack(&meshnode__record__record__descriptor, arena, mn_buf_span(world->put));
    const Meshnode__Record__Session *real =
        pb_unpack(&meshnode__record__session__descriptor, arena, pb_span(own->body));
    Meshnode__Record__Session *session =
        pb_unpack(&meshnode__record__session__descriptor, arena, body);

    if (session == NULL) return mn_buf_copy(body);
    session->principal = real->principal;
    return pb_pack(&session->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *feed = size == 0 ? NULL : memchr(data, '\n', size);
    struct world *world = mn_alloc(sizeof *world);
    struct mn_span last = mn_span(data, feed == NULL ? size : (size_t)(feed - data));
    struct mn_span body = feed == NULL ? mn_span(NULL, 0) : mn_span(feed + 1, size - last.size - 1);
    struct mn_arena arena = {0};
    const Meshnode__Record__Record *told;
    struct mn_buf *said;

    world_init(world);
    ask(world, 11, "POST", mn_span(NULL, 0), INITIALIZE);
    pass(world, RECORDS_WAIT);
    MN_ASSERT(world->session[0] != '\0' && world->put != NULL);
    said = for_client(world, body);
    world_done(world);
    if (said->size <= RECORDS_BODY_MAX) {
        go_on(world, last, mn_buf_span(said));
        if (world->put != NULL) { /* what it told of it is a record as any, and goes on again */
            told =
                pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(world->put));
            MN_ASSERT(told != NULL && told->body.len <= RECORDS_BODY_MAX);
            world_done(world);
            go_on(world, last, pb_span(told->body));
            MN_ASSERT(world->put != NULL);
        }
        world_done(world);
    }
    mn_buf_unref(said);
    mn_arena_done(&arena);
    mn_free(world);
    return 0;
}
