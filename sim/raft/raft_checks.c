/* What must hold across nodes (Ongaro & Ousterhout, figure 3), and between configurations. The sums
 * here are made from the definition, not by the arithmetic under test. */
#include "consensus/raft_internal.h"
#include "consensus/raft_wire.h"
#include "sim/raft/raft_sim.h"

/* A leader is there so soon after the faults ended: what was under way then, a late message or a
 * slow write, may take its time; then come some election timeouts. */
#define SETTLE (1500 * MN_MS)
#define LEADER_WITHIN 20u

struct known { /* an entry, or the leader of a term */
    struct mn_map_entry entry;
    uint64_t key[2];
    uint64_t value[2];
};

/* Notes (key -> value) or compares with what was noted. */
static bool note(struct mn_map *map, uint64_t a, uint64_t b, uint64_t value, uint64_t more)
{
    uint64_t key[2] = {a, b};
    struct mn_map_entry *found = mn_map_find(map, mn_span(key, sizeof key));
    struct known *known;

    if (found != NULL) {
        known = MN_CONTAINER(found, struct known, entry);
        return known->value[0] == value && known->value[1] == more;
    }
    known = mn_alloc(sizeof *known);
    known->key[0] = a;
    known->key[1] = b;
    known->value[0] = value;
    known->value[1] = more;
    mn_map_insert(map, &known->entry, mn_span(known->key, sizeof known->key));
    return true;
}

static void forget(struct mn_map *map)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(map, NULL)) != NULL) {
        mn_map_remove(map, entry);
        mn_free(MN_CONTAINER(entry, struct known, entry));
    }
    mn_map_done(map);
}

void raft_checks_init(struct raft_world *world)
{
    mn_map_init(&world->leaders, 1);
    mn_map_init(&world->entries, 2);
}

void raft_checks_done(struct raft_world *world)
{
    forget(&world->leaders);
    forget(&world->entries);
    mn_free(world->chain);
}

/* Log matching: an index and a term name one entry, after one other. */
void raft_checks_persist(struct raft_host *host, const struct raft_persist *persist)
{
    struct raft_entry before;

    for (uint32_t i = 0; i < persist->entries_count; i++) {
        const struct raft_entry *entry = &persist->entries[i];
        uint64_t hash = (uint64_t)entry->kind;
        if (!raft_entry_at(host->raft, entry->index - 1, &before)) continue;
        for (size_t k = 0; k < entry->data.size; k++)
            hash = (hash ^ entry->data.data[k]) * 0x100000001b3U;
        if (!note(&host->world->entries, entry->index, entry->term, before.term, hash))
            raft_world_fail(host->world, "log matching: n%u has another entry at %llu, term %llu",
                            host->index, (unsigned long long)entry->index,
                            (unsigned long long)entry->term);
    }
}

static void chain_grow(struct raft_world *world, uint64_t index)
{
    while (world->chain_capacity <= index) {
        uint64_t capacity = world->chain_capacity == 0 ? 1024 : 2 * world->chain_capacity;
        world->chain = mn_realloc(world->chain, capacity * sizeof *world->chain);
        for (uint64_t i = world->chain_capacity; i < capacity; i++)
            world->chain[i] = (struct raft_chain){0};
        world->chain_capacity = capacity;
    }
}

static bool is_quorum(const struct quorum_config *config, uint32_t hosts)
{
    uint64_t in[2] = {0}, all[2] = {0};

    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct quorum_member *member = &config->members[i];
        uint32_t host = member->id.bytes[15] - 1u;
        const uint32_t weights[2] = {member->weight, member->weight_old};
        for (int half = 0; half < 2; half++) {
            all[half] += weights[half];
            if (hosts >> host & 1) in[half] += weights[half];
        }
    }
    return 2 * in[0] > all[0] && (all[1] == 0 || 2 * in[1] > all[1]);
}

static bool is_on_disk(const struct raft_disk *disk, const struct raft_entry *entry)
{
    const struct raft_recovered *now = &disk->now;
    uint64_t first = now->entries_count == 0 ? 0 : now->entries[0].index;

    if (entry->index <= now->snapshot.index) return true;
    if (first == 0 || entry->index < first || entry->index - first >= now->entries_count)
        return false;
    return now->entries[entry->index - first].term == entry->term;
}

/* Committed for the first time anywhere: it is durable at a majority of the weight. (A log that was
 * corrupted may have held it.) */
static void check_durable(struct raft_host *host, const struct raft_entry *entry)
{
    struct raft_world *world = host->world;
    uint32_t holders = 0;

    if ((world->faults & (1u << RAFT_FAULT_CORRUPT | 1u << RAFT_FAULT_ROT)) != 0) return;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (is_on_disk(&world->hosts[i].disk, entry)) holders |= 1u << i;
    if (!is_quorum(raft_view(host->raft).config, holders))
        raft_world_fail(world, "durability: n%u commits %llu, which no quorum has on disk",
                        host->index, (unsigned long long)entry->index);
}

void raft_checks_applied(struct raft_host *host, const struct raft_entry *entry)
{
    struct raft_world *world = host->world;
    struct raft_chain *chain;
    bool is_new;

    if (entry->kind == RAFT_ENTRY_CONFIG && entry->index > world->committed_index) {
        world->committed_index = entry->index;
        world->committed_term = entry->term;
        if (raft_config_decode(entry->data, &world->committed) != MN_OK)
            raft_world_fail(world, "a configuration does not decode");
    }

    chain_grow(world, entry->index);
    chain = &world->chain[entry->index];
    is_new = chain->committed_in == 0;
    if (is_new) {
        check_durable(host, entry);
        *chain = (struct raft_chain){entry->term, host->kv.chain, raft_view(host->raft).term};
        if (entry->index > world->chain_count) world->chain_count = entry->index;
    }
    if (is_new) raft_client_probe(host);
    if (chain->hash != host->kv.chain)
        raft_world_fail(world, "state machine safety: n%u applied something else at %llu",
                        host->index, (unsigned long long)entry->index);
}

void raft_checks_restored(struct raft_host *host, const struct raft_snapshot *snapshot)
{
    struct raft_world *world = host->world;

    if (snapshot->index == 0) return;
    if (host->kv.index != snapshot->index || snapshot->index >= world->chain_capacity ||
        world->chain[snapshot->index].hash != host->kv.chain)
        raft_world_fail(world, "state machine safety: n%u has a wrong snapshot at %llu",
                        host->index, (unsigned long long)snapshot->index);
}

/* A leader has all that was committed in terms before its own. */
static void check_complete(struct raft_host *host, const struct raft_view *view)
{
    struct raft_world *world = host->world;
    uint64_t from = view->snapshot_index;
    struct raft_entry entry;

    /* What it has, it keeps: a leader only appends. */
    if (host->complete_term == view->term && host->complete_upto > from) from = host->complete_upto;
    for (uint64_t i = from + 1; i <= world->chain_count; i++) {
        const struct raft_chain *chain = &world->chain[i];
        if (chain->committed_in == 0 || chain->committed_in >= view->term) continue;
        if (raft_entry_at(host->raft, i, &entry) && entry.term == chain->term) continue;
        raft_world_fail(world, "leader completeness: n%u leads term %llu without entry %llu",
                        host->index, (unsigned long long)view->term, (unsigned long long)i);
        return;
    }
    host->complete_term = view->term;
    host->complete_upto = world->chain_count;
}

/* ---- configurations ---- */

static bool do_intersect(const struct raft_world *world, const struct quorum_config *a,
                         const struct quorum_config *b)
{
    uint32_t sets = 1u << world->hosts_count;

    for (uint32_t set = 0; set < sets; set++)
        if (is_quorum(a, set) && is_quorum(b, sets - 1 - set)) return false;
    return true;
}

/* A configuration that may decide meets the newest committed one, which may decide too. One of an
 * earlier term may not, whatever its index: whoever committed a configuration in the later term had
 * committed an entry of that term before, so nobody is elected any more with a log that ends with
 * the earlier one. */
static void check_config(struct raft_host *host, const struct raft_view *view)
{
    struct raft_world *world = host->world;
    uint64_t pair[4];
    struct raft_entry entry;

    if (view->config->members_count == 0) return;
    if (!raft_entry_at(host->raft, view->config_index, &entry)) return;
    if (entry.term < world->committed_term) return;
    if (view->config_index <= world->committed_index) return;
    pair[0] = view->config_index;
    pair[1] = entry.term;
    pair[2] = world->committed_index;
    pair[3] = world->committed_term;
    if (memcmp(pair, host->config_checked, sizeof pair) == 0) return; /* as a moment ago */
    memcpy(host->config_checked, pair, sizeof pair);
    if (!do_intersect(world, view->config, &world->committed))
        raft_world_fail(world, "configurations: n%u may decide without the committed one",
                        host->index);
}

/* The configuration in effect is the newest one in the log, else the snapshot's. */
static void check_effect(struct raft_host *host, const struct raft_view *view)
{
    struct raft_entry entry;
    uint64_t newest = 0;

    if (view->last_index == host->last_seen && view->snapshot_index == host->first_seen &&
        view->config_index == host->config_seen)
        return;
    host->last_seen = view->last_index;
    host->first_seen = view->snapshot_index;
    host->config_seen = view->config_index;
    for (uint64_t i = view->last_index; i > view->snapshot_index && newest == 0; i--)
        if (raft_entry_at(host->raft, i, &entry) && entry.kind == RAFT_ENTRY_CONFIG) newest = i;
    if (newest > 0 ? view->config_index != newest : view->config_index > view->snapshot_index)
        raft_world_fail(host->world, "configurations: n%u uses that of %llu, its newest is at %llu",
                        host->index, (unsigned long long)view->config_index,
                        (unsigned long long)newest);
}

/* What it takes for durable is on the disk, as it stands in memory. */
static void check_synced(struct raft_host *host)
{
    uint64_t synced = host->raft->log.synced;
    struct raft_entry entry;

    if (synced > raft_view(host->raft).last_index)
        raft_world_fail(host->world, "durability: n%u has synced more than it has", host->index);
    if (!raft_entry_at(host->raft, synced, &entry)) return;
    if (!is_on_disk(&host->disk, &entry))
        raft_world_fail(host->world, "durability: n%u takes entry %llu for synced", host->index,
                        (unsigned long long)synced);
}

/* A leader moves its commit index only to entries of its own term (section 5.4.2). */
static void check_commit(struct raft_host *host, const struct raft_view *view)
{
    struct raft_entry entry;

    if (view->commit < host->commit_seen)
        raft_world_fail(host->world, "commit fell at n%u", host->index);
    if (view->role == RAFT_LEADER && host->term_led == view->term &&
        view->commit > host->commit_seen && raft_entry_at(host->raft, view->commit, &entry) &&
        entry.term != view->term)
        raft_world_fail(
            host->world, "commit: n%u counts copies of an entry of term %llu in term %llu",
            host->index, (unsigned long long)entry.term, (unsigned long long)view->term);
    host->commit_seen = view->commit;
    host->term_led = view->role == RAFT_LEADER ? view->term : 0;
}

/* Who lost what it had promised is believed again when its leader has committed something in its
 * own term without it: from then on nobody leads who was elected by what is forgotten. */
static void check_healed(struct raft_host *host, const struct raft_view *view)
{
    bool is_healed = host->was_wounded && !view->is_wounded;
    uint64_t term;

    host->was_wounded = view->is_wounded;
    if (!is_healed) return;
    if (!raft_log_term(&host->raft->log, view->commit, &term) || term != view->term)
        raft_world_fail(host->world, "healing: n%u may vote, and term %llu has committed nothing",
                        host->index, (unsigned long long)view->term);
}

/* What was shown by a leader of an earlier term counts for nothing. */
static void shown_begin(struct raft_host *host, uint64_t term)
{
    if (host->shown_in == term) return;
    host->shown_in = term;
    host->shown_upto = host->commit_seen;
}

/* What it acknowledges, a leader has just shown it. */
void raft_checks_sent(struct raft_host *host, const struct raft_msg *msg)
{
    if (msg->type != RAFT_MSG_APPEND_ACK || msg->is_reject) return;
    shown_begin(host, msg->term);
    if (msg->index > host->shown_upto) host->shown_upto = msg->index;
}

/* Of who lost what it had acknowledged, nobody knows what its log is like now: that its leader has
 * committed so much says nothing about entries of its own that this leader has not seen since. What
 * it knew itself when it began is another matter. */
static void check_believed(struct raft_host *host, const struct raft_view *view)
{
    if (!view->is_wounded) return;
    if (!host->was_wounded && view->commit > host->commit_seen) host->commit_seen = view->commit;
    shown_begin(host, view->term);
    if (view->commit > host->shown_upto)
        raft_world_fail(host->world, "healing: n%u takes %llu for committed, and was shown %llu",
                        host->index, (unsigned long long)view->commit,
                        (unsigned long long)host->shown_upto);
}

/* All of the log only when it is another one than after the step before. */
static void check_core(struct raft_host *host, const struct raft_view *view)
{
    const uint64_t now[] = {host->boot,           host->raft->log.generation, view->last_index,
                            view->snapshot_index, view->config_index,         view->first_index};

    _Static_assert(sizeof now == sizeof host->log_checked, "the same values");
    if (memcmp(now, host->log_checked, sizeof now) == 0) {
        raft_check_state(host->raft);
        return;
    }
    memcpy(host->log_checked, now, sizeof now);
    raft_check(host->raft);
}

void raft_checks_step(struct raft_host *host)
{
    struct raft_world *world = host->world;
    struct raft_view view = raft_view(host->raft);

    check_core(host, &view);
    check_believed(host, &view);
    check_healed(host, &view);
    check_commit(host, &view);
    check_effect(host, &view);
    check_synced(host);
    check_config(host, &view);
    if (view.role != RAFT_LEADER) return;
    if (!note(&world->leaders, view.term, 0, host->index, 0))
        raft_world_fail(world, "election safety: two leaders of term %llu",
                        (unsigned long long)view.term);
    check_complete(host, &view);
}

/* ---- the end: nothing was disturbed for a while ---- */

void raft_checks_end(struct raft_world *world)
{
    struct raft_host *leader = raft_world_leader(world);
    struct raft_view view;

    if (leader == NULL) {
        raft_world_fail(world, "liveness: no leader at the end");
        return;
    }
    view = raft_view(leader->raft);
    for (uint32_t i = 0; i < view.config->members_count; i++) {
        const struct raft_host *host = &world->hosts[view.config->members[i].id.bytes[15] - 1];
        struct raft_view other = raft_view(host->raft);
        if (other.commit != view.commit || other.is_wounded || host->kv.chain != leader->kv.chain)
            raft_world_fail(world, "liveness: n%u is at %llu, the leader n%u at %llu", host->index,
                            (unsigned long long)other.commit, leader->index,
                            (unsigned long long)view.commit);
    }
    if (view.config->is_joint) raft_world_fail(world, "liveness: a joint configuration stays");
    if (world->stats.slowest_leader > SETTLE + LEADER_WITHIN * leader->config.election_timeout)
        raft_world_fail(world, "liveness: a leader only %llu us after the faults",
                        (unsigned long long)world->stats.slowest_leader);
    for (uint32_t i = 0; i < RAFT_CLIENTS; i++)
        if (world->clients[i].is_open)
            raft_world_fail(world, "liveness: an operation is not answered");
    for (uint32_t key = 0; key < RAFT_KEYS; key++)
        if (!raft_linear_check(world->history[key].ops, world->history[key].count))
            raft_world_fail(world, "linearizability: no order explains key %u", key);
}
