#include "mesh/membership_internal.h"

#include "proto/pb.h"

/* ---- life ---- */

struct membership_timing membership_timing_default(void)
{
    return (struct membership_timing){.period = MN_SEC,
                                      .gossip_interval = 200 * MN_MS,
                                      .sync_interval = 30 * MN_SEC,
                                      .heal_interval = 30 * MN_SEC,
                                      .leave_timeout = 2 * MN_SEC};
}

static bool membership_timing_is_valid(const struct membership_timing *timing)
{
    mn_time max = MN_HOUR;

    return timing->period > 0 && timing->period <= max && timing->gossip_interval > 0 &&
           timing->gossip_interval <= max && timing->sync_interval > 0 &&
           timing->sync_interval <= max && timing->heal_interval > 0 &&
           timing->heal_interval <= max && timing->leave_timeout > 0 &&
           timing->leave_timeout <= max;
}

static bool membership_config_is_valid(const struct membership_config *config)
{
    return config->identity != NULL && config->authority != NULL && config->members_max >= 1 &&
           config->members_max <= MEMBERSHIP_MEMBERS_MAX &&
           config->seeds_count <= MEMBERSHIP_SEEDS_MAX && config->memory_max >= 65536 &&
           config->incarnation < UINT64_MAX - 2 && membership_timing_is_valid(&config->timing);
}

static void membership_copy_seeds(struct membership *core, const struct membership_config *config)
{
    core->seeds = mn_alloc(config->seeds_count * sizeof(struct mn_buf *));
    for (uint32_t i = 0; i < config->seeds_count; i++)
        core->seeds[core->seeds_count++] = mn_buf_copy(config->seeds[i]);
}

static void membership_name_timers(struct membership *core)
{
    core->sweep.type = MEMBERSHIP_TIMER_SWEEP;
    core->recheck.type = MEMBERSHIP_TIMER_RECHECK;
    core->ask.type = MEMBERSHIP_TIMER_ASK;
    core->announce.type = MEMBERSHIP_TIMER_ANNOUNCE;
    core->leave.type = MEMBERSHIP_TIMER_LEAVE;
    core->heal.type = MEMBERSHIP_TIMER_HEAL;
    core->period.type = MEMBERSHIP_TIMER_PERIOD;
    core->gossip.type = MEMBERSHIP_TIMER_GOSSIP;
    core->sync_next.type = MEMBERSHIP_TIMER_SYNC;
    core->sync_timeout.type = MEMBERSHIP_TIMER_SYNC_TIMEOUT;
}

mn_status membership_new(const struct membership_config *config, struct membership **ret)
{
    struct membership *core;
    mn_status status;

    if (!membership_config_is_valid(config)) return MN_CONFIG;
    core = mn_alloc(sizeof *core);
    core->identity = config->identity;
    core->mesh_id = config->mesh_id;
    core->boot_id = config->boot_id;
    core->timing = config->timing;
    core->authority = config->authority;
    core->revoked = config->revoked;
    core->trace = config->trace;
    core->members_max = config->members_max;
    core->expects_peers = config->expects_peers;
    core->incarnation_persisted = config->incarnation;
    core->incarnation_wanted = config->incarnation;
    rng_init(&core->rng, config->seed);
    core->number_last = rng_u32(&core->rng); /* answers to an earlier life do not match */
    mn_pool_init(&core->pool, config->memory_max);
    mn_list_init(&core->removed);
    for (uint32_t i = 0; i < MEMBERSHIP_NEWS_COUNT; i++)
        mn_list_init(&core->news[i]);
    membership_name_timers(core);
    membership_copy_seeds(core, config);
    status = membership_self_set(core, &config->self);
    if (status != MN_OK) {
        membership_free(core);
        return MN_CONFIG;
    }
    *ret = core;
    return MN_OK;
}

void membership_free(struct membership *core)
{
    if (core == NULL) return;
    membership_table_done(core);
    for (uint32_t i = 0; i < core->seeds_count; i++)
        mn_buf_unref(core->seeds[i]);
    mn_free(core->seeds);
    mn_buf_unref(core->said_texts);
    mn_free(core->links);
    mn_free(core->order);
    mn_heap_done(&core->timers);
    rng_done(&core->rng);
    mn_free(core);
}

/* ---- outputs and timers ---- */

struct membership_output *membership_emit(struct membership *core, enum membership_output_type type)
{
    struct membership_outbox *outbox = core->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct membership_output){.type = type};
    return &outbox->items[outbox->count++];
}

void membership_emit_member(struct membership *core, enum membership_output_type type,
                            const struct membership_row *row)
{
    membership_emit(core, type)->member = &row->view;
}

/* Never in the past: a tick must not find its own timers due again. */
void membership_arm(struct membership *core, struct membership_timer *timer, mn_time at)
{
    if (at <= core->now.mono) at = core->now.mono + 1;
    mn_heap_set(&core->timers, &timer->entry, at);
}

uint32_t membership_log10_tenths(uint32_t n)
{
    /* 10^(i/10) in thousandths, rounded up, so that the result is exact for integers */
    static const uint32_t tenths[] = {1000, 1259, 1585, 1996, 2512, 3163, 3982, 5012, 6310, 7944};
    uint64_t scale = 1;
    uint32_t result = 0, i = 9;

    MN_ASSERT(n >= 1);
    for (; n >= scale * 10; scale *= 10)
        result += 10;
    while ((uint64_t)n * 1000 < scale * tenths[i])
        i--;
    return result + i;
}

static void membership_end_suspicion(struct membership *core, struct membership_timer *timer)
{
    struct membership_row *row = MN_CONTAINER(timer, struct membership_row, suspicion);

    if (core->now.mono < core->grace_until)
        membership_arm(core, timer, core->grace_until);
    else if (core->life != MEMBERSHIP_LIVE)
        membership_arm(core, timer, core->now.mono + core->timing.period); /* no verdicts of ours */
    else
        membership_table_bury(core, row);
}

static void membership_fire(struct membership *core, struct membership_timer *timer)
{
    switch (timer->type) {
    case MEMBERSHIP_TIMER_PERIOD: membership_probe_period(core); break;
    case MEMBERSHIP_TIMER_PROBE:
        membership_probe_on_timer(core, MN_CONTAINER(timer, struct membership_probe, timer));
        break;
    case MEMBERSHIP_TIMER_RELAY:
        membership_probe_on_relay_timer(core, MN_CONTAINER(timer, struct membership_relay, timer));
        break;
    case MEMBERSHIP_TIMER_SUSPICION: membership_end_suspicion(core, timer); break;
    case MEMBERSHIP_TIMER_GOSSIP: membership_gossip_round(core); break;
    case MEMBERSHIP_TIMER_SYNC: membership_sync_round(core); break;
    case MEMBERSHIP_TIMER_SYNC_TIMEOUT: membership_sync_timeout(core); break;
    case MEMBERSHIP_TIMER_HEAL: membership_link_heal(core); break;
    case MEMBERSHIP_TIMER_SWEEP: membership_table_sweep(core); break;
    case MEMBERSHIP_TIMER_RECHECK: membership_table_recheck(core); break;
    case MEMBERSHIP_TIMER_ASK: membership_self_ask_timeout(core); break;
    case MEMBERSHIP_TIMER_ANNOUNCE: membership_self_announce_again(core); break;
    case MEMBERSHIP_TIMER_LEAVE: membership_self_leave_done(core); break;
    }
}

/* A tick that comes late means that we were stalled, not the others (Lifeguard): verdicts wait
 * until the packets that piled up meanwhile have been read. */
static void membership_note_stall(struct membership *core, mn_time due)
{
    if (core->now.mono <= mn_time_after(due, 2 * core->timing.period)) return;
    MN_PROBE("membership: stalled");
    membership_probe_add_health(core, 2);
    membership_probe_forget_all(core);
    core->grace_until = mn_time_after(core->now.mono, core->timing.period / 2);
}

static void membership_on_tick(struct membership *core)
{
    membership_note_stall(core, mn_heap_deadline(&core->timers));
    while (mn_heap_deadline(&core->timers) <= core->now.mono) {
        struct mn_heap_entry *entry = mn_heap_peek(&core->timers);
        mn_heap_remove(&core->timers, entry);
        membership_fire(core, MN_CONTAINER(entry, struct membership_timer, entry));
    }
}

/* ---- packets ---- */

static bool membership_packet_is_valid(const Meshnode__Member__Packet *packet)
{
    return packet->n_records <= MEMBERSHIP_ITEMS_MAX &&
           packet->n_accusations <= MEMBERSHIP_ITEMS_MAX &&
           packet->soft.len <= MEMBERSHIP_SOFT_MAX &&
           packet->digests.len <= MEMBERSHIP_DIGESTS_MAX * MEMBERSHIP_DIGEST_SIZE &&
           packet->digests.len % MEMBERSHIP_DIGEST_SIZE == 0 &&
           packet->wanted.len <= MEMBERSHIP_ITEMS_MAX * sizeof(mn_id) &&
           packet->wanted.len % sizeof(mn_id) == 0;
}

static void membership_note_sender(struct membership *core, const mn_id *from)
{
    struct membership_row *row = membership_table_find(core, from);

    if (row == NULL) return;
    row->view.last_seen = core->now.mono;
    if (row->accusation.size > 0) membership_gossip_tell(core, row);
}

/* What every packet may bring. Records first: they name the accusers' keys, and refute. */
static void membership_read_items(struct membership *core, const mn_id *from,
                                  const Meshnode__Member__Packet *packet)
{
    for (size_t i = 0; i < packet->n_records; i++)
        membership_table_on_record(core, from, pb_span(packet->records[i]));
    for (size_t i = 0; i < packet->n_accusations; i++)
        membership_table_on_accusation(core, from, pb_span(packet->accusations[i]));
    if (packet->wanted.len > 0)
        membership_gossip_answer_wanted(core, from, pb_span(packet->wanted));
}

static void membership_read_question(struct membership *core, const mn_id *from,
                                     const Meshnode__Member__Packet *packet)
{
    switch (packet->type) {
    case MESHNODE__MEMBER__PACKET__TYPE__PING: membership_probe_on_ping(core, from, packet); break;
    case MESHNODE__MEMBER__PACKET__TYPE__ACK: membership_probe_on_ack(core, from, packet); break;
    case MESHNODE__MEMBER__PACKET__TYPE__PING_REQ:
        membership_probe_on_ping_req(core, from, packet);
        break;
    case MESHNODE__MEMBER__PACKET__TYPE__NACK: membership_probe_on_nack(core, from, packet); break;
    case MESHNODE__MEMBER__PACKET__TYPE__ANNOUNCE:
        membership_self_on_announce(core, from, packet);
        break;
    case MESHNODE__MEMBER__PACKET__TYPE__HAVE: membership_self_on_have(core, from, packet); break;
    case MESHNODE__MEMBER__PACKET__TYPE__SYNC: membership_sync_on_ask(core, from, packet); break;
    case MESHNODE__MEMBER__PACKET__TYPE__SYNC_ANSWER:
        membership_sync_on_answer(core, from, packet);
        break;
    case MESHNODE__MEMBER__PACKET__TYPE__NONE:
    case MESHNODE__MEMBER__PACKET__TYPE__GOSSIP:
    case MESHNODE__MEMBER__PACKET__TYPE__RECORDS:
    case _MESHNODE__MEMBER__PACKET__TYPE_IS_INT_SIZE:
    default: break; /* only items, or a question of a newer version */
    }
}

static void membership_on_packet(struct membership *core, const mn_id *from, struct mn_span bytes)
{
    const Meshnode__Member__Packet *packet = NULL;

    core->stats.packets_in++;
    core->stats.bytes_in += bytes.size;
    if (mn_id_equal(from, &core->identity->node_id)) return;
    if (bytes.size <= MEMBERSHIP_PACKET_MAX)
        packet = pb_unpack(&meshnode__member__packet__descriptor, membership_arena(core), bytes);
    if (packet == NULL || !membership_packet_is_valid(packet)) {
        struct membership_output *output = membership_emit(core, MEMBERSHIP_OUT_FAULT);
        core->stats.packets_refused++;
        output->fault.node = *from;
        output->fault.status = MN_MALFORMED;
        return;
    }
    core->asks_count = 0;
    membership_read_items(core, from, packet);
    membership_note_sender(core, from);
    membership_read_question(core, from, packet);
    membership_gossip_ask(core, from);
}

/* ---- stepping ---- */

static void membership_start(struct membership *core)
{
    mn_time now = core->now.mono;

    core->is_started = true;
    membership_arm(core, &core->period, now + rng_below_u64(&core->rng, core->timing.period));
    membership_arm(core, &core->sync_next,
                   now + rng_below_u64(&core->rng, core->timing.sync_interval));
    membership_arm(core, &core->heal, now + rng_below_u64(&core->rng, core->timing.heal_interval));
    membership_arm(core, &core->sweep, now + MN_MINUTE);
    membership_self_start(core);
}

static void membership_on_unreachable(struct membership *core, const mn_id *node)
{
    const struct membership_row *row = membership_table_find(core, node);

    membership_probe_on_unreachable(core, node);
    if (row != NULL && membership_row_is_live(row)) membership_link_dial(core, row);
}

static void membership_on_soft(struct membership *core, struct mn_span bytes)
{
    MN_ASSERT(bytes.size <= sizeof core->soft);
    if (bytes.size > 0) memcpy(core->soft, bytes.data, bytes.size);
    core->soft_size = (uint32_t)bytes.size;
}

static void membership_on_trust(struct membership *core, const struct authority *authority,
                                const struct grant_revoked *revoked)
{
    MN_ASSERT(authority != NULL);
    core->authority = authority;
    core->revoked = revoked;
    core->recheck_after = (mn_id){0};
    membership_arm(core, &core->recheck, core->now.mono);
}

static void membership_dispatch(struct membership *core, const struct membership_input *input)
{
    switch (input->type) {
    case MEMBERSHIP_IN_TICK: membership_on_tick(core); break;
    case MEMBERSHIP_IN_PACKET:
        membership_on_packet(core, &input->packet.from, input->packet.bytes);
        break;
    case MEMBERSHIP_IN_LINK_UP:
        membership_link_up(core, &input->link_up.node, input->link_up.record);
        break;
    case MEMBERSHIP_IN_LINK_DOWN:
        membership_link_down(core, &input->link_down.node, input->link_down.was_reset);
        break;
    case MEMBERSHIP_IN_UNREACHABLE:
        membership_on_unreachable(core, &input->unreachable.node);
        break;
    case MEMBERSHIP_IN_PERSISTED:
        membership_self_on_persisted(core, input->persisted.incarnation);
        break;
    case MEMBERSHIP_IN_SET_SELF: membership_self_on_change(core, input->set_self.self); break;
    case MEMBERSHIP_IN_SOFT: membership_on_soft(core, input->soft.bytes); break;
    case MEMBERSHIP_IN_TRUST:
        membership_on_trust(core, input->trust.authority, input->trust.revoked);
        break;
    case MEMBERSHIP_IN_LEAVE: membership_self_leave(core); break;
    }
}

void membership_step(struct membership *core, struct mn_now now,
                     const struct membership_input *input, struct membership_outbox *outbox)
{
    MN_ASSERT(now.mono >= core->now.mono && outbox->arena != NULL);
    core->now = now;
    core->outbox = outbox;
    membership_table_free_removed(core);
    if (!core->is_started) membership_start(core);
    if (core->life != MEMBERSHIP_GONE) membership_dispatch(core, input);
    core->outbox = NULL;
}

mn_time membership_deadline(const struct membership *core)
{
    if (!core->is_started) return 0;
    return core->life == MEMBERSHIP_GONE ? MN_TIME_NEVER : mn_heap_deadline(&core->timers);
}

/* ---- looking ---- */

const char *member_status_name(enum member_status status)
{
    switch (status) {
    case MEMBER_ALIVE: return "alive";
    case MEMBER_SUSPECT: return "suspect";
    case MEMBER_DEAD: return "dead";
    case MEMBER_LEFT: return "left";
    }
    return "unknown";
}

const struct member *membership_find(const struct membership *core, const mn_id *node)
{
    const struct membership_row *row = membership_table_find(core, node);

    return row == NULL ? NULL : &row->view;
}

const struct member *membership_next(const struct membership *core, const struct member *member)
{
    uint32_t place = membership_table_after(core, member == NULL ? NULL : &member->node_id);

    return place == core->rows_count ? NULL : &core->rows[place]->view;
}

const struct member *membership_self(const struct membership *core)
{
    return core->self == NULL ? NULL : &core->self->view;
}

bool membership_has_joined(const struct membership *core)
{
    return core->has_joined;
}

uint32_t membership_count(const struct membership *core, enum member_status status)
{
    MN_ASSERT(status >= MEMBER_ALIVE && status <= MEMBER_LEFT);
    return core->status_counts[status];
}

struct membership_stats membership_stats(const struct membership *core)
{
    struct membership_stats stats = core->stats;

    stats.health = core->health;
    return stats;
}

/* ---- invariants ---- */

static void membership_check_row(const struct membership *core, const struct membership_row *row)
{
    bool is_accused = row->view.status == MEMBER_SUSPECT || row->view.status == MEMBER_DEAD;
    bool is_probed = membership_row_is_live(row) && !row->view.is_self;

    MN_ASSERT(row->view.status >= MEMBER_ALIVE && row->view.status <= MEMBER_LEFT);
    MN_ASSERT(row->view.record == row->kept);
    MN_ASSERT(row->view.incarnation == row->kept->incarnation);
    MN_ASSERT(mn_id_equal(&row->view.node_id, &row->kept->node_id));
    MN_ASSERT((row->view.status == MEMBER_LEFT) == row->kept->has_left);
    MN_ASSERT(is_accused == (row->accusation.size > 0));
    MN_ASSERT((row->view.status == MEMBER_SUSPECT) == (row->suspicion.entry.index_plus_one != 0));
    MN_ASSERT((row->view.status == MEMBER_SUSPECT) == (row->confirmers_count > 0));
    MN_ASSERT(row->confirmations_count < MEMBERSHIP_CONFIRMERS_MAX &&
              row->confirmations_count <= row->confirmers_count);
    MN_ASSERT(is_probed == (row->order_index_plus_one != 0));
    MN_ASSERT(!is_probed || core->order[row->order_index_plus_one - 1] == row);
    MN_ASSERT(row->view.is_linked == (membership_link_find(core, &row->view.node_id) != NULL));
    MN_ASSERT(row->view.is_self == (row == core->self));
}

static void membership_check_self(const struct membership *core)
{
    MN_ASSERT(core->incarnation <= core->incarnation_persisted);
    MN_ASSERT(core->incarnation_persisted <= core->incarnation_wanted);
    MN_ASSERT((core->self == NULL) == (core->incarnation == 0));
    if (core->self == NULL) return;
    MN_ASSERT(core->self->view.incarnation == core->incarnation);
    MN_ASSERT(core->self->view.status == MEMBER_ALIVE || core->life >= MEMBERSHIP_LEAVING);
}

void membership_check(const struct membership *core)
{
    uint32_t counts[MEMBER_LEFT + 1] = {0}, probed = 0;

    for (uint32_t i = 0; i < core->rows_count; i++) {
        const struct membership_row *row = core->rows[i];
        if (i > 0)
            MN_ASSERT(mn_id_compare(&core->rows[i - 1]->view.node_id, &row->view.node_id) < 0);
        membership_check_row(core, row);
        counts[row->view.status]++;
        if (row->order_index_plus_one != 0) probed++;
    }
    for (uint32_t i = MEMBER_ALIVE; i <= MEMBER_LEFT; i++)
        MN_ASSERT(counts[i] == core->status_counts[i]);
    MN_ASSERT(probed == core->order_count && core->order_next <= core->order_count);
    MN_ASSERT(core->pool.used <= core->pool.limit && core->health <= MEMBERSHIP_HEALTH_MAX);
    membership_check_self(core);
}
