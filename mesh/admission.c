#include "mesh/admission.h"

#include <sodium.h>

#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* ---- codes ---- */

static const struct {
    const char *name;
    bool is_final;
} admission_codes[] = {
    [CODE(NONE)] = {"none", false},
    [CODE(TOKEN_UNKNOWN)] = {"token_unknown", true},
    [CODE(TOKEN_EXPIRED)] = {"token_expired", true},
    [CODE(TOKEN_USED)] = {"token_used", true},
    [CODE(TOKEN_WITHDRAWN)] = {"token_withdrawn", true},
    [CODE(ROLE_NOT_ALLOWED)] = {"role_not_allowed", true},
    [CODE(IDENTITY_REVOKED)] = {"identity_revoked", true},
    [CODE(IDENTITY_IN_USE)] = {"identity_in_use", true},
    [CODE(MESH_MISMATCH)] = {"mesh_mismatch", true},
    [CODE(DEV_MISMATCH)] = {"dev_mismatch", true},
    [CODE(DENIED)] = {"denied", true},
    [CODE(ISSUER_UNAVAILABLE)] = {"issuer_unavailable", false},
    [CODE(PENDING_FULL)] = {"pending_full", false},
    [CODE(BUSY)] = {"busy", false},
    [CODE(NAME_TAKEN)] = {"name_taken", false},
    [CODE(PENDING)] = {"pending", false},
};

#define CODES_COUNT (sizeof admission_codes / sizeof admission_codes[0])

const char *admission_code_name(admission_code code)
{
    return (unsigned)code < CODES_COUNT ? admission_codes[code].name : "unknown";
}

bool admission_code_is_final(admission_code code)
{
    return (unsigned)code < CODES_COUNT && admission_codes[code].is_final;
}

/* ---- outputs ---- */

struct admission_output *admission_emit(struct admission *a, enum admission_output_type type)
{
    struct admission_outbox *outbox = a->outbox;

    if (outbox->count == outbox->capacity)
        outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count,
                                      &outbox->capacity, sizeof outbox->items[0]);
    outbox->items[outbox->count] = (struct admission_output){.type = type};
    return &outbox->items[outbox->count++];
}

static struct admission_output *admission_emit_send(struct admission *a, uint64_t link,
                                                    const Meshnode__Trust__Admission *message)
{
    struct mn_span bytes = pb_pack_arena(&message->base, a->outbox->arena);
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_SEND);

    MN_ASSERT(bytes.size <= ADMISSION_MESSAGE_MAX);
    output->send.link = link;
    output->send.bytes = bytes;
    return output;
}

void admission_send(struct admission *a, uint64_t link, const Meshnode__Trust__Admission *message,
                    bool after_write)
{
    admission_emit_send(a, link, message)->after_write = after_write;
}

void admission_send_refused(struct admission *a, uint64_t link, admission_code code)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;

    refused.code = code;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_REFUSED;
    message.refused = &refused;
    admission_emit_send(a, link, &message)->send.refused = code;
    a->counts.joins_refused++;
}

void admission_close(struct admission *a, struct channel *channel, mn_status status)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_CLOSE);

    output->close.link = channel->id;
    output->close.status = status;
    channel->is_closing = true;
}

void admission_trace(struct admission *a, enum mn_event event, const mn_id *id, uint64_t a_value,
                     uint64_t b_value, const char *text)
{
    mn_trace(a->config.trace, a->now.mono, event, id, a_value, b_value, text);
}

void admission_on_malformed(struct admission *a, struct channel *channel, mn_status status)
{
    a->counts.messages_malformed++;
    admission_close(a, channel, status);
}

/* ---- links ---- */

struct channel *admission_find_channel(struct admission *a, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&a->links, mn_span(&id, sizeof id));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct channel, entry);
}

void admission_drop_channel(struct admission *a, struct channel *channel)
{
    mn_map_remove(&a->links, &channel->entry);
    mn_list_remove(&channel->all);
    mn_heap_remove(&a->timers, &channel->timer.entry);
    authority_chain_done(&channel->chain);
    mn_buf_unref(channel->grant);
    mn_buf_unref(channel->found);
    mn_buf_unref(channel->join);
    mn_pool_free(&a->pool, channel);
}

static struct channel *admission_add_channel(struct admission *a, const struct admission_link *link)
{
    struct channel *channel = mn_pool_alloc(&a->pool, sizeof *channel);

    if (channel == NULL) return NULL;
    channel->id = link->link;
    channel->heard_at = a->now.mono;
    channel->peer = *link;
    channel->peer.grant = channel->peer.address = mn_span(NULL, 0);
    if (link->address.size > 0 && link->address.size < sizeof channel->address)
        memcpy(channel->address, link->address.data, link->address.size);
    channel->grant = mn_buf_copy(link->grant);
    channel->timer.kind = TIMER_CHANNEL;
    authority_chain_init(&channel->chain);
    mn_list_push_back(&a->links_all, &channel->all);
    mn_map_insert(&a->links, &channel->entry, mn_span(&channel->id, sizeof channel->id));
    return channel;
}

static void admission_on_link_up(struct admission *a, const struct admission_link *link)
{
    struct channel *channel = admission_find_channel(a, link->link);

    if (channel != NULL) { /* a sponsor's link goes on as one between members */
        if (link->kind == ADMISSION_LINK_MEMBER) admission_pending_forget(a, channel);
        channel->peer.kind = link->kind;
        memcpy(channel->peer.pin, link->pin, sizeof channel->peer.pin);
        channel->peer.wall_ms = link->wall_ms;
        channel->heard_at = a->now.mono;
        return;
    }
    channel = admission_add_channel(a, link);
    if (channel == NULL) {
        struct admission_output *output = admission_emit(a, ADMISSION_OUT_CLOSE);
        output->close.link = link->link;
        output->close.status = MN_BUSY;
        return;
    }
    if (link->kind == ADMISSION_LINK_SPONSOR) admission_on_sponsor_up(a, channel);
    if (link->kind == ADMISSION_LINK_MEMBER) admission_pull_chain(a, channel);
    if (a->state == ADMISSION_MEMBER) (void)admission_clock_is_off(a);
}

static void admission_on_link_down(struct admission *a, uint64_t link)
{
    struct channel *channel = admission_find_channel(a, link);

    if (channel == NULL) return; /* was refused when it came up */
    if (a->state == ADMISSION_MEMBER && admission_clock_is_off(a)) admission_keep_clock(a, channel);
    admission_pending_forget(a, channel);
    admission_on_sponsor_down(a, channel);
    admission_drop_channel(a, channel);
}

/* ---- messages ---- */

/* What each kind of peer may say to us. */
static bool admission_may_say(enum admission_link_kind kind,
                              Meshnode__Trust__Admission__WhatCase what)
{
    switch (what) {
    case MESHNODE__TRUST__ADMISSION__WHAT_ASK:
    case MESHNODE__TRUST__ADMISSION__WHAT_JOIN: return kind != ADMISSION_LINK_SPONSOR;
    case MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY:
    case MESHNODE__TRUST__ADMISSION__WHAT_GRANTED:
    case MESHNODE__TRUST__ADMISSION__WHAT_REFUSED: return kind != ADMISSION_LINK_GUEST;
    case MESHNODE__TRUST__ADMISSION__WHAT_FORWARD:
    case MESHNODE__TRUST__ADMISSION__WHAT_FORWARD_ANSWER:
    case MESHNODE__TRUST__ADMISSION__WHAT_WAITING:
    case MESHNODE__TRUST__ADMISSION__WHAT_WAITING_ANSWER: return kind == ADMISSION_LINK_MEMBER;
    case MESHNODE__TRUST__ADMISSION__WHAT__NOT_SET:
    case _MESHNODE__TRUST__ADMISSION__WHAT__CASE_IS_INT_SIZE: break;
    }
    return false;
}

static void admission_dispatch(struct admission *a, struct channel *channel,
                               const Meshnode__Trust__Admission *message)
{
    switch (message->what_case) {
    case MESHNODE__TRUST__ADMISSION__WHAT_ASK: admission_on_ask(a, channel, message->ask); break;
    case MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY:
        admission_on_authority(a, channel, message->authority);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_JOIN:
        admission_on_join_message(a, channel, pb_span(message->join));
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_GRANTED:
        admission_on_granted(a, channel, message->granted);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_REFUSED:
        admission_on_refused(a, channel, message->refused->code);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_FORWARD:
        admission_on_forward(a, channel, message->forward);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_FORWARD_ANSWER:
        admission_on_forward_answer(a, channel, message->forward_answer);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_WAITING:
        admission_on_waiting(a, channel, message->waiting);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT_WAITING_ANSWER:
        admission_on_waiting_answer(a, channel, message->waiting_answer);
        break;
    case MESHNODE__TRUST__ADMISSION__WHAT__NOT_SET:
    case _MESHNODE__TRUST__ADMISSION__WHAT__CASE_IS_INT_SIZE: break;
    }
}

static void admission_on_message(struct admission *a, uint64_t link, struct mn_span bytes)
{
    struct channel *channel = admission_find_channel(a, link);
    const Meshnode__Trust__Admission *message;
    size_t size_max;

    if (channel == NULL || channel->is_closing) return;
    size_max = channel->peer.kind == ADMISSION_LINK_GUEST ? ADMISSION_GUEST_MESSAGE_MAX
                                                          : ADMISSION_MESSAGE_MAX;
    if (bytes.size > size_max) {
        admission_on_malformed(a, channel, MN_TOO_BIG);
        return;
    }
    message = pb_unpack(&meshnode__trust__admission__descriptor, a->outbox->arena, bytes);
    if (message == NULL || !admission_may_say(channel->peer.kind, message->what_case)) {
        admission_on_malformed(a, channel, MN_MALFORMED);
        return;
    }
    admission_dispatch(a, channel, message);
}

/* ---- timers ---- */

void admission_set_timer(struct admission *a, struct timer *timer, mn_time at)
{
    mn_heap_set(&a->timers, &timer->entry, at);
}

static void admission_upkeep(struct admission *a)
{
    mn_time renew_at, upkeep_at = mn_time_after(a->now.mono, ADMISSION_UPKEEP);

    if (admission_clock_is_off(a)) { /* nothing is due by a clock that is wrong */
        admission_set_timer(a, &a->upkeep_timer, upkeep_at);
        return;
    }
    renew_at = admission_renew_if_due(a);
    admission_expire_invites(a);
    admission_expire_holders(a);
    admission_set_timer(a, &a->upkeep_timer, mn_time_min(renew_at, upkeep_at));
}

static void admission_on_timer(struct admission *a, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_CHANNEL: admission_on_channel_timer(a, timer_channel(timer)); break;
    case TIMER_FORWARD: admission_on_forward_timer(a, timer_forward(timer)); break;
    case TIMER_JOIN: admission_on_join_timer(a); break;
    case TIMER_UPKEEP: admission_upkeep(a); break;
    case TIMER_GROW: admission_grow_if_due(a); break;
    case TIMER_CLOCK: admission_on_clock_timer(a); break;
    case TIMER_WAITER: admission_on_waiter_timer(a, timer); break;
    case TIMER_PENDING: admission_on_pending_timer(a); break;
    }
}

static void admission_run_timers(struct admission *a)
{
    struct mn_heap_entry *first;

    while ((first = mn_heap_peek(&a->timers)) != NULL && first->at <= a->now.mono) {
        mn_heap_remove(&a->timers, first);
        admission_on_timer(a, MN_CONTAINER(first, struct timer, entry));
    }
}

mn_time admission_deadline(const struct admission *a)
{
    /* A node that failed only waits for its end. */
    return a->state == ADMISSION_FAILED ? MN_TIME_NEVER : mn_heap_deadline(&a->timers);
}

/* ---- steps ---- */

static void admission_handle(struct admission *a, const struct admission_input *input)
{
    switch (input->type) {
    case ADMISSION_IN_TICK: break;
    case ADMISSION_IN_RECOVER:
        MN_ASSERT(a->state == ADMISSION_RECOVERING);
        admission_on_recover(a, input->recover.key, input->recover.value);
        break;
    case ADMISSION_IN_RECOVERED:
        MN_ASSERT(a->state == ADMISSION_RECOVERING);
        admission_on_recovered(a);
        break;
    case ADMISSION_IN_FOUND: admission_on_found_input(a, input->found.token); break;
    case ADMISSION_IN_JOIN: admission_on_join_input(a, input); break;
    case ADMISSION_IN_LINK_UP: admission_on_link_up(a, &input->link_up); break;
    case ADMISSION_IN_LINK_DOWN: admission_on_link_down(a, input->link_down.link); break;
    case ADMISSION_IN_MESSAGE:
        admission_on_message(a, input->message.link, input->message.bytes);
        break;
    case ADMISSION_IN_REFUSE:
        admission_on_refuse_input(a, input->refuse.link, input->refuse.code);
        break;
    case ADMISSION_IN_CLOCK:
        admission_on_clock_input(a, &input->clock.node_id, input->clock.wall_ms);
        break;
    case ADMISSION_IN_PULL: admission_on_pull(a, &input->pull.node_id); break;
    case ADMISSION_IN_BEHIND: admission_on_behind(a, &input->behind.refused_by); break;
    case ADMISSION_IN_ITEM:
        admission_on_item(a, input->item.is_withdrawal, input->item.bytes);
        break;
    case ADMISSION_IN_PEER: admission_on_peer_input(a, input); break;
    case ADMISSION_IN_TOKEN_CREATE: admission_on_token_create(a, input); break;
    case ADMISSION_IN_TOKEN_LIST: admission_on_token_list(a, input->token_list.request); break;
    case ADMISSION_IN_TOKEN_WITHDRAW: admission_on_token_withdraw(a, input); break;
    case ADMISSION_IN_PENDING_LIST: admission_on_pending_list(a, input->pending.request); break;
    case ADMISSION_IN_PENDING_APPROVE: admission_on_pending_approve(a, input); break;
    case ADMISSION_IN_PENDING_DENY: admission_on_pending_deny(a, input); break;
    }
}

void admission_step(struct admission *a, struct mn_now now, const struct admission_input *input,
                    struct admission_outbox *outbox)
{
    enum admission_state before = a->state;

    MN_ASSERT(now.mono >= a->now.mono);
    a->now = now;
    a->outbox = outbox;
    /* After a failure only the books on links are kept. */
    if (a->state != ADMISSION_FAILED || input->type == ADMISSION_IN_LINK_DOWN)
        admission_handle(a, input);
    if (a->state != ADMISSION_RECOVERING && a->state != ADMISSION_FAILED) {
        if (before != ADMISSION_MEMBER && a->state == ADMISSION_MEMBER) {
            admission_upkeep(a);
            admission_on_clock_timer(a);
            admission_grow_if_due(a);
        }
        admission_run_timers(a);
    }
    a->outbox = NULL;
}

/* ---- life ---- */

struct admission *admission_new(const struct admission_config *config)
{
    struct admission *a = mn_alloc(sizeof *a);
    size_t name_size = strlen(config->name), region_size = strlen(config->region);

    MN_ASSERT(grant_name_is_valid(mn_span_str(config->name)));
    MN_ASSERT(grant_region_is_valid(mn_span_str(config->region)));
    MN_ASSERT(config->grant_ttl_ms >= AUTHORITY_TTL_MIN_MS &&
              config->grant_ttl_ms <= AUTHORITY_TTL_MAX_MS);
    a->config = *config;
    memcpy(a->name, config->name, name_size);
    memcpy(a->region, config->region, region_size);
    a->config.name = a->name;
    a->config.region = a->region;
    if (config->zone != NULL && strlen(config->zone) < sizeof a->zone)
        memcpy(a->zone, config->zone, strlen(config->zone));
    a->config.zone = a->zone;
    a->has_root = config->root != NULL;
    if (a->has_root) memcpy(a->root, config->root, sizeof a->root);
    a->config.root = NULL;
    rng_init(&a->rng, config->seed);
    sodium_memzero(a->config.seed, sizeof a->config.seed);
    mn_pool_init(&a->pool, config->memory_max);
    mn_map_init(&a->links, rng_u64(&a->rng));
    mn_map_init(&a->holders, rng_u64(&a->rng));
    mn_map_init(&a->invites, rng_u64(&a->rng));
    mn_list_init(&a->links_all);
    mn_list_init(&a->forwards);
    mn_list_init(&a->recovered);
    authority_chain_init(&a->chain);
    admission_pending_init(a);
    a->join_timer.kind = TIMER_JOIN;
    a->upkeep_timer.kind = TIMER_UPKEEP;
    a->clock_timer.kind = TIMER_CLOCK;
    a->grow_timer.kind = TIMER_GROW;
    a->state = ADMISSION_RECOVERING;
    return a;
}

void admission_free(struct admission *a)
{
    if (a == NULL) return;
    admission_pending_done(a);
    while (!mn_list_is_empty(&a->links_all))
        admission_drop_channel(a, MN_CONTAINER(a->links_all.next, struct channel, all));
    admission_forwards_done(a);
    admission_holders_done(a);
    admission_invites_done(a);
    admission_store_done(a);
    mn_map_done(&a->links);
    mn_heap_done(&a->timers);
    MN_ASSERT(a->pool.used == 0);
    sodium_memzero(a, sizeof *a);
    mn_free(a);
}

void admission_check(const struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);

    MN_ASSERT(a->pool.used <= a->pool.limit);
    MN_ASSERT(a->forwards_count <= ADMISSION_FORWARDS_MAX);
    MN_ASSERT(a->invites.count <= ADMISSION_INVITES_MAX);
    if (a->state != ADMISSION_MEMBER) return;
    MN_ASSERT(head != NULL && a->grant_bytes != NULL);
    MN_ASSERT(mn_id_equal(&a->grant.mesh_id, &head->mesh_id));
    MN_ASSERT(mn_id_equal(&a->grant.node_id, &a->config.self->node_id));
    MN_ASSERT(head->dev == a->config.dev);
}

/* ---- questions ---- */

enum admission_state admission_state(const struct admission *a)
{
    return a->state;
}

admission_code admission_last_code(const struct admission *a)
{
    return a->last_code;
}

enum admission_hello admission_hello(const struct admission *a)
{
    if (a->state == ADMISSION_MEMBER) return ADMISSION_HELLO_MEMBER;
    return a->joining.is_known ? ADMISSION_HELLO_RENEW : ADMISSION_HELLO_JOIN;
}

mn_id admission_mesh_id(const struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);

    return head == NULL ? (mn_id){{0}} : head->mesh_id;
}

const struct authority *admission_authority(const struct admission *a)
{
    return authority_chain_head(&a->chain);
}

struct mn_span admission_grant_bytes(const struct admission *a)
{
    return mn_buf_span(a->grant_bytes);
}

const struct grant *admission_grant(const struct admission *a)
{
    return a->grant_bytes == NULL ? NULL : &a->grant;
}

bool admission_is_issuer(const struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);

    return a->state == ADMISSION_MEMBER && authority_is_issuer(head, a->config.self->key.pk);
}

bool admission_has_foreign_state(const struct admission *a)
{
    return a->is_foreign;
}

mn_status admission_check_peer(const struct admission *a, struct mn_now now,
                               struct mn_span grant_bytes, const uint8_t sign_pk[SIGN_PK_SIZE],
                               struct grant *ret)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct grant grant;
    mn_status status;

    if (head == NULL) return MN_STATE;
    status = grant_decode(grant_bytes, &grant);
    if (status != MN_OK) return status;
    if (memcmp(grant.sign_pk, sign_pk, SIGN_PK_SIZE) != 0) return MN_DENIED;
    status = grant_check(&grant, head, a->config.revoked, mn_wall_ms(now));
    if (status == MN_OK) *ret = grant;
    return status;
}

struct admission_counts admission_counts(const struct admission *a)
{
    struct admission_counts counts = a->counts;

    counts.forks = a->counts.forks + a->chain.forks_count;
    counts.links = a->links.count;
    counts.forwards = a->forwards_count;
    counts.issued = a->holders.count;
    counts.invites = a->invites.count;
    counts.waiters = admission_waiters_count(a);
    counts.pending = admission_pending_count(a);
    return counts;
}
