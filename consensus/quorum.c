#include "consensus/quorum.h"

#include <string.h>

#include "proto/base/check.h"

_Static_assert(QUORUM_MEMBERS_MAX <= 32, "a set of members is one u32");
_Static_assert(QUORUM_VOTERS_MAX <= 16, "the exact test tries 2^voters sets");

uint32_t quorum_weight(const struct quorum_config *config, uint32_t index, enum quorum_half half)
{
    const struct quorum_member *member = &config->members[index];

    return half == QUORUM_NEW ? member->weight : member->weight_old;
}

static bool quorum_member_is_valid(const struct quorum_config *config, uint32_t index)
{
    const struct quorum_member *member = &config->members[index];

    if (index > 0 && mn_id_compare(&config->members[index - 1].id, &member->id) >= 0) return false;
    if (!config->is_joint && member->weight_old != 0) return false;
    if (member->is_learner) return member->weight == 0;
    return member->weight != 0 || member->weight_old != 0;
}

mn_status quorum_check(const struct quorum_config *config)
{
    uint32_t voters = 0;
    uint64_t total_new, total_old;

    if (config->members_count == 0 || config->members_count > QUORUM_MEMBERS_MAX) return MN_CONFIG;
    for (uint32_t i = 0; i < config->members_count; i++) {
        if (!quorum_member_is_valid(config, i)) return MN_CONFIG;
        if (config->members[i].weight != 0 || config->members[i].weight_old != 0) voters++;
    }
    if (voters > QUORUM_VOTERS_MAX) return MN_CONFIG;
    total_new = quorum_total(config, QUORUM_NEW);
    total_old = quorum_total(config, QUORUM_OLD);
    if (total_new == 0 || total_new > QUORUM_TOTAL_MAX) return MN_CONFIG;
    if (total_old > QUORUM_TOTAL_MAX || config->is_joint != (total_old != 0)) return MN_CONFIG;
    return MN_OK;
}

/* The first member whose id is not below [id]. */
static uint32_t quorum_place(const struct quorum_config *config, const mn_id *id)
{
    uint32_t i = 0;

    while (i < config->members_count && mn_id_compare(&config->members[i].id, id) < 0)
        i++;
    return i;
}

int quorum_find(const struct quorum_config *config, const mn_id *id)
{
    uint32_t i = quorum_place(config, id);

    if (i == config->members_count || !mn_id_equal(&config->members[i].id, id)) return -1;
    return (int)i;
}

mn_status quorum_set(struct quorum_config *config, const struct quorum_member *member)
{
    uint32_t i = quorum_place(config, &member->id);

    if (i < config->members_count && mn_id_equal(&config->members[i].id, &member->id)) {
        config->members[i] = *member;
        return MN_OK;
    }
    if (config->members_count == QUORUM_MEMBERS_MAX) return MN_FULL;
    memmove(&config->members[i + 1], &config->members[i],
            (config->members_count - i) * sizeof *member);
    config->members[i] = *member;
    config->members_count++;
    return MN_OK;
}

void quorum_remove(struct quorum_config *config, const mn_id *id)
{
    int found = quorum_find(config, id);
    uint32_t i = (uint32_t)found;

    if (found < 0) return;
    config->members_count--;
    memmove(&config->members[i], &config->members[i + 1],
            (config->members_count - i) * sizeof config->members[0]);
}

bool quorum_equal(const struct quorum_config *a, const struct quorum_config *b)
{
    if (a->members_count != b->members_count || a->is_joint != b->is_joint) return false;
    for (uint32_t i = 0; i < a->members_count; i++) {
        const struct quorum_member *x = &a->members[i], *y = &b->members[i];
        if (!mn_id_equal(&x->id, &y->id) || x->weight != y->weight) return false;
        if (x->weight_old != y->weight_old || x->is_learner != y->is_learner) return false;
    }
    return true;
}

uint32_t quorum_voters(const struct quorum_config *config)
{
    uint32_t set = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        if (config->members[i].weight != 0 || config->members[i].weight_old != 0) set |= 1u << i;
    return set;
}

bool quorum_is_voter(const struct quorum_config *config, const mn_id *id)
{
    int i = quorum_find(config, id);

    return i >= 0 && (quorum_voters(config) >> i & 1) != 0;
}

uint64_t quorum_sum(const struct quorum_config *config, uint32_t set, enum quorum_half half)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        if (set >> i & 1) sum += quorum_weight(config, i, half);
    return sum;
}

uint64_t quorum_total(const struct quorum_config *config, enum quorum_half half)
{
    return quorum_sum(config, UINT32_MAX, half);
}

/* [sum] of [total] decides. Strict: two halves of an even total must not both win. */
static bool quorum_decides(uint64_t sum, uint64_t total)
{
    return 2 * sum > total;
}

static bool quorum_has_half(const struct quorum_config *config, uint32_t set, enum quorum_half half)
{
    uint64_t total = quorum_total(config, half);

    return total == 0 || quorum_decides(quorum_sum(config, set, half), total);
}

bool quorum_lacks(const struct quorum_config *config, uint32_t set, enum quorum_half *ret)
{
    for (*ret = QUORUM_NEW; *ret <= QUORUM_OLD; ++*ret)
        if (!quorum_has_half(config, set, *ret)) return true;
    return false;
}

bool quorum_has(const struct quorum_config *config, uint32_t set)
{
    enum quorum_half half;
    return config->members_count > 0 && !quorum_lacks(config, set, &half);
}

enum quorum_result quorum_vote(const struct quorum_config *config, uint32_t yes, uint32_t no)
{
    if (quorum_has(config, yes)) return QUORUM_WON;
    if (!quorum_has(config, ~no)) return QUORUM_LOST;
    return QUORUM_PENDING;
}

/* Members by falling value: at most 32, and nearly sorted from one call to the next. */
static void quorum_sort(const struct quorum_config *config, const uint64_t *values, uint8_t *order)
{
    for (uint32_t i = 0; i < config->members_count; i++) {
        uint32_t j = i;
        for (; j > 0 && values[order[j - 1]] < values[i]; j--)
            order[j] = order[j - 1];
        order[j] = (uint8_t)i;
    }
}

uint64_t quorum_commit(const struct quorum_config *config, const uint64_t *values)
{
    uint8_t order[QUORUM_MEMBERS_MAX];
    uint32_t set = 0;

    quorum_sort(config, values, order);
    for (uint32_t i = 0; i < config->members_count; i++) {
        set |= 1u << order[i];
        if (quorum_has(config, set)) return values[order[i]];
    }
    return 0;
}

static uint32_t quorum_weight_of(const struct quorum_config *config, const mn_id *id)
{
    int i = quorum_find(config, id);

    return i < 0 ? 0 : config->members[i].weight;
}

bool quorum_is_one_step(const struct quorum_config *from, const struct quorum_config *to)
{
    uint64_t changed = 0;

    MN_ASSERT(!from->is_joint && !to->is_joint);
    for (uint32_t i = 0; i < from->members_count; i++) {
        uint32_t before = from->members[i].weight;
        uint32_t after = quorum_weight_of(to, &from->members[i].id);
        changed += before > after ? before - after : after - before;
    }
    for (uint32_t i = 0; i < to->members_count; i++)
        if (quorum_find(from, &to->members[i].id) < 0) changed += to->members[i].weight;
    if (changed <= 1) return true;
    return changed == 2 && quorum_total(from, QUORUM_NEW) % 2 == 0 &&
           quorum_total(to, QUORUM_NEW) % 2 == 0;
}

/* The ids that vote in one of the two; false when they are too many. */
static bool quorum_union(const struct quorum_config *a, const struct quorum_config *b,
                         struct quorum_config *ret)
{
    const struct quorum_config *both[2] = {a, b};

    ret->members_count = 0;
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < both[k]->members_count; i++) {
            const struct quorum_member *member = &both[k]->members[i];
            if (member->weight == 0 && member->weight_old == 0) continue;
            if (quorum_find(ret, &member->id) >= 0) continue;
            if (ret->members_count == QUORUM_VOTERS_MAX) return false;
            if (quorum_set(ret, member) != MN_OK) return false;
        }
    return true;
}

/* A set over [all] as a set over [config]. */
static uint32_t quorum_map(const struct quorum_config *config, const int *places, uint32_t set)
{
    uint32_t mapped = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        if (places[i] >= 0 && (set >> places[i] & 1)) mapped |= 1u << i;
    return mapped;
}

bool quorum_intersect(const struct quorum_config *a, const struct quorum_config *b)
{
    struct quorum_config all;
    int places_a[QUORUM_MEMBERS_MAX], places_b[QUORUM_MEMBERS_MAX];
    uint32_t sets;

    if (!quorum_union(a, b, &all)) return false;
    for (uint32_t i = 0; i < a->members_count; i++)
        places_a[i] = quorum_find(&all, &a->members[i].id);
    for (uint32_t i = 0; i < b->members_count; i++)
        places_b[i] = quorum_find(&all, &b->members[i].id);
    sets = 1u << all.members_count;
    for (uint32_t set = 0; set < sets; set++)
        if (quorum_has(a, quorum_map(a, places_a, set)) &&
            quorum_has(b, quorum_map(b, places_b, sets - 1 - set)))
            return false;
    return true;
}

mn_status quorum_join(const struct quorum_config *from, const struct quorum_config *to,
                      struct quorum_config *ret)
{
    struct quorum_config joint = *to;

    MN_ASSERT(!from->is_joint && !to->is_joint);
    joint.is_joint = true;
    for (uint32_t i = 0; i < from->members_count; i++) {
        struct quorum_member member = {.id = from->members[i].id};
        int found = quorum_find(to, &member.id);
        if (from->members[i].weight == 0) continue; /* a learner that goes is in no half */
        if (found >= 0) member = to->members[found];
        member.weight_old = from->members[i].weight;
        if (quorum_set(&joint, &member) != MN_OK) return MN_FULL;
    }
    if (quorum_check(&joint) != MN_OK) return MN_FULL;
    *ret = joint;
    return MN_OK;
}

void quorum_leave(const struct quorum_config *joint, struct quorum_config *ret)
{
    struct quorum_config config = {0};

    MN_ASSERT(joint->is_joint);
    for (uint32_t i = 0; i < joint->members_count; i++) {
        struct quorum_member member = joint->members[i];
        if (member.weight == 0 && !member.is_learner) continue;
        member.weight_old = 0;
        config.members[config.members_count++] = member;
    }
    *ret = config;
}

uint32_t quorum_ft(const struct quorum_config *config)
{
    uint64_t weights[QUORUM_MEMBERS_MAX] = {0};
    uint64_t total = quorum_total(config, QUORUM_NEW), left = total;
    uint8_t order[QUORUM_MEMBERS_MAX];
    uint32_t away = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        weights[i] = config->members[i].weight;
    quorum_sort(config, weights, order);
    while (away < config->members_count && weights[order[away]] > 0) {
        left -= weights[order[away]];
        if (2 * left <= total) break;
        away++;
    }
    return away;
}

mn_status quorum_guard(const struct quorum_config *config, uint32_t ft_min)
{
    uint64_t total = quorum_total(config, QUORUM_NEW);
    uint32_t voters = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        if (config->members[i].weight > 0) voters++;
    if (voters < 3) return MN_OK;
    for (uint32_t i = 0; i < config->members_count; i++)
        if (2 * (uint64_t)config->members[i].weight >= total) return MN_CONFIG;
    return quorum_ft(config) >= ft_min ? MN_OK : MN_CONFIG;
}

bool quorum_reweigh_is_due(mn_time now, mn_time changed_at, uint32_t gain_permille)
{
    if (gain_permille < QUORUM_REWEIGH_GAIN_PERMILLE) return false;
    return changed_at == 0 || now >= mn_time_after(changed_at, QUORUM_REWEIGH_PAUSE);
}
