#include "mesh/peers.h"

#include "crypto/digest.h"
#include "mesh/peers_internal.h"

struct peers_timing peers_timing_default(void)
{
    return (struct peers_timing){.link = link_timing_default(),
                                 .hello = 5 * MN_SEC,
                                 .dial = 5 * MN_SEC,
                                 .stagger = 250 * MN_MS,
                                 .backoff_min = 100 * MN_MS,
                                 .backoff_max = 30 * MN_SEC,
                                 .challenge = MN_SEC,
                                 .guest = 30 * MN_SEC,
                                 .wait = 150 * MN_SEC,
                                 .drain = MN_SEC,
                                 .renew = MN_DAY};
}

struct peers_limits peers_limits_default(void)
{
    return (struct peers_limits){.link = link_limits_default(),
                                 .half_open = 64,
                                 .guests = 64,
                                 .members = 1024,
                                 .dials = 64,
                                 .targets = 10064,
                                 .bulk_max = (size_t)384 << 20};
}

/* ---- outbox ---- */

struct peers_output *peers_emit(struct peers *peers, enum peers_output_type type)
{
    struct peers_outbox *outbox = peers->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct peers_output){.type = type};
    return &outbox->items[outbox->count++];
}

static void output_done(struct peers_output *output)
{
    if (output->type == PEERS_OUT_SEND) output->buf = mn_buf_unref(output->buf);
    if (output->type == PEERS_OUT_ENVELOPE) output->parts = mn_buf_unref(output->parts);
}

void peers_outbox_reset(struct peers_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        output_done(&outbox->items[i]);
    outbox->items = NULL;
    outbox->count = outbox->capacity = 0;
}

/* ---- life ---- */

static void copy_text(char to[PEERS_TEXT_SIZE], const char *from)
{
    size_t size = strlen(from);

    if (size >= PEERS_TEXT_SIZE) size = PEERS_TEXT_SIZE - 1;
    memcpy(to, from, size);
}

struct peers *peers_new(const struct peers_config *config)
{
    struct peers *peers = mn_alloc(sizeof *peers);

    peers->config = *config;
    peers->bulk.bytes_max = config->limits.bulk_max;
    peers->config.limits.link.queue.bulk = &peers->bulk;
    copy_text(peers->name, config->name);
    copy_text(peers->version, config->version);
    rng_init(&peers->rng, config->seed);
    mn_list_init(&peers->conns);
    mn_list_init(&peers->dirty);
    mn_list_init(&peers->graveyard);
    mn_list_init(&peers->targets);
    mn_map_init(&peers->by_conn, rng_u64(&peers->rng));
    mn_map_init(&peers->by_link, rng_u64(&peers->rng));
    mn_map_init(&peers->by_node, rng_u64(&peers->rng));
    mn_map_init(&peers->targets_by_key, rng_u64(&peers->rng));
    peers->gate = gate_new(rng_u64(&peers->rng));
    peers->links_next = 1;
    return peers;
}

static void conn_free(struct conn *conn)
{
    link_free(conn->link);
    mn_buf_unref(conn->grant);
    mn_free(conn);
}

static void peers_bury(struct peers *peers)
{
    struct mn_list *entry;

    while ((entry = mn_list_take(&peers->graveyard)) != NULL) {
        mn_list_remove(&PEERS_CONN(entry, grave)->order);
        conn_free(PEERS_CONN(entry, grave));
    }
}

void peers_free(struct peers *peers)
{
    struct mn_list *entry;

    if (peers == NULL) return;
    peers_bury(peers);
    while ((entry = mn_list_take(&peers->conns)) != NULL)
        conn_free(PEERS_CONN(entry, order));
    while (!mn_list_is_empty(&peers->targets))
        target_free(peers, MN_CONTAINER(peers->targets.next, struct target, order));
    mn_map_done(&peers->by_conn);
    mn_map_done(&peers->by_link);
    mn_map_done(&peers->by_node);
    mn_map_done(&peers->targets_by_key);
    mn_heap_done(&peers->timers);
    mn_heap_done(&peers->target_timers);
    gate_free(peers->gate);
    mn_buf_unref(peers->grant);
    rng_done(&peers->rng);
    mn_free(peers);
}

/* ---- step ---- */

static void peers_run_timers(struct peers *peers, struct mn_now now)
{
    struct mn_heap_entry *entry;

    while ((entry = mn_heap_peek(&peers->timers)) != NULL && entry->at <= now.mono)
        conn_on_timer(peers, now, MN_CONTAINER(entry, struct conn, timer));
    while ((entry = mn_heap_peek(&peers->target_timers)) != NULL && entry->at <= now.mono)
        target_on_timer(peers, now, MN_CONTAINER(entry, struct target, timer));
    if (now.mono >= peers->sweep_at) {
        peers->sweep_at = mn_time_after(now.mono, PEERS_SWEEP_US);
        peers_sweep(peers, now);
    }
}

static void peers_on_control(struct peers *peers, struct mn_now now,
                             const struct peers_input *input)
{
    struct conn *conn = peers_find_link(peers, input->link);

    if (conn == NULL) return;
    if (input->flag) gate_on_refusal(peers->gate, now, mn_span_str(conn->info.address));
    if (link_send_control(conn->link, FRAME_ADMISSION, input->bytes) != MN_OK) {
        conn_cut(peers, now, conn, MN_BUSY); /* it asks more than it reads */
        return;
    }
    conn_touch(peers, conn);
}

static void peers_on_admitted(struct peers *peers, struct mn_now now, uint64_t link)
{
    struct conn *conn = peers_find_link(peers, link);

    if (conn == NULL || conn->info.kind != PEERS_GUEST) return;
    conn->until = mn_time_after(now.mono, peers->config.timing.guest);
    conn_set_timer(peers, conn);
}

static void peers_on_wait(struct peers *peers, struct mn_now now, uint64_t link)
{
    struct conn *conn = peers_find_link(peers, link);

    if (conn == NULL || conn->info.kind != PEERS_GUEST) return;
    if (!conn->is_waiting) {
        conn->is_waiting = true;
        peers->counts.guests--;
        peers->counts.waiting++;
    }
    conn->guest_bytes = 0; /* its pings are to count anew */
    conn->until = mn_time_after(now.mono, peers->config.timing.wait);
    conn_set_timer(peers, conn);
}

static void peers_on_pause(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct conn *conn = peers_find_link(peers, input->link);

    if (conn == NULL) return;
    conn->is_owner_paused = input->flag;
    conn_update_pause(peers, now, conn);
}

static void peers_on_stop(struct peers *peers, struct mn_now now)
{
    peers->is_stopping = true;
    peers_stop_dialing(peers, now);
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        struct conn *conn = PEERS_CONN(entry, order);
        if (conn->state == CONN_UP) {
            conn_goodbye(peers, now, conn, MN_OK, 0);
        } else if (conn->state < CONN_CLOSING) {
            conn_cut(peers, now, conn, MN_OK);
        }
    }
}

static void peers_on_owner(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct conn *by_link = peers_find_link(peers, input->link);
    struct conn *member = peers_find_member(peers, &input->node_id);

    if (input->type == PEERS_IN_CLOSE && by_link != NULL)
        conn_goodbye(peers, now, by_link, input->status, input->code);
    if (input->type == PEERS_IN_DISCONNECT && member != NULL)
        conn_goodbye(peers, now, member, input->status, input->code);
    if (input->type == PEERS_IN_FAULT && member != NULL)
        conn_fault(peers, now, member, input->points);
}

static void peers_handle(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    switch (input->type) {
    case PEERS_IN_TICK: break; /* timers have run */
    case PEERS_IN_TURN_END: peers_flush(peers, now); break;
    case PEERS_IN_ACCEPTED: peers_on_accepted(peers, now, input); break;
    case PEERS_IN_CONNECTED: peers_on_connected(peers, now, input); break;
    case PEERS_IN_BYTES: peers_on_bytes(peers, now, input); break;
    case PEERS_IN_SENT: peers_on_sent(peers, now, input->conn); break;
    case PEERS_IN_CLOSED: peers_on_closed(peers, now, input); break;
    case PEERS_IN_SELF: peers_on_self(peers, now, input->self); break;
    case PEERS_IN_DIAL: peers_on_dial(peers, now, input->dial); break;
    case PEERS_IN_FORGET: peers_on_forget(peers, now, input); break;
    case PEERS_IN_SEND: peers_send(peers, now, input->send); break;
    case PEERS_IN_CONTROL: peers_on_control(peers, now, input); break;
    case PEERS_IN_ADMITTED: peers_on_admitted(peers, now, input->link); break;
    case PEERS_IN_WAIT: peers_on_wait(peers, now, input->link); break;
    case PEERS_IN_CLOSE:
    case PEERS_IN_DISCONNECT:
    case PEERS_IN_FAULT: peers_on_owner(peers, now, input); break;
    case PEERS_IN_GRANT: peers_on_grant(peers, now, &input->node_id, input->bytes); break;
    case PEERS_IN_PAUSE: peers_on_pause(peers, now, input); break;
    case PEERS_IN_STOP: peers_on_stop(peers, now); break;
    }
}

void peers_step(struct peers *peers, struct mn_now now, const struct peers_input *input,
                struct peers_outbox *outbox)
{
    peers->outbox = outbox;
    peers_bury(peers);
    peers_run_timers(peers, now);
    peers_handle(peers, now, input);
    if (peers->is_stopping && !peers->has_said_idle && peers->by_conn.count == 0) {
        peers->has_said_idle = true;
        peers_emit(peers, PEERS_OUT_IDLE);
    }
    peers->outbox = NULL;
}

mn_time peers_deadline(const struct peers *peers)
{
    mn_time at =
        mn_time_min(mn_heap_deadline(&peers->timers), mn_heap_deadline(&peers->target_timers));
    return peers->by_conn.count == 0 ? at : mn_time_min(at, peers->sweep_at);
}

/* ---- looking ---- */

static const struct conn *conn_of(const struct peers_link *link)
{
    return (const struct conn *)(const void *)((const char *)link - offsetof(struct conn, info));
}

const struct peers_link *peers_find(const struct peers *peers, const mn_id *node_id)
{
    const struct conn *conn = peers_find_member(peers, node_id);
    return conn == NULL ? NULL : &conn->info;
}

const struct peers_link *peers_get(const struct peers *peers, uint64_t link)
{
    const struct conn *conn = peers_find_link(peers, link);
    return conn == NULL ? NULL : &conn->info;
}

const struct peers_link *peers_next(const struct peers *peers, const struct peers_link *link)
{
    const struct mn_list *entry = link == NULL ? peers->conns.next : conn_of(link)->order.next;

    for (; entry != &peers->conns; entry = entry->next) {
        const struct conn *conn =
            (const struct conn *)(const void *)((const char *)entry - offsetof(struct conn, order));
        if (conn->state == CONN_UP) return &conn->info;
    }
    return NULL;
}

const struct link_stats *peers_link_stats(const struct peers_link *link)
{
    return link_stats(conn_of(link)->link);
}

mn_time peers_banned_for(const struct peers *peers, struct mn_now now, const mn_id *node_id)
{
    return gate_banned_for(peers->gate, now, node_id);
}

size_t peers_link_queued(const struct peers_link *link, enum envelope_priority priority)
{
    return link_queued_bytes(conn_of(link)->link, priority);
}

struct peers_counts peers_counts(const struct peers *peers)
{
    return peers->counts;
}

static void conn_check(const struct peers *peers, const struct conn *conn)
{
    bool is_member = conn->state == CONN_UP && conn->info.kind == PEERS_MEMBER;

    MN_ASSERT((conn->link == NULL) == (conn->state == CONN_DIALING));
    MN_ASSERT(is_member == (peers_find_member(peers, &conn->info.node_id) == conn));
    MN_ASSERT((conn->state == CONN_UP) == (peers_find_link(peers, conn->info.link) == conn));
    MN_ASSERT((conn->rival != NULL) == (conn->state == CONN_CHALLENGER));
    MN_ASSERT(conn->rival == NULL || conn->rival->challenger == conn);
    MN_ASSERT(!conn->is_stranger || conn->is_half_open);
    if (conn->link != NULL) link_check(conn->link);
}

void peers_check(const struct peers *peers)
{
    uint32_t half_open = 0, guests = 0, waiting = 0, members = 0, dials = 0;

    MN_LIST_FOR_EACH (entry, (struct mn_list *)(uintptr_t)&peers->conns) {
        const struct conn *conn = PEERS_CONN(entry, order);
        if (conn->state == CONN_GONE) continue;
        conn_check(peers, conn);
        half_open += conn->is_half_open;
        guests += conn->state == CONN_UP && conn->info.kind == PEERS_GUEST && !conn->is_waiting;
        waiting += conn->state == CONN_UP && conn->info.kind == PEERS_GUEST && conn->is_waiting;
        members += conn->state == CONN_UP && conn->info.kind == PEERS_MEMBER;
        dials += conn->state == CONN_DIALING;
    }
    MN_ASSERT(half_open == peers->counts.half_open && half_open <= peers->config.limits.half_open);
    MN_ASSERT(waiting == peers->counts.waiting);
    MN_ASSERT(guests == peers->counts.guests && guests <= peers->config.limits.guests);
    MN_ASSERT(members == peers->counts.members && members == peers->by_node.count);
    MN_ASSERT(dials == peers->counts.dials);
    MN_ASSERT(peers->strangers <= half_open);
}
