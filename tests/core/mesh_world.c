#include "tests/core/mesh_world.h"

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/heap.h"
#include "proto/base/list.h"

#define DELAY (500 * MN_US)
#define SYNC_TIME (300 * MN_US)
#define CONNS_MAX 32768
#define KEYS_MAX 4096
#define SERVICES_MAX 64
#define CALLS_MAX 4096
#define SERVERS_MAX 8

/* ---- what there is ---- */

struct end { /* of a connection */
    uint32_t node;
    uint64_t id;
    bool is_open;
};

struct conn {
    struct end ends[2]; /* 0: the dialer */
};

struct pair {
    char key[160];
    struct mn_buf *value; /* NULL: none */
};

struct write {
    uint64_t number;
    char key[160];
    struct mn_buf *value;
};

struct server {
    char name[32], body[32], key;
};

struct known {
    char name[CALL_NAME_MAX + 1], body[32];
    uint32_t providers;
    bool is_listed, is_conflict;
};

struct host {
    struct core *core;
    struct mn_arena arena;
    uint8_t boot;
    bool is_frozen, is_stalled;
    int64_t clock_off; /* us */
    uint64_t accepted_last, writes_count;
    struct pair pairs[KEYS_MAX];
    uint32_t pairs_used; /* behind them there was never one */
    struct write writes[512];
    uint32_t writes_count_held;
    int fatal;
    bool is_stopped;
    char fatal_text[256];
    uint32_t secrets;
    struct server servers[SERVERS_MAX];
    enum world_serving serving;
    struct known known[SERVICES_MAX];
    uint32_t known_count, executed, executing, cancelled;
};

enum event_type {
    EVENT_ACCEPT = 1,
    EVENT_CONNECTED,
    EVENT_BYTES,
    EVENT_SENT,
    EVENT_CLOSED,
    EVENT_DURABLE
};

struct event {
    struct mn_heap_entry timer;
    enum event_type type;
    uint32_t node, boot, conn, side;
    uint64_t number;
    struct mn_buf *buf;
};

static struct host hosts[WORLD_NODES];
static struct identity identities[256];
static struct conn conns[CONNS_MAX];
static uint32_t conns_count;
static struct mn_heap events;
static struct mn_now now;
static bool cuts[WORLD_NODES][WORLD_NODES];
static struct world_call calls[CALLS_MAX];
static uint32_t calls_count;
static char token[80];
static struct world_config configs[WORLD_NODES];

static void world_step(uint32_t node, const struct core_input *input);

/* ---- events ---- */

static struct event *world_event(mn_time delay, enum event_type type, uint32_t node)
{
    struct event *event = mn_alloc(sizeof *event);

    event->type = type;
    event->node = node;
    event->boot = hosts[node].boot;
    mn_heap_set(&events, &event->timer, now.mono + delay);
    return event;
}

static void world_conn_event(mn_time delay, enum event_type type, uint32_t conn, uint32_t side,
                             struct mn_buf *buf)
{
    struct event *event = world_event(delay, type, conns[conn].ends[side].node);

    event->conn = conn;
    event->side = side;
    event->buf = buf;
}

/* ---- the network ---- */

static void world_address(uint32_t node, char text[32])
{
    snprintf(text, 32, "10.0.0.%u:7000", node);
}

static uint8_t root_seed[SIGN_SEED_SIZE]; /* of the mesh that was founded last */

static int32_t world_find_address(struct mn_span text)
{
    char address[32];

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        world_address(i, address);
        if (mn_span_is(text, address)) return (int32_t)i;
    }
    return -1;
}

static struct conn *world_find_conn(uint32_t node, uint64_t id, uint32_t *ret_side)
{
    for (uint32_t i = conns_count; i-- > 0;)
        for (uint32_t side = 0; side < 2; side++) {
            const struct end *end = &conns[i].ends[side];
            if (!end->is_open || end->node != node || end->id != id) continue;
            *ret_side = side;
            return &conns[i];
        }
    return NULL;
}

static uint32_t conn_index(const struct conn *conn)
{
    return (uint32_t)(conn - conns);
}

static void world_dial(uint32_t node, uint64_t id, struct mn_span text)
{
    int32_t to = world_find_address(text);
    uint32_t conn = conns_count++;

    ck_assert_uint_lt(conns_count, CONNS_MAX);
    conns[conn] = (struct conn){.ends = {{node, id, true}, {0, 0, false}}};
    if (to < 0 || hosts[to].core == NULL || cuts[node][to]) {
        world_conn_event(DELAY, EVENT_CLOSED, conn, 0, NULL);
        return;
    }
    conns[conn].ends[1] = (struct end){(uint32_t)to, ++hosts[to].accepted_last * 2 + 1, true};
    world_conn_event(DELAY, EVENT_ACCEPT, conn, 1, NULL);
    world_conn_event(2 * DELAY, EVENT_CONNECTED, conn, 0, NULL);
}

static void world_send(uint32_t node, uint64_t id, struct mn_buf *buf)
{
    uint32_t side;
    struct conn *conn = world_find_conn(node, id, &side);

    if (conn == NULL) {
        mn_buf_unref(buf);
        return;
    }
    world_conn_event(20 * MN_US, EVENT_SENT, conn_index(conn), side, NULL);
    if (cuts[node][conn->ends[1 - side].node])
        mn_buf_unref(buf);
    else
        world_conn_event(DELAY, EVENT_BYTES, conn_index(conn), 1 - side, buf);
}

static void world_close(struct conn *conn, uint32_t side)
{
    conn->ends[side].is_open = false;
    if (conn->ends[1 - side].is_open && !cuts[conn->ends[0].node][conn->ends[1].node])
        world_conn_event(DELAY, EVENT_CLOSED, conn_index(conn), 1 - side, NULL);
}

static void world_on_conn(const struct event *event)
{
    struct conn *conn = &conns[event->conn];
    struct end *end = &conn->ends[event->side];
    struct core_input input = {.net = {.conn = end->id}};
    char address[32];

    if (!end->is_open) return;
    world_address(conn->ends[1 - event->side].node, address);
    switch (event->type) {
    case EVENT_ACCEPT: input.type = CORE_IN_NET_ACCEPTED; break;
    case EVENT_CONNECTED: input.type = CORE_IN_NET_CONNECTED; break;
    case EVENT_SENT: input.type = CORE_IN_NET_SENT; break;
    case EVENT_BYTES:
        input.type = CORE_IN_NET_BYTES;
        input.net.bytes = mn_buf_span(event->buf);
        break;
    case EVENT_CLOSED:
        input.type = CORE_IN_NET_CLOSED;
        input.net.status = MN_IO;
        end->is_open = false;
        break;
    case EVENT_DURABLE: return;
    }
    input.net.text = mn_span_str(address);
    world_step(event->node, &input);
}

/* ---- the store ---- */

static struct pair *world_pair(uint32_t node, const char *key)
{
    struct host *host = &hosts[node];

    for (uint32_t i = 0; i < host->pairs_used; i++) {
        struct pair *pair = &host->pairs[i];
        if (pair->value != NULL && strcmp(pair->key, key) == 0) return pair;
    }
    for (uint32_t i = 0; i < host->pairs_used; i++)
        if (host->pairs[i].value == NULL) return &host->pairs[i];
    ck_assert_uint_lt(host->pairs_used, KEYS_MAX);
    return &host->pairs[host->pairs_used++];
}

static void world_write(uint32_t node, const struct core_output *output)
{
    struct host *host = &hosts[node];
    struct write *write = &host->writes[host->writes_count_held++];

    ck_assert_uint_lt(host->writes_count_held, 512);
    ck_assert_uint_lt(output->write.key.size, sizeof write->key);
    ck_assert_uint_le(output->write.number, host->writes_count);
    *write = (struct write){.number = output->write.number};
    memcpy(write->key, output->write.key.data, output->write.key.size);
    if (output->write.value.data != NULL) write->value = mn_buf_copy(output->write.value);
    world_event(SYNC_TIME, EVENT_DURABLE, node)->number = output->write.number;
}

static void world_on_durable(const struct event *event)
{
    struct host *host = &hosts[event->node];
    struct core_input input = {.type = CORE_IN_DURABLE, .durable = event->number};
    uint32_t done = 0;

    for (; done < host->writes_count_held; done++) {
        struct write *write = &host->writes[done];
        struct pair *pair;
        if (write->number > event->number) break;
        pair = world_pair(event->node, write->key);
        mn_buf_unref(pair->value);
        pair->value = write->value;
        memcpy(pair->key, write->key, sizeof pair->key);
    }
    host->writes_count_held -= done;
    memmove(host->writes, host->writes + done, host->writes_count_held * sizeof *host->writes);
    world_step(event->node, &input);
}

static void world_recover(uint32_t node)
{
    struct core_input input = {.type = CORE_IN_RECOVER};

    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        const struct pair *pair = &hosts[node].pairs[i];
        if (pair->value == NULL) continue;
        input.recover.key = mn_span_str(pair->key);
        input.recover.value = mn_buf_span(pair->value);
        world_step(node, &input);
    }
    world_step(node, &(struct core_input){.type = CORE_IN_RECOVERED});
}

/* ---- the gateways ---- */

static void world_say(uint32_t node, const struct call_message *message)
{
    world_step(node, &(struct core_input){.type = CORE_IN_CALL, .call = message});
}

static void world_text(char *to, size_t size, struct mn_span text)
{
    size_t length = text.size < size - 1 ? text.size : size - 1;

    if (length > 0) memcpy(to, text.data, length);
    to[length] = '\0';
}

static void world_on_service(struct host *host, const struct call_service *service)
{
    struct known *known = NULL;
    char name[CALL_NAME_MAX + 1];
    uint32_t at = 0;

    world_text(name, sizeof name, service->name);
    while (at < host->known_count && strcmp(host->known[at].name, name) < 0)
        at++;
    known = &host->known[at];
    if (at == host->known_count || strcmp(known->name, name) != 0) {
        ck_assert_uint_lt(host->known_count, SERVICES_MAX);
        memmove(known + 1, known, (host->known_count++ - at) * sizeof *known);
    }
    *known = (struct known){.providers = service->providers_count,
                            .is_listed = service->is_listed,
                            .is_conflict = service->is_conflict};
    memcpy(known->name, name, sizeof name);
    world_text(known->body, sizeof known->body, mn_buf_span(service->body));
    if (service->body != NULL || service->is_conflict) return;
    memmove(known, known + 1, (--host->known_count - at) * sizeof *known);
}

static void world_serve(uint32_t node, const struct call_request *request)
{
    struct host *host = &hosts[node];
    struct call_message message = {.type = CALL_MESSAGE_EVENT,
                                   .event = {.ticket = request->ticket}};
    char text[64];

    if (host->serving == WORLD_REFUSES) {
        message.event.kind = CALL_EVENT_FAILED;
        message.event.failure = CALL_UNAVAILABLE;
        message.event.text = mn_span_str("down");
        world_say(node, &message);
        return;
    }
    host->executed++;
    host->executing++;
    if (host->serving == WORLD_HANGS) return;
    snprintf(text, sizeof text, "%.*s@n%u", (int)request->service.size,
             (const char *)request->service.data, node);
    message.event.kind = CALL_EVENT_RESULT;
    message.event.payload = mn_buf_copy(mn_span_str(text));
    host->executing--;
    world_say(node, &message);
    mn_buf_unref(message.event.payload);
}

static void world_on_event(const struct call_event *event)
{
    struct world_call *call = &calls[event->ticket - 1];

    ck_assert_msg(!call->is_done, "a call has one last event");
    if (event->kind == CALL_EVENT_PROGRESS) return;
    call->is_done = true;
    call->kind = event->kind;
    call->failure = event->failure;
    call->by = event->node;
    world_text(call->payload, sizeof call->payload, mn_buf_span(event->payload));
    world_text(call->text, sizeof call->text, event->text);
}

static void world_on_message(uint32_t node, const struct call_message *message)
{
    switch (message->type) {
    case CALL_MESSAGE_SERVICE: world_on_service(&hosts[node], &message->service); return;
    case CALL_MESSAGE_REQUEST: world_serve(node, &message->request); return;
    case CALL_MESSAGE_CANCEL:
        hosts[node].cancelled++;
        hosts[node].executing--;
        return;
    case CALL_MESSAGE_EVENT: world_on_event(&message->event); return;
    case CALL_MESSAGE_INPUT: ck_abort_msg("nobody says more in this world");
    case CALL_MESSAGE_OFFER: ck_abort_msg("a core offers nothing");
    }
}

/* ---- nodes ---- */

static struct core_reply reply;
static struct admission_token reply_items[8];
static char reply_text[256];

static void world_on_reply(const struct core_reply *from)
{
    reply = *from;
    ck_assert_uint_le(reply.count, 8);
    if (reply.count > 0) memcpy(reply_items, from->items, reply.count * sizeof *reply_items);
    world_text(reply_text, sizeof reply_text, from->text);
    reply.items = reply_items;
    reply.text = mn_span_str(reply_text);
}

static void world_on_output(uint32_t node, struct core_output *output)
{
    struct host *host = &hosts[node];
    uint32_t side;
    struct conn *conn;

    switch (output->type) {
    case CORE_OUT_NET_DIAL: world_dial(node, output->net.conn, output->net.text); return;
    case CORE_OUT_NET_SEND: world_send(node, output->net.conn, output->net.buf); return;
    case CORE_OUT_NET_PAUSE: return;
    case CORE_OUT_NET_CLOSE:
        conn = world_find_conn(node, output->net.conn, &side);
        if (conn != NULL) world_close(conn, side);
        return;
    case CORE_OUT_WRITE: world_write(node, output); return;
    case CORE_OUT_SECRET:
        host->secrets++;
        if (output->secret.what == ADMISSION_SECRET_ROOT_KEY &&
            output->secret.bytes.size == sizeof root_seed)
            memcpy(root_seed, output->secret.bytes.data, sizeof root_seed);
        if (output->secret.what == ADMISSION_SECRET_JOIN_TOKEN && output->secret.bytes.size > 0)
            world_text(token, sizeof token, output->secret.bytes);
        return;
    case CORE_OUT_CARRIED: /* nobody listens here */
    case CORE_OUT_DOWN: break;
    case CORE_OUT_REPLY: world_on_reply(&output->reply); return;
    case CORE_OUT_KEYS: break;
    case CORE_OUT_STOPPED: host->is_stopped = true; return;
    case CORE_OUT_FATAL:
        host->fatal = output->fatal.code;
        world_text(host->fatal_text, sizeof host->fatal_text, output->fatal.text);
        return;
    }
}

static void world_step(uint32_t node, const struct core_input *input)
{
    struct host *host = &hosts[node];
    struct mn_arena arena = {0};
    struct call_outbox messages = {.arena = &arena};
    struct core_outbox outbox = {.arena = &arena, .calls = &messages};

    if (host->core == NULL) return;
    core_step(host->core, (struct mn_now){now.mono, now.wall + (mn_time)host->clock_off}, input,
              &outbox);
    core_check(host->core);
    for (uint32_t i = 0; i < outbox.count; i++)
        world_on_output(node, &outbox.items[i]);
    for (uint32_t i = 0; i < messages.count; i++)
        world_on_message(node, &messages.items[i]);
    call_outbox_reset(&messages);
    mn_arena_done(&arena);
}

static void world_say_offer(uint32_t node, const struct server *server)
{
    struct call_message message = {.type = CALL_MESSAGE_OFFER,
                                   .offer = {.name = mn_span_str(server->name)}};

    if (server->body[0] != '\0') message.offer.body = mn_buf_copy(mn_span_str(server->body));
    message.offer.replica_key[0] = (uint8_t)server->key;
    world_say(node, &message);
    mn_buf_unref(message.offer.body);
}

void world_start(uint32_t node, const struct world_config *config)
{
    struct host *host = &hosts[node];
    char name[16], address[32], seed_text[32];
    struct mn_span addresses, seeds;
    struct core_config core = {.version = mn_span_str("0.1.0"),
                               .role = MESHNODE__TRUST__ROLE__ROLE_AUTO,
                               .addresses = &addresses,
                               .addresses_count = 1,
                               .writes_count = &host->writes_count,
                               .bootstrap = config->bootstrap,
                               .dev = config->dev,
                               .is_join_required = config->is_join_required,
                               .is_identity_old = config->is_identity_old,
                               .root = config->root,
                               .grant_ttl_ms = config->grant_ttl_ms};

    ck_assert_ptr_null(host->core);
    configs[node] = *config;
    snprintf(name, sizeof name, "n%u", node);
    world_address(node, address);
    addresses = mn_span_str(address);
    core.name = mn_span_str(config->name != NULL ? config->name : name);
    core.identity_seed[0] = config->identity != 0 ? config->identity : (uint8_t)(node + 1);
    core.seed[0] = (uint8_t)node;
    core.seed[1] = ++host->boot;
    if (config->token != NULL) core.token = mn_span_str(config->token);
    if (config->seed_node >= 0) {
        world_address((uint32_t)config->seed_node, seed_text);
        seeds = mn_span_str(seed_text);
        core.seeds = &seeds;
        core.seeds_count = 1;
    }
    host->fatal = 0;
    host->is_stopped = host->is_frozen = false;
    host->known_count = host->executing = 0;
    host->core = core_new(&core);
    for (uint32_t i = 0; i < SERVERS_MAX; i++)
        if (host->servers[i].body[0] != '\0') world_say_offer(node, &host->servers[i]);
    world_recover(node);
}

const struct core_reply *world_command(uint32_t node, struct core_command command)
{
    static uint64_t request;

    command.request = ++request;
    reply = (struct core_reply){.request = 0};
    world_step(node, &(struct core_input){.type = CORE_IN_COMMAND, .command = &command});
    world_run(10 * MN_MS);
    ck_assert_uint_eq(reply.request, request);
    return &reply;
}

void world_crash(uint32_t node)
{
    struct host *host = &hosts[node];

    for (uint32_t i = 0; i < conns_count; i++)
        for (uint32_t side = 0; side < 2; side++)
            if (conns[i].ends[side].is_open && conns[i].ends[side].node == node)
                world_close(&conns[i], side);
    for (uint32_t i = 0; i < host->writes_count_held; i++)
        mn_buf_unref(host->writes[i].value);
    host->writes_count_held = 0;
    host->boot++;
    core_free(host->core);
    host->core = NULL;
}

void world_wipe(uint32_t node)
{
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        mn_buf_unref(hosts[node].pairs[i].value);
        hosts[node].pairs[i].value = NULL;
    }
}

static void world_do(struct event *event)
{
    struct host *host = &hosts[event->node];
    bool is_stale = event->type == EVENT_DURABLE && event->boot != host->boot;

    if (host->is_frozen || (host->is_stalled && event->type == EVENT_DURABLE)) { /* later */
        mn_heap_set(&events, &event->timer, now.mono + 10 * MN_MS);
        return;
    }
    if (event->type == EVENT_DURABLE && !is_stale)
        world_on_durable(event);
    else if (event->type != EVENT_DURABLE)
        world_on_conn(event);
    mn_buf_unref(event->buf);
    mn_free(event);
}

/* One moment: what is due then. False: nothing is due before [end]. */
static bool world_moment(mn_time end)
{
    mn_time next = mn_heap_deadline(&events);
    struct mn_heap_entry *first;

    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (hosts[i].core != NULL && !hosts[i].is_frozen)
            next = mn_time_min(next, core_deadline(hosts[i].core));
    if (next >= end) return false;
    if (next > now.mono) {
        now.wall += next - now.mono;
        now.mono = next;
    }
    while ((first = mn_heap_peek(&events)) != NULL && first->at <= now.mono) {
        mn_heap_remove(&events, first);
        world_do(MN_CONTAINER(first, struct event, timer));
    }
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (hosts[i].core != NULL && !hosts[i].is_frozen &&
            core_deadline(hosts[i].core) <= now.mono)
            world_step(i, &(struct core_input){.type = CORE_IN_TICK});
    return true;
}

void world_run(mn_time time)
{
    mn_time end = now.mono + time;

    while (world_moment(end)) {}
    now.wall += end - now.mono;
    now.mono = end;
}

void world_until(bool (*done)(void), mn_time limit)
{
    mn_time end = now.mono + limit;

    while (!done())
        ck_assert_msg(world_moment(end), "it did not come true in time");
}

void world_set_clock(uint32_t node, int64_t off)
{
    hosts[node].clock_off = off;
}

void world_leave(uint32_t node)
{
    mn_time end = now.mono + 10 * MN_SEC;

    world_step(node, &(struct core_input){.type = CORE_IN_LEAVE});
    while (!hosts[node].is_stopped)
        ck_assert_msg(world_moment(end), "it does not stop");
    world_crash(node);
}

void world_freeze(uint32_t node, bool is_frozen)
{
    hosts[node].is_frozen = is_frozen;
}

void world_stall(uint32_t node, bool is_stalled)
{
    hosts[node].is_stalled = is_stalled;
}

void world_cut(uint32_t a, uint32_t b, bool is_cut)
{
    cuts[a][b] = cuts[b][a] = is_cut;
}

void world_begin(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    memset(hosts, 0, sizeof hosts);
    memset(cuts, 0, sizeof cuts);
    conns_count = calls_count = 0;
    now = (struct mn_now){1000 * MN_SEC, 1800000000 * MN_SEC};
    for (uint32_t i = 0; i < 256; i++) {
        uint8_t seed[IDENTITY_SEED_SIZE] = {(uint8_t)i};
        identity_init(&identities[i], seed);
    }
}

void world_end(void)
{
    struct mn_heap_entry *first;

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (hosts[i].core != NULL) world_crash(i);
        world_wipe(i);
    }
    while ((first = mn_heap_peek(&events)) != NULL) {
        struct event *event = MN_CONTAINER(first, struct event, timer);
        mn_heap_remove(&events, first);
        mn_buf_unref(event->buf);
        mn_free(event);
    }
    mn_heap_done(&events);
    events = (struct mn_heap){0};
}

/* ---- looking ---- */

struct core *world_core(uint32_t node)
{
    return hosts[node].core;
}

const mn_id *world_id(uint32_t node)
{
    uint8_t identity = configs[node].identity != 0 ? configs[node].identity : (uint8_t)(node + 1);
    return &identities[identity].node_id;
}

struct mn_now world_now(void)
{
    return now;
}

const char *world_token(void)
{
    return token;
}

int world_fatal(uint32_t node)
{
    return hosts[node].fatal;
}

const char *world_fatal_text(uint32_t node)
{
    return hosts[node].fatal_text;
}

const uint8_t *world_root(void)
{
    return root_seed;
}

uint32_t world_secrets(uint32_t node)
{
    return hosts[node].secrets;
}

static const char *world_list(uint32_t node, bool with_all)
{
    static char texts[4][WORLD_TEXT];
    static uint32_t turn;
    char *text = texts[turn++ % 4];
    size_t size = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < hosts[node].known_count; i++) {
        const struct known *known = &hosts[node].known[i];
        if (!with_all && !known->is_listed) continue;
        if (known->is_conflict)
            size += (size_t)snprintf(text + size, WORLD_TEXT - size, "%s%s!", size == 0 ? "" : " ",
                                     known->name);
        else
            size += (size_t)snprintf(text + size, WORLD_TEXT - size, "%s%s=%s*%u%s",
                                     size == 0 ? "" : " ", known->name, known->body,
                                     known->providers, known->is_listed ? "" : "?");
        ck_assert_uint_lt(size, WORLD_TEXT);
    }
    return text;
}

const char *world_services(uint32_t node)
{
    return world_list(node, true);
}

const char *world_listed(uint32_t node)
{
    return world_list(node, false);
}

bool world_is_whole(void)
{
    uint32_t running = 0;

    for (uint32_t i = 0; i < WORLD_NODES; i++)
        running += hosts[i].core != NULL;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        const struct membership *members;
        if (hosts[i].core == NULL) continue;
        members = core_membership(hosts[i].core);
        if (members == NULL || membership_count(members, MEMBER_ALIVE) != running) return false;
        for (uint32_t j = 0; j < WORLD_NODES; j++)
            if (j != i && hosts[j].core != NULL &&
                peers_find(core_peers(hosts[i].core), world_id(j)) == NULL)
                return false;
    }
    return true;
}

/* ---- gateways, from outside ---- */

void world_offer(uint32_t node, const char *name, const char *body, char key)
{
    struct host *host = &hosts[node];
    struct server *server = NULL;

    for (uint32_t i = 0; i < SERVERS_MAX; i++) {
        struct server *at = &host->servers[i];
        if (strcmp(at->name, name) == 0 || (server == NULL && at->name[0] == '\0')) server = at;
    }
    ck_assert_ptr_nonnull(server);
    snprintf(server->name, sizeof server->name, "%s", name);
    snprintf(server->body, sizeof server->body, "%s", body == NULL ? "" : body);
    server->key = key;
    world_say_offer(node, server);
    if (body == NULL) server->name[0] = '\0';
}

void world_serving(uint32_t node, enum world_serving serving)
{
    hosts[node].serving = serving;
}

static struct world_call *world_request(uint32_t node, const char *service, bool is_idempotent,
                                        mn_time timeout)
{
    struct world_call *call = &calls[calls_count++];
    struct call_message message = {.type = CALL_MESSAGE_REQUEST};

    ck_assert_uint_lt(calls_count, CALLS_MAX);
    *call = (struct world_call){.ticket = calls_count, .node = node};
    message.request = (struct call_request){.ticket = call->ticket,
                                            .service = mn_span_str(service),
                                            .payload = mn_buf_copy(mn_span_str("ask")),
                                            .timeout = timeout,
                                            .timeout_total = timeout,
                                            .is_idempotent = is_idempotent};
    world_say(node, &message);
    mn_buf_unref(message.request.payload);
    return call;
}

struct world_call *world_call(uint32_t node, const char *service, bool is_idempotent)
{
    return world_request(node, service, is_idempotent, MN_MINUTE);
}

struct world_call *world_call_for(uint32_t node, const char *service, mn_time timeout)
{
    return world_request(node, service, false, timeout);
}

void world_cancel(struct world_call *call)
{
    struct call_message message = {.type = CALL_MESSAGE_CANCEL, .ticket = call->ticket};
    world_say(call->node, &message);
}

uint32_t world_executed(uint32_t node)
{
    return hosts[node].executed;
}

uint32_t world_executing(uint32_t node)
{
    return hosts[node].executing;
}

uint32_t world_cancelled(uint32_t node)
{
    return hosts[node].cancelled;
}

/* ---- what most tests begin and end with ---- */

void world_found(uint32_t node)
{
    world_start(node, &(struct world_config){.seed_node = -1});
    world_run(100 * MN_MS);
    ck_assert_int_eq(core_self(world_core(node)).state, CORE_MEMBER);
}

void world_join(uint32_t node)
{
    world_start(node, &(struct world_config){.token = world_token(), .seed_node = 0});
}

void world_restart(uint32_t node)
{
    world_start(node, &(struct world_config){.seed_node = node == 0 ? -1 : 0});
}

void world_mesh(uint32_t count)
{
    world_found(0);
    for (uint32_t i = 1; i < count; i++)
        world_join(i);
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(500 * MN_MS);
}

void world_assert_result(const struct world_call *call, const char *payload)
{
    ck_assert(call->is_done);
    ck_assert_msg(call->kind == CALL_EVENT_RESULT, "failed: %s", call->text);
    ck_assert_str_eq(call->payload, payload);
}

void world_assert_failed(const struct world_call *call, enum call_failure failure)
{
    ck_assert(call->is_done);
    ck_assert_int_eq(call->kind, CALL_EVENT_FAILED);
    ck_assert_str_eq(call_failure_name(call->failure), call_failure_name(failure));
}
