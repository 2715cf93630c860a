#include "node/core/core.h"

#include <sodium.h>

#include "node/core/core_internal.h"
#include "proto/base/check.h"

#define MEMORY_MAX_DEFAULT ((size_t)256 << 20)
#define COALESCE_DEFAULT (50 * MN_MS)
#define PULL_RETRY_DEFAULT MN_SEC
#define CONNS_FIRST 2 /* ids of dials are even, those of the driver odd */
#define CONNS_STEP 2

/* ---- life ---- */

static void core_copy_text(char to[CORE_TEXT_SIZE], struct mn_span from)
{
    MN_ASSERT(from.size < CORE_TEXT_SIZE);
    if (from.size > 0) memcpy(to, from.data, from.size);
}

static struct mn_span *core_copy_spans(struct core *core, const struct mn_span *from,
                                       uint32_t count)
{
    struct mn_span *copy = mn_arena_alloc(&core->texts, count * sizeof *copy);

    for (uint32_t i = 0; i < count; i++)
        copy[i] = mn_arena_copy(&core->texts, from[i]);
    return copy;
}

static void core_copy_config(struct core *core, const struct core_config *config)
{
    struct core_config *own = &core->config;

    MN_ASSERT(config->addresses_count <= CORE_ADDRESSES_MAX);
    MN_ASSERT(config->seeds_count <= CORE_SEEDS_MAX);
    *own = *config;
    sodium_memzero(own->identity_seed, sizeof own->identity_seed);
    sodium_memzero(own->seed, sizeof own->seed);
    core_copy_text(core->name, config->name);
    core_copy_text(core->region, config->region);
    core_copy_text(core->version, config->version);
    own->name = mn_span_str(core->name);
    own->region = mn_span_str(core->region);
    own->version = mn_span_str(core->version);
    own->zone = mn_arena_copy(&core->texts, config->zone);
    if (own->zone.size < sizeof core->zone && own->zone.size > 0)
        memcpy(core->zone, own->zone.data, own->zone.size);
    own->token = mn_arena_copy(&core->texts, config->token);
    own->addresses = core_copy_spans(core, config->addresses, config->addresses_count);
    own->seeds = core_copy_spans(core, config->seeds, config->seeds_count);
    if (own->grant_ttl_ms == 0) own->grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS;
    if (own->memory_max == 0) own->memory_max = MEMORY_MAX_DEFAULT;
    if (own->timing.membership.period == 0) own->timing.membership = membership_timing_default();
    if (own->timing.coalesce == 0) own->timing.coalesce = COALESCE_DEFAULT;
    if (own->timing.pull_retry == 0) own->timing.pull_retry = PULL_RETRY_DEFAULT;
    if (own->writes_count == NULL) own->writes_count = &core->writes_own;
}

static struct admission *core_new_admission(struct core *core)
{
    struct admission_config config = {.self = &core->identity,
                                      .name = core->name,
                                      .region = core->region,
                                      .role = core->config.role,
                                      .dev = core->config.dev,
                                      .grant_ttl_ms = core->config.grant_ttl_ms,
                                      .zone = core->zone,
                                      .root = core->config.root,
                                      .no_growth = core->config.no_growth,
                                      .revoked = trustset_revoked(core->trustset),
                                      .memory_max = core->config.memory_max / 8,
                                      .trace = core->config.trace};

    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    return admission_new(&config);
}

static struct trustset *core_new_trustset(struct core *core)
{
    struct trustset_config config = {.self = &core->identity, .trace = core->config.trace};

    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    return trustset_new(&config);
}

static struct peers *core_new_peers(struct core *core)
{
    struct peers_config config = {.self = &core->identity,
                                  .boot_id = core->boot_id,
                                  .name = core->name,
                                  .version = core->version,
                                  .dev = core->config.dev,
                                  .timing = peers_timing_default(),
                                  .limits = peers_limits_default(),
                                  .conns_next = &core->conns_next,
                                  .conns_step = CONNS_STEP,
                                  .trace = core->config.trace};

    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    return peers_new(&config);
}

static struct catalog *core_new_catalog(struct core *core)
{
    struct catalog_config config = {.self = &core->identity,
                                    .memory_max = core->config.memory_max / 2,
                                    .coalesce = core->config.timing.coalesce,
                                    .retry = core->config.timing.pull_retry,
                                    .trace = core->config.trace};

    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    return catalog_new(&config);
}

static struct calls *core_new_calls(struct core *core)
{
    struct calls_config config = calls_config_default();

    config.self = core->identity.node_id;
    config.services = core->services;
    config.trace = core->config.trace;
    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    return calls_new(&config);
}

struct core *core_new(const struct core_config *config)
{
    struct core *core = mn_alloc(sizeof *core);

    identity_init(&core->identity, config->identity_seed);
    rng_init(&core->rng, config->seed);
    core_copy_config(core, config);
    core->state = CORE_RECOVERING;
    core->boot_id = rng_id(&core->rng);
    core->conns_next = CONNS_FIRST;
    core->join_until = core->ready_until = MN_TIME_NEVER;
    mn_list_init(&core->parked);
    core_decision_init(core);
    mn_map_init(&core->known, rng_u64(&core->rng));
    core->services = services_new(config->trace);
    core->trustset = core_new_trustset(core);
    core->admission = core_new_admission(core);
    core->config.root = NULL;
    core->peers = core_new_peers(core);
    core->catalog = core_new_catalog(core);
    core->calls = core_new_calls(core);
    core_metrics_init(core, config);
    return core;
}

void core_free(struct core *core)
{
    if (core == NULL) return;
    core_decision_done(core);
    core_metrics_done(core);
    calls_free(core->calls);
    catalog_free(core->catalog);
    membership_free(core->membership);
    peers_free(core->peers);
    admission_free(core->admission);
    trustset_free(core->trustset);
    services_free(core->services);
    core_authority_done(core);
    core_parked_done(core);
    core_known_done(core);
    core_wipe(core->config.token);
    identity_done(&core->identity);
    rng_done(&core->rng);
    mn_arena_done(&core->texts);
    mn_free(core);
}

/* ---- what waits, and what leaves ---- */

struct core_work *core_push(struct core *core, enum core_work_type type)
{
    core->queue = mn_arena_grow(core->arena, core->queue, core->queue_count, &core->queue_capacity,
                                sizeof *core->queue);
    memset(&core->queue[core->queue_count], 0, sizeof *core->queue);
    core->queue[core->queue_count].type = type;
    return &core->queue[core->queue_count++];
}

struct peers_input *core_push_peers(struct core *core, enum peers_input_type type)
{
    struct peers_input *input = &core_push(core, CORE_WORK_PEERS)->peers;
    input->type = type;
    return input;
}

struct admission_input *core_push_admission(struct core *core, enum admission_input_type type)
{
    struct admission_input *input = &core_push(core, CORE_WORK_ADMISSION)->admission;
    input->type = type;
    return input;
}

struct membership_input *core_push_membership(struct core *core, enum membership_input_type type)
{
    struct membership_input *input = &core_push(core, CORE_WORK_MEMBERSHIP)->membership;
    input->type = type;
    return input;
}

struct catalog_input *core_push_catalog(struct core *core, enum catalog_input_type type,
                                        const mn_id *node)
{
    struct catalog_input *input = &core_push(core, CORE_WORK_CATALOG)->catalog;
    input->type = type;
    if (node != NULL) input->node = *node;
    return input;
}

struct calls_input *core_push_calls(struct core *core, enum calls_input_type type,
                                    const mn_id *node)
{
    struct calls_input *input = &core_push(core, CORE_WORK_CALLS)->calls;
    input->type = type;
    if (node != NULL) input->node = *node;
    return input;
}

struct trustset_input *core_push_trustset(struct core *core, enum trustset_input_type type,
                                          const mn_id *node)
{
    struct trustset_input *input = &core_push(core, CORE_WORK_TRUSTSET)->trustset;
    input->type = type;
    if (node != NULL) input->node = *node;
    return input;
}

struct core_output *core_emit(struct core *core, enum core_output_type type)
{
    struct core_outbox *outbox = core->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct core_output){.type = type};
    return &outbox->items[outbox->count++];
}

void core_fatal(struct core *core, int code, const char *text)
{
    struct core_output *output;

    if (core->state == CORE_STOPPED) return;
    core->state = CORE_STOPPED;
    output = core_emit(core, CORE_OUT_FATAL);
    output->fatal.code = code;
    output->fatal.text = mn_arena_copy(core->arena, mn_span_str(text));
}

void core_trace(struct core *core, enum mn_event event, const mn_id *node, uint64_t a, uint64_t b,
                struct mn_span text)
{
    mn_trace_span(core->config.trace, core->now.mono, event, node, a, b, text);
}

/* ---- stepping the inner cores ---- */

static void core_step_admission(struct core *core, const struct admission_input *input)
{
    struct admission_outbox outbox = {.arena = core->arena};

    admission_step(core->admission, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        core_on_admission(core, &outbox.items[i]);
    core_check_hello(core);
}

/* Its outbox lives as long as the turn: envelopes that wait point into it. */
static void core_step_peers(struct core *core, const struct peers_input *input)
{
    uint32_t from = core->peers_outbox.count;

    peers_step(core->peers, core->now, input, &core->peers_outbox);
    for (uint32_t i = from; i < core->peers_outbox.count; i++)
        core_on_peers(core, &core->peers_outbox.items[i]);
}

static void core_step_membership(struct core *core, const struct membership_input *input)
{
    struct membership_outbox outbox = {.arena = core->arena};

    if (core->membership == NULL) return;
    membership_step(core->membership, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        core_on_membership(core, &outbox.items[i]);
}

static void core_step_catalog(struct core *core, const struct catalog_input *input)
{
    struct catalog_outbox outbox = {.arena = core->arena};

    catalog_step(core->catalog, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        core_on_catalog(core, &outbox.items[i]);
}

/* So that a large payload holds up only those as large as itself, sizes take lanes of their own.
 * The price: the last word of a call may overtake its progress, which then is lost. */
static enum envelope_priority core_call_priority(const struct calls_output *output)
{
    size_t size = mn_buf_span(output->payload).size;

    if (size > CORE_MEDIUM_MAX) return ENVELOPE_BACKGROUND;
    return size > CORE_SMALL_MAX || output->is_chatty ? ENVELOPE_LOW : ENVELOPE_NORMAL;
}

static void core_step_calls(struct core *core, const struct calls_input *input)
{
    struct calls_outbox outbox = {.arena = core->arena, .gateway = core->outbox->calls};

    calls_step(core->calls, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct calls_output *item = &outbox.items[i];
        bool is_request = item->class == CALLS_CLASS_REQUEST;
        struct core_sending sending = {
            .to = item->to,
            .type = is_request ? ENVELOPE_COMMAND : ENVELOPE_RESPONSE,
            .priority = core_call_priority(item),
            .schema = CORE_SCHEMA_CALL,
            .tag = item->tag,
            .timeout = item->timeout,
            .head = item->head,
        };
        core_send(core, &sending, item->payload);
    }
}

static void core_step_trustset(struct core *core, const struct trustset_input *input)
{
    struct trustset_outbox outbox = {.arena = core->arena};

    trustset_step(core->trustset, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        core_on_trustset(core, &outbox.items[i]);
}

static void core_step_decision(struct core *core, const struct decision_input *input)
{
    struct mn_arena arena = {0};
    struct decision_outbox outbox = {.arena = &arena};

    if (core->decision != NULL) decision_step(core->decision, core->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        core_on_decision(core, &outbox.items[i]);
    decision_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

static void core_do_work(struct core *core, const struct core_work *work)
{
    switch (work->type) {
    case CORE_WORK_ADMISSION: core_step_admission(core, &work->admission); return;
    case CORE_WORK_PEERS: core_step_peers(core, &work->peers); return;
    case CORE_WORK_MEMBERSHIP: core_step_membership(core, &work->membership); return;
    case CORE_WORK_CATALOG: core_step_catalog(core, &work->catalog); return;
    case CORE_WORK_CALLS: core_step_calls(core, &work->calls); return;
    case CORE_WORK_TRUSTSET: core_step_trustset(core, &work->trustset); return;
    case CORE_WORK_DECISION: core_step_decision(core, &work->decision); return;
    }
}

void core_run(struct core *core)
{
    while (core->queue_read < core->queue_count) {
        struct core_work work = core->queue[core->queue_read++]; /* the queue may move */
        core_do_work(core, &work);
        mn_buf_unref(work.buf);
    }
}

/* ---- inputs ---- */

static void core_on_net(struct core *core, enum peers_input_type type,
                        const struct core_input *input)
{
    struct peers_input *peers = core_push_peers(core, type);

    peers->conn = input->net.conn;
    peers->status = input->net.status;
    peers->bytes = input->net.bytes;
    peers->address = input->net.text;
}

static void core_on_call(struct core *core, const struct call_message *message)
{
    if (message->type == CALL_MESSAGE_OFFER)
        core_push_catalog(core, CATALOG_IN_OFFER, NULL)->offer = &message->offer;
    else
        core_push_calls(core, CALLS_IN_GATEWAY, NULL)->gateway = message;
}

static void core_on_leave(struct core *core)
{
    if (core->state == CORE_LEAVING) return;
    core->state = CORE_LEAVING;
    core->join_until = MN_TIME_NEVER;
    if (core->membership != NULL)
        core_push_membership(core, MEMBERSHIP_IN_LEAVE);
    else
        core_push_peers(core, PEERS_IN_STOP);
}

static void core_handle(struct core *core, const struct core_input *input)
{
    switch (input->type) {
    case CORE_IN_TICK: return;
    case CORE_IN_NET_ACCEPTED: core_on_net(core, PEERS_IN_ACCEPTED, input); return;
    case CORE_IN_NET_CONNECTED: core_on_net(core, PEERS_IN_CONNECTED, input); return;
    case CORE_IN_NET_BYTES: core_on_net(core, PEERS_IN_BYTES, input); return;
    case CORE_IN_NET_SENT: core_on_net(core, PEERS_IN_SENT, input); return;
    case CORE_IN_NET_CLOSED: core_on_net(core, PEERS_IN_CLOSED, input); return;
    case CORE_IN_RECOVER: core_on_recover(core, input->recover.key, input->recover.value); return;
    case CORE_IN_RECOVERED: core_on_recovered(core); return;
    case CORE_IN_DURABLE: core_on_durable(core, input->durable); return;
    case CORE_IN_CALL: core_on_call(core, input->call); return;
    case CORE_IN_COMMAND: core_on_command(core, input->command); return;
    case CORE_IN_OWNERS:
        services_set_owners(core->services, input->owners.items, input->owners.count);
        return;
    case CORE_IN_KEY_WANTED:
        core_push_trustset(core, TRUSTSET_IN_KEY_WANTED, NULL)->key_id = input->key_id;
        return;
    case CORE_IN_CARRY:
        core_carry(core, &input->carry.to, input->carry.what, input->carry.buf);
        return;
    case CORE_IN_LEAVE: core_on_leave(core); return;
    }
    MN_ASSERT(false && "an input of the list");
}

/* ---- time ---- */

static void core_tell_load(struct core *core)
{
    uint32_t load = calls_load(core->calls);
    uint8_t *bytes;

    if (load == core->load_told) return;
    core->load_told = load;
    bytes = mn_arena_alloc(core->arena, sizeof load);
    mn_store_u32(bytes, load);
    core_push_membership(core, MEMBERSHIP_IN_SOFT)->soft.bytes = mn_span(bytes, sizeof load);
}

/* The cores' timers, after the input: a node that was stalled hears the others out before it calls
 * them dead. */
static void core_timers(struct core *core)
{
    mn_time now = core->now.mono;

    if (catalog_deadline(core->catalog) <= now) core_push_catalog(core, CATALOG_IN_TICK, NULL);
    if (calls_deadline(core->calls) <= now) core_push_calls(core, CALLS_IN_TICK, NULL);
    if (core->state == CORE_RECOVERING) return;
    if (admission_deadline(core->admission) <= now) core_push_admission(core, ADMISSION_IN_TICK);
    if (peers_deadline(core->peers) <= now) core_push_peers(core, PEERS_IN_TICK);
    if (trustset_deadline(core->trustset) <= now) core_tick_trustset(core);
    if (core->metrics_at <= now) core_tick_metrics(core);
    if (core->decision != NULL && decision_deadline(core->decision) <= now)
        core_push_decision(core, DECISION_IN_TICK);
    if (core->membership != NULL && membership_deadline(core->membership) <= now) {
        core_tell_load(core);
        core_push_membership(core, MEMBERSHIP_IN_TICK);
    }
    if (core->join_until <= now)
        core_fatal(core, 75,
                   "no mesh let this node in within 30 s, and joining is required: check --join, "
                   "--token and the log of the seed");
}

mn_time core_deadline(const struct core *core)
{
    mn_time at = mn_time_min(core->join_until, core->ready_until);

    if (core->state == CORE_RECOVERING)
        return mn_time_min(catalog_deadline(core->catalog), calls_deadline(core->calls));
    if (core->state == CORE_STOPPED) return MN_TIME_NEVER;
    at = mn_time_min(at, admission_deadline(core->admission));
    at = mn_time_min(at, peers_deadline(core->peers));
    at = mn_time_min(at, trustset_deadline(core->trustset));
    at = mn_time_min(at, core->metrics_at);
    if (core->decision != NULL) at = mn_time_min(at, decision_deadline(core->decision));
    at = mn_time_min(at, catalog_deadline(core->catalog));
    at = mn_time_min(at, calls_deadline(core->calls));
    if (core->membership != NULL) at = mn_time_min(at, membership_deadline(core->membership));
    return at;
}

/* ---- a turn ---- */

static void core_turn_begin(struct core *core, struct mn_now now, struct core_outbox *outbox)
{
    MN_ASSERT(now.mono >= core->now.mono);
    core->now = now;
    core->outbox = outbox;
    core->arena = outbox->arena;
    core->queue = NULL;
    core->queue_read = core->queue_count = core->queue_capacity = 0;
    core->peers_outbox = (struct peers_outbox){.arena = outbox->arena};
    if (core->started == 0) core->started = now.mono;
}

/* Seals what waits on the links; a call that finds no link goes elsewhere, and waits again. */
static void core_flush(struct core *core)
{
    do {
        core->has_sent = false;
        core_push_peers(core, PEERS_IN_TURN_END);
        core_run(core);
        services_publish(core->services, core->now, core->outbox->calls);
    } while (core->has_sent);
}

static void core_turn_end(struct core *core)
{
    peers_outbox_reset(&core->peers_outbox);
    core_authority_bury(core);
    core->outbox = NULL;
    core->arena = NULL;
    core->queue = NULL;
}

void core_step(struct core *core, struct mn_now now, const struct core_input *input,
               struct core_outbox *outbox)
{
    if (core->state == CORE_STOPPED) return;
    core_turn_begin(core, now, outbox);
    core_handle(core, input);
    core_run(core);
    core_timers(core);
    core_run(core);
    core_check_ready(core);
    core_flush(core);
    core_turn_end(core);
}

void core_check(const struct core *core)
{
    admission_check(core->admission);
    trustset_check(core->trustset);
    peers_check(core->peers);
    if (core->membership != NULL) membership_check(core->membership);
    catalog_check(core->catalog);
    services_check(core->services);
    calls_check(core->calls);
    if (core->decision != NULL) decision_check(core->decision);
    MN_ASSERT(mn_list_is_empty(&core->parked) || core->durable < core->write_last);
    MN_ASSERT(core->epoch == 0 || core->incarnation > 0);
}

/* ---- looking ---- */

const char *core_state_name(enum core_state state)
{
    switch (state) {
    case CORE_RECOVERING: return "recovering";
    case CORE_JOINING: return "joining";
    case CORE_MEMBER: return "member";
    case CORE_LEAVING: return "leaving";
    case CORE_STOPPED: return "stopped";
    }
    MN_ASSERT(false && "a state of the list");
    return NULL;
}

struct mn_span core_keys(const struct core *core)
{
    return mn_span(&core->identity, sizeof core->identity);
}

struct core_self core_self(const struct core *core)
{
    const struct grant *grant = admission_grant(core->admission);
    struct core_self self = {
        .state = core->state,
        .node_id = core->identity.node_id,
        .mesh_id = admission_mesh_id(core->admission),
        .boot_id = core->boot_id,
        .sign_pk = core->identity.key.pk,
        .name = grant != NULL ? mn_span_str(grant->name) : core->config.name,
        .region = core->config.region,
        .zone = core->config.zone,
        .version = core->config.version,
        .role = core->config.role,
        .incarnation = core->incarnation,
        .is_issuer = core->state == CORE_MEMBER && admission_is_issuer(core->admission),
        .is_dev = core->config.dev,
        .is_ready = core->is_ready && core->state == CORE_MEMBER,
        .last_refusal = admission_last_code(core->admission),
        .started = core->started,
    };
    return self;
}

const struct admission *core_admission(const struct core *core)
{
    return core->admission;
}

const struct trustset *core_trustset(const struct core *core)
{
    return core->trustset;
}

const struct peers *core_peers(const struct core *core)
{
    return core->peers;
}

const struct membership *core_membership(const struct core *core)
{
    return core->membership;
}

const struct catalog *core_catalog(const struct core *core)
{
    return core->catalog;
}

const struct services *core_services(const struct core *core)
{
    return core->services;
}

const struct decision *core_decision(const struct core *core)
{
    return core->decision;
}

const struct calls *core_calls(const struct core *core)
{
    return core->calls;
}
