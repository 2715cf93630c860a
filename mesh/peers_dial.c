#include "mesh/address.h"
#include "mesh/peers_internal.h"

/* ---- targets ---- */

static struct mn_span target_key(const struct target *target)
{
    if (target->is_seed) return mn_span_str(target->addrs[0].text);
    return mn_span(target->node_id.bytes, sizeof target->node_id.bytes);
}

static struct target *peers_find_target(const struct peers *peers, struct mn_span key)
{
    struct mn_map_entry *entry = mn_map_find(&peers->targets_by_key, key);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct target, entry);
}

static struct mn_span node_key(const mn_id *node_id)
{
    return mn_span(node_id->bytes, sizeof node_id->bytes);
}

/* Takes the address over if it is new, printable and fits. */
static void target_add_address(struct target *target, struct mn_span address)
{
    struct target_address *to = &target->addrs[target->addrs_count];

    if (address.size == 0 || address.size >= PEERS_ADDRESS_SIZE) return;
    for (size_t i = 0; i < address.size; i++)
        if (address.data[i] <= ' ' || address.data[i] >= 127) return;
    for (uint32_t i = 0; i < target->addrs_count; i++)
        if (mn_span_equal(mn_span_str(target->addrs[i].text), address)) return;
    *to = (struct target_address){.is_own = false};
    memcpy(to->text, address.data, address.size);
    target->addrs_count++;
}

static struct target *target_new(struct peers *peers, const mn_id *node_id,
                                 const struct mn_span *addrs, uint32_t addrs_count)
{
    struct target *target;

    if (peers->counts.targets >= peers->config.limits.targets) return NULL;
    target = mn_alloc(sizeof *target);
    target->is_seed = mn_id_is_zero(node_id);
    target->node_id = *node_id;
    for (uint32_t i = 0; i < addrs_count; i++)
        target_add_address(target, addrs[i]);
    if (target->addrs_count == 0) {
        mn_free(target);
        return NULL;
    }
    mn_list_push_back(&peers->targets, &target->order);
    mn_map_insert(&peers->targets_by_key, &target->entry, target_key(target));
    peers->counts.targets++;
    return target;
}

void target_free(struct peers *peers, struct target *target)
{
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        struct conn *conn = PEERS_CONN(entry, order);
        if (conn->target == target) conn->target = NULL;
    }
    mn_heap_remove(&peers->target_timers, &target->timer);
    mn_map_remove(&peers->targets_by_key, &target->entry);
    mn_list_remove(&target->order);
    peers->counts.targets--;
    mn_free(target);
}

static void target_set_timer(struct peers *peers, struct target *target, mn_time at)
{
    mn_heap_set(&peers->target_timers, &target->timer, at);
}

/* There is a link already; of a seed that let us in no further than the door, any will do. */
static bool target_is_linked(const struct peers *peers, const struct target *target)
{
    if (mn_id_is_zero(&target->node_id)) return false;
    if (peers_find_member(peers, &target->node_id) != NULL) return true;
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        const struct conn *conn = PEERS_CONN(entry, order);
        if (conn->state >= CONN_HELLO && conn->state <= CONN_UP &&
            mn_id_equal(&conn->info.node_id, &target->node_id))
            return true;
    }
    return false;
}

/* Doubling from backoff_min to backoff_max, the upper half of it drawn. */
static mn_time target_backoff(struct peers *peers, const struct target *target)
{
    const struct peers_timing *timing = &peers->config.timing;
    uint32_t doublings = target->failures == 0 ? 0 : target->failures - 1;
    mn_time delay = timing->backoff_max;

    if (doublings < 20) delay = mn_time_min(delay, timing->backoff_min << doublings);
    return delay / 2 + rng_below_u64(&peers->rng, delay / 2 + 1);
}

/* ---- dialing ---- */

static void peers_dial(struct peers *peers, struct mn_now now, struct target *target,
                       const char *address, const mn_id *expected, bool is_renewal)
{
    struct conn *conn = conn_new(peers, *peers->config.conns_next, CONN_DIALING);
    struct peers_output *output;

    *peers->config.conns_next += peers->config.conns_step;
    conn->info.is_dialer = true;
    conn->is_renewal = is_renewal;
    conn->expected = *expected;
    conn->info.node_id = *expected;
    conn->target = target;
    if (target != NULL) target->dials++;
    memcpy(conn->info.dialed, address, strlen(address) + 1);
    conn->until = mn_time_after(now.mono, peers->config.timing.dial);
    peers->counts.dials++;
    conn_set_timer(peers, conn);
    output = peers_emit(peers, PEERS_OUT_DIAL);
    output->conn = conn->info.conn;
    output->address = mn_arena_copy(peers->outbox->arena, mn_span_str(address));
}

void peers_dial_successor(struct peers *peers, struct mn_now now, struct conn *conn)
{
    conn->renew_at = mn_time_after(now.mono, peers->config.timing.renew / 16 + MN_SEC);
    if (peers->is_stopping || conn->info.dialed[0] == 0) return;
    peers_dial(peers, now, NULL, conn->info.dialed, &conn->info.node_id, true);
}

/* Nothing of this round is left: try again later, or forget it. */
static void target_end_round(struct peers *peers, struct mn_now now, struct target *target)
{
    if (!target->is_kept) {
        target_free(peers, target);
        return;
    }
    target->addrs_tried = 0;
    if (target->failures < UINT32_MAX) target->failures++;
    target_set_timer(peers, target, mn_time_after(now.mono, target_backoff(peers, target)));
}

/* Dials the next address of the round; the one after it follows soon, not after a failure only
 * (Schinazi & Pauly, "Happy Eyeballs", RFC 8305). */
void target_on_timer(struct peers *peers, struct mn_now now, struct target *target)
{
    static const mn_id nobody;
    const mn_id *expected = target->is_seed ? &nobody : &target->node_id;
    const struct target_address *address;

    target_set_timer(peers, target, MN_TIME_NEVER);
    if (peers->is_stopping || target_is_linked(peers, target)) return;
    if (!mn_id_is_zero(&target->node_id) && gate_is_banned(peers->gate, now, &target->node_id)) {
        target_end_round(peers, now, target);
        return;
    }
    while (target->addrs_tried < target->addrs_count && target->addrs[target->addrs_tried].is_own)
        target->addrs_tried++;
    if (target->addrs_tried == target->addrs_count) {
        if (target->dials == 0) target_end_round(peers, now, target);
        return;
    }
    if (peers->counts.dials >= peers->config.limits.dials) {
        target_set_timer(peers, target, mn_time_after(now.mono, peers->config.timing.stagger));
        return;
    }
    address = &target->addrs[target->addrs_tried++];
    if (target->addrs_tried < target->addrs_count)
        target_set_timer(peers, target, mn_time_after(now.mono, peers->config.timing.stagger));
    peers_dial(peers, now, target, address->text, expected, false);
}

static void report_dial_failed(struct peers *peers, struct mn_now now, const struct conn *conn,
                               mn_status status)
{
    struct peers_output *output = peers_emit(peers, PEERS_OUT_DIAL_FAILED);

    output->node_id = conn->info.node_id;
    output->status = status;
    output->address = mn_arena_copy(peers->outbox->arena, mn_span_str(conn->info.dialed));
    peers->counts.dials_failed++;
    mn_trace(peers->config.trace, now.mono, MN_EV_DIAL_FAILED, &conn->info.node_id,
             conn->target == NULL ? 0 : conn->target->failures, 0, conn->info.dialed);
}

static bool target_is_all_own(const struct target *target)
{
    for (uint32_t i = 0; i < target->addrs_count; i++)
        if (!target->addrs[i].is_own) return false;
    return true;
}

void target_on_dial_done(struct peers *peers, struct mn_now now, struct conn *conn, bool is_up,
                         mn_status status)
{
    struct target *target = conn->target;

    if (!conn->info.is_dialer) return;
    if (!is_up && status != MN_EXISTS && status != MN_OK)
        report_dial_failed(peers, now, conn, status);
    if (target == NULL) return;
    conn->target = NULL;
    target->dials--;
    if (is_up) {
        target->addrs_tried = 0;
        if (target->dials == 0) target_set_timer(peers, target, MN_TIME_NEVER);
        if (!target->is_kept && target->dials == 0) target_free(peers, target);
        return;
    }
    if (target->dials > 0) return;
    if (target_is_all_own(target)) {
        target_free(peers, target);
    } else if (target_is_linked(peers, target)) {
        target->addrs_tried = 0;
        if (!target->is_kept) target_free(peers, target);
    } else if (target->addrs_tried < target->addrs_count) {
        target_set_timer(peers, target, now.mono); /* the next one at once */
    } else {
        target_end_round(peers, now, target);
    }
}

void target_on_own(struct peers *peers, struct conn *conn)
{
    struct peers_output *output = peers_emit(peers, PEERS_OUT_OWN_ADDRESS);
    struct target *target = conn->target;

    output->address = mn_arena_copy(peers->outbox->arena, mn_span_str(conn->info.dialed));
    if (target == NULL) return;
    for (uint32_t i = 0; i < target->addrs_count; i++)
        if (strcmp(target->addrs[i].text, conn->info.dialed) == 0) target->addrs[i].is_own = true;
}

/* ---- the owner's wishes ---- */

static void target_wish(struct peers *peers, struct mn_now now, const struct peers_dial *dial,
                        const struct mn_span *addrs, uint32_t addrs_count)
{
    bool is_seed = mn_id_is_zero(&dial->node_id);
    struct mn_span key = is_seed ? addrs[0] : node_key(&dial->node_id);
    struct target *target = peers_find_target(peers, key);

    if (target == NULL) {
        target = target_new(peers, &dial->node_id, addrs, addrs_count);
        if (target == NULL) return;
    } else if (!is_seed && addrs_count > 0) {
        target->addrs_count = 0;
        for (uint32_t i = 0; i < addrs_count; i++)
            target_add_address(target, addrs[i]);
        if (target->addrs_tried > target->addrs_count) target->addrs_tried = target->addrs_count;
    }
    target->is_kept |= dial->is_kept;
    if (target->dials == 0) {
        target->addrs_tried = 0;
        target_on_timer(peers, now, target);
    }
}

void peers_on_dial(struct peers *peers, struct mn_now now, const struct peers_dial *dial)
{
    uint32_t count = dial->addrs_count < PEERS_ADDRS_MAX ? dial->addrs_count : PEERS_ADDRS_MAX;

    if (peers->is_stopping || count == 0) return;
    if (mn_id_equal(&dial->node_id, &peers->config.self->node_id)) return;
    if (!mn_id_is_zero(&dial->node_id)) {
        if (dial->is_kept || peers_find_member(peers, &dial->node_id) == NULL)
            target_wish(peers, now, dial, dial->addrs, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        target_wish(peers, now, dial, &dial->addrs[i], 1);
}

void peers_on_forget(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    bool is_seed = mn_id_is_zero(&input->node_id);
    struct target *target =
        peers_find_target(peers, is_seed ? input->address : node_key(&input->node_id));

    (void)now;
    if (target != NULL) target_free(peers, target);
}

void peers_stop_dialing(struct peers *peers, struct mn_now now)
{
    (void)now;
    while (!mn_list_is_empty(&peers->targets))
        target_free(peers, MN_CONTAINER(peers->targets.next, struct target, order));
}

void peers_on_lost(struct peers *peers, struct mn_now now, const mn_id *node_id, bool was_short)
{
    MN_LIST_FOR_EACH (entry, &peers->targets) {
        struct target *target = MN_CONTAINER(entry, struct target, order);
        if (!mn_id_equal(&target->node_id, node_id) || target->dials > 0 || !target->is_kept)
            continue;
        if (!was_short) target->failures = 0;
        target_end_round(peers, now, target);
    }
}

bool peers_knows_address(const struct peers *peers, struct mn_span address)
{
    struct mn_span host = address_host(address);

    MN_LIST_FOR_EACH (entry, &peers->conns) {
        const struct conn *conn = PEERS_CONN(entry, order);
        if (conn->state == CONN_UP && conn->info.kind == PEERS_MEMBER &&
            mn_span_equal(address_host(mn_span_str(conn->info.address)), host))
            return true;
    }
    MN_LIST_FOR_EACH (entry, &peers->targets) {
        const struct target *target = MN_CONTAINER(entry, struct target, order);
        for (uint32_t i = 0; !target->is_seed && i < target->addrs_count; i++)
            if (mn_span_equal(address_host(mn_span_str(target->addrs[i].text)), host)) return true;
    }
    return false;
}
