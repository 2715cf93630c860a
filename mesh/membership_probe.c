#include "mesh/membership_internal.h"

#include "proto/pb.h"

#define MEMBERSHIP_PROBE_DIRECT_MIN (100 * MN_MS)

/* Where we leave the paper: a round probes up to MEMBERSHIP_PARALLEL members instead of one, still
 * a constant load per node. With up to six members everybody is thus probed by everybody in each
 * period, which is what bounds the time to suspect a frozen node of a small mesh. */

/* ---- health and time ---- */

void membership_probe_add_health(struct membership *core, int32_t delta)
{
    int32_t health = (int32_t)core->health + delta;

    if (health < 0) health = 0;
    if (health > MEMBERSHIP_HEALTH_MAX) health = MEMBERSHIP_HEALTH_MAX;
    core->health = (uint32_t)health;
}

static mn_time membership_probe_scale(const struct membership *core, mn_time wait)
{
    return wait * (1 + core->health);
}

/* Lifeguard's curve: from max down to min with the logarithm of the independent confirmations.
 * ln(C+1)/ln(K+1) in thousandths, as a table: two compilers must replay one seed alike. */
mn_time membership_suspicion_us(const struct membership *core, uint32_t confirmations)
{
    static const mn_time curve[MEMBERSHIP_CONFIRMERS_MAX] = {0, 500, 792, 1000};
    uint32_t live = membership_live_count(core);
    uint32_t tenths = membership_log10_tenths(live > 0 ? live : 1);
    mn_time min = 4 * core->timing.period * (tenths > 10 ? tenths : 10) / 10;
    mn_time max = 6 * min;

    MN_ASSERT(confirmations < MEMBERSHIP_CONFIRMERS_MAX);
    if (live < 2 + MEMBERSHIP_CONFIRMERS_MAX - 1) return min; /* nobody is left to confirm */
    return max - (max - min) * curve[confirmations] / 1000;
}

/* Three times the 99th percentile, taken as mean + 4 deviations (as TCP does, RFC 6298). */
static mn_time membership_probe_direct_us(const struct membership *core,
                                          const struct membership_row *row)
{
    mn_time max = core->timing.period / 2;
    mn_time wait = 3 * (row->view.rtt_us + 4 * row->rtt_var_us);

    if (row->view.rtt_us == 0 || wait > max) return max;
    return wait < MEMBERSHIP_PROBE_DIRECT_MIN ? mn_time_min(MEMBERSHIP_PROBE_DIRECT_MIN, max)
                                              : wait;
}

static void membership_probe_learn_rtt(struct membership_row *row, mn_time rtt)
{
    mn_time mean = row->view.rtt_us, off;

    if (rtt == 0) rtt = 1;
    if (mean == 0) {
        row->view.rtt_us = rtt;
        row->rtt_var_us = rtt / 2;
        return;
    }
    off = rtt > mean ? rtt - mean : mean - rtt;
    row->rtt_var_us = (3 * row->rtt_var_us + off) / 4;
    row->view.rtt_us = (7 * mean + rtt) / 8;
}

/* ---- the order ---- */

static void membership_probe_put(struct membership *core, uint32_t index,
                                 struct membership_row *row)
{
    core->order[index] = row;
    row->order_index_plus_one = index + 1;
}

static void membership_probe_swap(struct membership *core, uint32_t a, uint32_t b)
{
    struct membership_row *row = core->order[a];

    membership_probe_put(core, a, core->order[b]);
    membership_probe_put(core, b, row);
}

void membership_probe_track(struct membership *core, struct membership_row *row)
{
    MN_ASSERT(membership_row_is_live(row) && !row->view.is_self);
    if (row->order_index_plus_one != 0) return;
    if (core->order_count == core->order_capacity) {
        core->order_capacity = core->order_capacity == 0 ? 16 : core->order_capacity * 2;
        core->order =
            mn_realloc(core->order, core->order_capacity * sizeof(struct membership_row *));
    }
    membership_probe_put(core, core->order_count++, row);
    membership_probe_swap(core, core->order_count - 1, rng_below(&core->rng, core->order_count));
}

static void membership_probe_stop(struct membership *core, struct membership_probe *probe)
{
    membership_arm(core, &probe->timer, MN_TIME_NEVER);
    probe->row = NULL;
}

void membership_probe_forget(struct membership *core, struct membership_row *row)
{
    uint32_t index = row->order_index_plus_one - 1;

    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++)
        if (core->probes[i].row == row) membership_probe_stop(core, &core->probes[i]);
    if (row->order_index_plus_one == 0) return;
    if (index < core->order_next) { /* keep those already probed in front */
        membership_probe_swap(core, index, core->order_next - 1);
        index = --core->order_next;
    }
    membership_probe_swap(core, index, core->order_count - 1);
    core->order_count--;
    row->order_index_plus_one = 0;
}

/* After a stall the answers may be waiting in the inbox: what ran out meanwhile proves nothing. */
void membership_probe_forget_all(struct membership *core)
{
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++)
        if (core->probes[i].row != NULL) membership_probe_stop(core, &core->probes[i]);
}

static void membership_probe_shuffle(struct membership *core)
{
    for (uint32_t i = core->order_count; i > 1; i--)
        membership_probe_swap(core, i - 1, rng_below(&core->rng, i));
    core->order_next = 0;
}

void membership_probe_period(struct membership *core)
{
    uint32_t count =
        core->order_count < MEMBERSHIP_PARALLEL ? core->order_count : MEMBERSHIP_PARALLEL;

    membership_arm(
        core, &core->period,
        mn_time_after(core->now.mono, membership_probe_scale(core, core->timing.period)));
    if (core->life != MEMBERSHIP_LIVE) return;
    for (uint32_t i = 0; i < count; i++) {
        if (core->order_next >= core->order_count) membership_probe_shuffle(core);
        membership_probe_start(core, core->order[core->order_next++]);
    }
}

/* ---- probing ---- */

/* Is there nothing left to wait for? No link, and every helper says the same. */
static bool membership_probe_is_hopeless(const struct membership_probe *probe)
{
    return probe->is_unreachable && probe->indirect_sent &&
           probe->nacks_count == probe->helpers_count;
}

static void membership_probe_arm(struct membership *core, struct membership_probe *probe)
{
    mn_time at = probe->ends_at;

    if (!probe->indirect_sent) at = mn_time_min(at, probe->direct_until);
    if (membership_probe_is_hopeless(probe)) at = mn_time_min(at, probe->verdict_at);
    membership_arm(core, &probe->timer, at);
}

static void membership_probe_send_ping(struct membership *core, const mn_id *to, uint32_t number)
{
    struct membership_draft draft;

    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__PING,
                          MEMBERSHIP_GOSSIP_PACKET_MAX);
    draft.message.number = number;
    membership_draft_add_greeting(core, &draft, to);
    membership_draft_send(core, &draft, to);
}

void membership_probe_start(struct membership *core, struct membership_row *row)
{
    struct membership_probe *probe = NULL;
    mn_time now = core->now.mono;

    if (core->life != MEMBERSHIP_LIVE) return;
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++) {
        if (core->probes[i].row == row) return;
        if (core->probes[i].row == NULL && probe == NULL) probe = &core->probes[i];
    }
    if (probe == NULL) return;
    *probe = (struct membership_probe){.row = row, .number = ++core->number_last};
    probe->timer.type = MEMBERSHIP_TIMER_PROBE;
    probe->started_at = now;
    probe->direct_until = now + membership_probe_scale(core, membership_probe_direct_us(core, row));
    /* A link that was reset may come back at once: give it half a period even if all helpers agree.
     * Doubled at most when we are unwell ourselves: no late answer can be on its way here. */
    probe->verdict_at = now + core->timing.period / 2 * (core->health > 0 ? 2 : 1);
    probe->ends_at = now + membership_probe_scale(core, core->timing.period);
    membership_probe_arm(core, probe);
    membership_probe_send_ping(core, &row->view.node_id, probe->number);
}

/* What an earlier probe was told, or was not, no longer counts. */
void membership_probe_restart(struct membership *core, struct membership_row *row)
{
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++)
        if (core->probes[i].row == row) membership_probe_stop(core, &core->probes[i]);
    membership_probe_start(core, row);
}

static void membership_probe_go_indirect(struct membership *core, struct membership_probe *probe)
{
    mn_time left = probe->ends_at > core->now.mono ? probe->ends_at - core->now.mono : 0;

    MN_ASSERT(!probe->indirect_sent);
    probe->indirect_sent = true;
    probe->helpers_count = membership_link_draw(core, &probe->row->view.node_id, true,
                                                MEMBERSHIP_HELPERS, probe->helpers);
    for (uint32_t i = 0; i < probe->helpers_count; i++) {
        struct membership_draft draft;
        membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__PING_REQ,
                              MEMBERSHIP_GOSSIP_PACKET_MAX);
        draft.message.number = probe->number;
        draft.message.subject = pb_id_bytes(&probe->row->view.node_id);
        draft.message.timeout_ms = (uint32_t)(left / MN_MS);
        membership_draft_send(core, &draft, &probe->helpers[i]);
    }
}

static void membership_probe_fail(struct membership *core, struct membership_probe *probe)
{
    struct membership_row *row = probe->row;
    uint32_t nacks_missing = probe->helpers_count - probe->nacks_count;

    membership_probe_stop(core, probe);
    core->stats.probes_failed++;
    /* That a suspect does not answer says nothing about us. */
    if (row->view.status == MEMBER_ALIVE)
        membership_probe_add_health(core, 1 + (int32_t)nacks_missing);
    membership_table_suspect(core, row);
}

void membership_probe_on_timer(struct membership *core, struct membership_probe *probe)
{
    mn_time now = core->now.mono;

    MN_ASSERT(probe->row != NULL);
    if (!probe->indirect_sent && now >= probe->direct_until)
        membership_probe_go_indirect(core, probe);
    if (now >= probe->ends_at || (membership_probe_is_hopeless(probe) && now >= probe->verdict_at))
        membership_probe_fail(core, probe);
    else
        membership_probe_arm(core, probe);
}

static struct membership_probe *membership_probe_find(struct membership *core, uint32_t number)
{
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++)
        if (core->probes[i].row != NULL && core->probes[i].number == number)
            return &core->probes[i];
    return NULL;
}

static bool membership_probe_is_helper(const struct membership_probe *probe, const mn_id *node)
{
    for (uint32_t i = 0; i < probe->helpers_count; i++)
        if (mn_id_equal(&probe->helpers[i], node)) return true;
    return false;
}

/* ---- pings for others ---- */

static void membership_probe_answer(struct membership *core, const mn_id *to,
                                    Meshnode__Member__Packet__Type type, uint32_t number)
{
    struct membership_draft draft;

    membership_draft_init(&draft, type, MEMBERSHIP_GOSSIP_PACKET_MAX);
    draft.message.number = number;
    if (type == MESHNODE__MEMBER__PACKET__TYPE__ACK && core->soft_size > 0)
        draft.message.soft = pb_bytes(mn_span(core->soft, core->soft_size));
    membership_draft_add_greeting(core, &draft, to);
    membership_draft_send(core, &draft, to);
}

static void membership_probe_end_relay(struct membership *core, struct membership_relay *relay)
{
    membership_arm(core, &relay->timer, MN_TIME_NEVER);
    relay->is_used = false;
}

static void membership_probe_send_nack(struct membership *core, struct membership_relay *relay)
{
    if (relay->nack_sent) return;
    relay->nack_sent = true;
    membership_probe_answer(core, &relay->asker, MESHNODE__MEMBER__PACKET__TYPE__NACK,
                            relay->asker_number);
}

/* First says that there is no answer yet, then gives up; an ACK in between is still passed on. */
void membership_probe_on_relay_timer(struct membership *core, struct membership_relay *relay)
{
    MN_ASSERT(relay->is_used);
    membership_probe_send_nack(core, relay);
    if (core->now.mono >= relay->ends_at)
        membership_probe_end_relay(core, relay);
    else
        membership_arm(core, &relay->timer, relay->ends_at);
}

static struct membership_relay *membership_probe_add_relay(struct membership *core)
{
    for (uint32_t i = 0; i < MEMBERSHIP_RELAYS_MAX; i++)
        if (!core->relays[i].is_used) return &core->relays[i];
    return NULL;
}

void membership_probe_on_ping_req(struct membership *core, const mn_id *from,
                                  const Meshnode__Member__Packet *packet)
{
    mn_time wait = packet->timeout_ms * MN_MS, now = core->now.mono;
    mn_time wait_max = core->timing.period * (1 + MEMBERSHIP_HEALTH_MAX);
    struct membership_relay *relay = membership_probe_add_relay(core);
    mn_id subject;

    if (pb_id(packet->subject, &subject) != MN_OK) {
        core->stats.packets_refused++;
        return;
    }
    if (relay == NULL || core->life != MEMBERSHIP_LIVE) {
        membership_probe_answer(core, from, MESHNODE__MEMBER__PACKET__TYPE__NACK, packet->number);
        return;
    }
    if (wait > wait_max) wait = wait_max;
    *relay = (struct membership_relay){.is_used = true,
                                       .asker = *from,
                                       .subject = subject,
                                       .asker_number = packet->number,
                                       .number = ++core->number_last,
                                       .ends_at = now + wait};
    relay->timer.type = MEMBERSHIP_TIMER_RELAY;
    membership_arm(core, &relay->timer, now + wait * 8 / 10);
    membership_probe_send_ping(core, &subject, relay->number);
}

/* ---- answers ---- */

void membership_probe_on_ping(struct membership *core, const mn_id *from,
                              const Meshnode__Member__Packet *packet)
{
    /* A stranger's ping got here before its record. */
    if (membership_table_find(core, from) == NULL) membership_gossip_want(core, from);
    membership_probe_answer(core, from, MESHNODE__MEMBER__PACKET__TYPE__ACK, packet->number);
}

static void membership_probe_pass_ack(struct membership *core, const mn_id *from, uint32_t number)
{
    for (uint32_t i = 0; i < MEMBERSHIP_RELAYS_MAX; i++) {
        struct membership_relay *relay = &core->relays[i];
        if (!relay->is_used || relay->number != number || !mn_id_equal(&relay->subject, from))
            continue;
        membership_probe_answer(core, &relay->asker, MESHNODE__MEMBER__PACKET__TYPE__ACK,
                                relay->asker_number);
        membership_probe_end_relay(core, relay);
        return;
    }
}

void membership_probe_on_ack(struct membership *core, const mn_id *from,
                             const Meshnode__Member__Packet *packet)
{
    struct membership_probe *probe = membership_probe_find(core, packet->number);
    struct mn_span soft = pb_span(packet->soft);

    if (soft.size > 0) {
        struct membership_output *output = membership_emit(core, MEMBERSHIP_OUT_SOFT);
        output->soft.node = *from;
        output->soft.bytes = soft;
    }
    if (probe == NULL) {
        membership_probe_pass_ack(core, from, packet->number);
        return;
    }
    if (mn_id_equal(&probe->row->view.node_id, from))
        membership_probe_learn_rtt(probe->row, core->now.mono - probe->started_at);
    else if (!membership_probe_is_helper(probe, from))
        return;
    membership_probe_add_health(core, -1);
    membership_probe_stop(core, probe);
}

void membership_probe_on_nack(struct membership *core, const mn_id *from,
                              const Meshnode__Member__Packet *packet)
{
    struct membership_probe *probe = membership_probe_find(core, packet->number);

    if (probe == NULL || !membership_probe_is_helper(probe, from)) return;
    if (probe->nacks_count == probe->helpers_count) return; /* somebody answers twice */
    probe->nacks_count++;
    membership_probe_arm(core, probe);
}

/* ---- what the links say ---- */

/* No link to a target: ask others at once. No link to a helper: that one will not answer. */
static void membership_probe_lose(struct membership *core, struct membership_probe *probe,
                                  const mn_id *node)
{
    if (mn_id_equal(&probe->row->view.node_id, node)) {
        probe->is_unreachable = true;
        if (!probe->indirect_sent) membership_probe_go_indirect(core, probe);
    } else if (membership_probe_is_helper(probe, node)) {
        if (probe->nacks_count < probe->helpers_count) probe->nacks_count++;
    } else {
        return;
    }
    membership_probe_arm(core, probe);
}

void membership_probe_on_unreachable(struct membership *core, const mn_id *node)
{
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++)
        if (core->probes[i].row != NULL) membership_probe_lose(core, &core->probes[i], node);
    for (uint32_t i = 0; i < MEMBERSHIP_RELAYS_MAX; i++) {
        struct membership_relay *relay = &core->relays[i];
        if (relay->is_used && mn_id_equal(&relay->subject, node))
            membership_probe_send_nack(core, relay);
    }
}

void membership_probe_on_link_up(struct membership *core, const mn_id *node)
{
    for (uint32_t i = 0; i < MEMBERSHIP_PROBES_MAX; i++) {
        struct membership_probe *probe = &core->probes[i];
        if (probe->row == NULL || !mn_id_equal(&probe->row->view.node_id, node)) continue;
        probe->is_unreachable = false;
        membership_probe_arm(core, probe);
        membership_probe_send_ping(core, node, probe->number);
    }
}
