#include "mesh/membership_internal.h"

static uint32_t membership_link_index(const struct membership *core, const mn_id *node)
{
    uint32_t index = 0;

    while (index < core->links_count && !mn_id_equal(&core->links[index].node, node))
        index++;
    return index;
}

struct membership_link *membership_link_find(const struct membership *core, const mn_id *node)
{
    uint32_t index = membership_link_index(core, node);

    return index == core->links_count ? NULL : &core->links[index];
}

static struct membership_link *membership_link_add(struct membership *core, const mn_id *node)
{
    struct membership_link *link = membership_link_find(core, node);

    if (link == NULL && core->links_count == MEMBERSHIP_LINKS_MAX) return NULL;
    if (link == NULL) {
        if (core->links_count == core->links_capacity) {
            core->links_capacity = core->links_capacity == 0 ? 16 : core->links_capacity * 2;
            core->links = mn_realloc(core->links, core->links_capacity * sizeof *core->links);
        }
        link = &core->links[core->links_count++];
    }
    *link = (struct membership_link){.node = *node};
    return link;
}

void membership_link_up(struct membership *core, const mn_id *node, struct mn_span record)
{
    struct membership_link *link;
    struct membership_row *row;

    if (mn_id_equal(node, &core->identity->node_id)) return;
    link = membership_link_add(core, node);
    if (link == NULL) return; /* it is one of too many; the others spread the word */
    if (record.size > 0) membership_table_on_record(core, node, record);
    row = membership_table_find(core, node);
    if (row != NULL) {
        row->view.is_linked = true;
        membership_gossip_tell(core, row);
    }
    link->sync_wanted = mn_id_compare(&core->identity->node_id, node) < 0;
    membership_self_on_link_up(core, link);
    membership_probe_on_link_up(core, node);
    membership_sync_next(core);
    if (core->gossip.entry.index_plus_one == 0) membership_gossip_round(core);
}

void membership_link_down(struct membership *core, const mn_id *node, bool was_reset)
{
    uint32_t index = membership_link_index(core, node);
    struct membership_row *row = membership_table_find(core, node);

    if (index == core->links_count) return;
    core->links[index] = core->links[--core->links_count];
    membership_sync_on_link_down(core, node);
    if (row == NULL) return;
    row->view.is_linked = false;
    if (was_reset && membership_row_is_live(row)) membership_probe_restart(core, row);
    membership_probe_on_unreachable(core, node); /* nor can an answer to an earlier ping come */
}

/* A stranger counts as live: its record is on its way. */
static bool membership_link_is_live(const struct membership *core, const mn_id *node)
{
    const struct membership_row *row = membership_table_find(core, node);

    return row == NULL || membership_row_is_live(row);
}

/* Reservoir sampling: each of them is drawn with equal probability. */
uint32_t membership_link_draw(struct membership *core, const mn_id *but, bool is_live,
                              uint32_t count, mn_id *ret)
{
    uint32_t seen = 0;

    for (uint32_t i = 0; i < core->links_count; i++) {
        const mn_id *node = &core->links[i].node;
        uint32_t place = seen;
        if (but != NULL && mn_id_equal(node, but)) continue;
        if (is_live && !membership_link_is_live(core, node)) continue;
        if (seen++ >= count) place = rng_below(&core->rng, seen);
        if (place < count) ret[place] = *node;
    }
    return seen < count ? seen : count;
}

/* ---- dialing ---- */

static struct membership_output *membership_link_emit_dial(struct membership *core,
                                                           const struct mn_span *addrs,
                                                           uint32_t addrs_count)
{
    struct membership_output *output = membership_emit(core, MEMBERSHIP_OUT_DIAL);

    for (uint32_t i = 0; i < addrs_count; i++)
        output->dial.addrs[i] = mn_arena_copy(membership_arena(core), addrs[i]);
    output->dial.addrs_count = addrs_count;
    return output;
}

void membership_link_dial(struct membership *core, const struct membership_row *row)
{
    const struct record_self *said = &row->kept->said;

    if (row->view.is_linked || row->view.is_self || said->addrs_count == 0) return;
    membership_link_emit_dial(core, said->addrs, said->addrs_count)->dial.node = row->view.node_id;
}

static void membership_link_dial_seed(struct membership *core, const struct mn_buf *seed)
{
    struct mn_span addr = mn_buf_span(seed);

    membership_link_emit_dial(core, &addr, 1);
}

static bool membership_link_can_heal(const struct membership_row *row)
{
    return row->view.status == MEMBER_DEAD && !row->view.is_linked &&
           row->kept->said.addrs_count > 0;
}

static bool membership_link_has_addr(const struct membership_row *row, struct mn_span addr)
{
    for (uint32_t i = 0; i < row->kept->said.addrs_count; i++)
        if (mn_span_equal(row->kept->said.addrs[i], addr)) return true;
    return false;
}

/* A seed is worth a dial unless somebody we are linked to, or we ourselves, are there. */
static bool membership_link_seed_is_new(const struct membership *core, struct mn_span seed)
{
    for (uint32_t i = 0; i < core->rows_count; i++) {
        const struct membership_row *row = core->rows[i];
        if (!row->view.is_linked && !row->view.is_self) continue;
        if (membership_link_has_addr(row, seed)) return false;
    }
    return true;
}

static uint32_t membership_link_count_dead(const struct membership *core)
{
    uint32_t count = 0;

    if (core->status_counts[MEMBER_DEAD] == 0) return 0;
    for (uint32_t i = 0; i < core->rows_count; i++)
        if (membership_link_can_heal(core->rows[i])) count++;
    return count;
}

/* The [index]th candidate: first the dead, then the seeds. */
static void membership_link_dial_candidate(struct membership *core, uint32_t index)
{
    for (uint32_t i = 0; i < core->rows_count; i++) {
        if (!membership_link_can_heal(core->rows[i])) continue;
        if (index-- == 0) {
            membership_link_dial(core, core->rows[i]);
            return;
        }
    }
    for (uint32_t i = 0; i < core->seeds_count; i++) {
        if (!membership_link_seed_is_new(core, mn_buf_span(core->seeds[i]))) continue;
        if (index-- == 0) membership_link_dial_seed(core, core->seeds[i]);
    }
}

/* Many systems forget the dead, and then no side of a partition ever calls the other again. */
void membership_link_heal(struct membership *core)
{
    mn_time interval = core->timing.heal_interval, wait;
    uint32_t count = membership_link_count_dead(core);

    if (core->links_count == 0) interval = interval / 10 + 1; /* alone: hurry */
    wait = interval / 2 + rng_below_u64(&core->rng, interval);
    membership_arm(core, &core->heal, mn_time_after(core->now.mono, wait));
    for (uint32_t i = 0; i < core->seeds_count; i++)
        if (membership_link_seed_is_new(core, mn_buf_span(core->seeds[i]))) count++;
    if (count > 0 && core->life <= MEMBERSHIP_LIVE)
        membership_link_dial_candidate(core, rng_below(&core->rng, count));
}
