#include "mesh/balance.h"

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"

/* Numbers of the breaker: see balance.h. */
#define WINDOW_SECONDS 10
#define WINDOW_CALLS_MIN 20
#define ROW_FAILURES_MAX 5
#define OPEN_TIME_MIN MN_SEC
#define OPEN_TIME_MAX (60 * MN_SEC)
#define PROBES_MAX 3

#define POOL_MAX 16       /* eligible nodes looked at for one choice; Prequal's pool size */
#define HOT_PERCENTILE 84 /* Prequal: Q_RIF */
#define REFUSED_TIME (100 * MN_MS) /* hot after a refusal; a guess */
#define LATENCY_UNTRIED MN_US      /* of a node of which nothing is known: it is tried, */
#define LATENCY_AWAITED MN_SEC     /* but once only until it has answered, as in Finagle */

#define KEY_SIZE (sizeof(mn_id) + BALANCE_SERVICE_MAX)

struct slot { /* one second of the window */
    uint64_t second;
    uint32_t calls, failures;
};

struct entry {
    struct mn_map_entry in_map;
    struct mn_list in_use; /* front: unused for longest */
    uint8_t key[KEY_SIZE];
    mn_id node;

    mn_time latency, latency_at; /* as of [latency_at]; 0: no sample yet */
    uint32_t in_flight;
    mn_time hot_until;

    struct slot window[WINDOW_SECONDS];
    uint32_t failures_row;
    uint64_t calls, failures;

    bool is_open; /* open or half open; closed otherwise */
    mn_time open_until, open_time, closed_at;
    uint32_t probes_out, probes_ok;
};

struct balance {
    struct balance_config config;
    struct rng rng;
    struct mn_map entries;
    struct mn_list in_use;
};

struct balance *balance_new(const struct balance_config *config)
{
    struct balance *balance = mn_alloc(sizeof *balance);

    MN_ASSERT(config->concurrent_max > 0 && config->entries_max > 0);
    balance->config = *config;
    rng_init(&balance->rng, config->seed);
    mn_map_init(&balance->entries, rng_u64(&balance->rng));
    mn_list_init(&balance->in_use);
    return balance;
}

static void balance_remove(struct balance *balance, struct entry *entry)
{
    mn_map_remove(&balance->entries, &entry->in_map);
    mn_list_remove(&entry->in_use);
    mn_free(entry);
}

void balance_free(struct balance *balance)
{
    if (balance == NULL) return;
    MN_LIST_FOR_EACH_SAFE (link, &balance->in_use)
        balance_remove(balance, MN_CONTAINER(link, struct entry, in_use));
    mn_map_done(&balance->entries);
    rng_done(&balance->rng);
    mn_free(balance);
}

/* ---- entries ---- */

static struct mn_span balance_key(const mn_id *node, struct mn_span service, uint8_t key[KEY_SIZE])
{
    MN_ASSERT(service.size <= BALANCE_SERVICE_MAX);
    memcpy(key, node->bytes, sizeof node->bytes);
    if (service.size > 0) memcpy(key + sizeof node->bytes, service.data, service.size);
    return mn_span(key, sizeof node->bytes + service.size);
}

static struct entry *balance_find(const struct balance *balance, const mn_id *node,
                                  struct mn_span service)
{
    uint8_t key[KEY_SIZE];
    struct mn_map_entry *found = mn_map_find(&balance->entries, balance_key(node, service, key));

    return found == NULL ? NULL : MN_CONTAINER(found, struct entry, in_map);
}

/* Makes room by forgetting the pair that was unused for longest; one with calls in flight stays. */
static bool balance_make_room(struct balance *balance)
{
    if (balance->entries.count < balance->config.entries_max) return true;
    MN_LIST_FOR_EACH (link, &balance->in_use) {
        struct entry *entry = MN_CONTAINER(link, struct entry, in_use);
        if (entry->in_flight > 0) continue;
        balance_remove(balance, entry);
        return true;
    }
    return false;
}

static struct entry *balance_get(struct balance *balance, const mn_id *node, struct mn_span service)
{
    struct entry *entry = balance_find(balance, node, service);
    struct mn_span key;

    if (entry != NULL) {
        mn_list_remove(&entry->in_use);
        mn_list_push_back(&balance->in_use, &entry->in_use);
        return entry;
    }
    if (!balance_make_room(balance)) return NULL;
    entry = mn_alloc(sizeof *entry);
    entry->node = *node;
    key = balance_key(node, service, entry->key);
    mn_map_insert(&balance->entries, &entry->in_map, key);
    mn_list_init(&entry->in_use);
    mn_list_push_back(&balance->in_use, &entry->in_use);
    return entry;
}

/* ---- latency ---- */

/* [value] * 2^-([time] / BALANCE_HALF_LIFE), linear within a half life. */
static mn_time balance_decay(mn_time value, mn_time time)
{
    mn_time halves = time / BALANCE_HALF_LIFE, rest = time % BALANCE_HALF_LIFE;

    if (halves >= 63) return 0;
    value >>= halves;
    if (value >= UINT64_MAX / BALANCE_HALF_LIFE) value = UINT64_MAX / BALANCE_HALF_LIFE;
    return value - value * rest / (2 * BALANCE_HALF_LIFE);
}

static mn_time balance_latency(const struct entry *entry, mn_time rtt, mn_time now)
{
    mn_time floor = rtt != 0 ? rtt : LATENCY_UNTRIED;

    if (entry == NULL) return floor;
    if (entry->latency == 0) return entry->in_flight == 0 ? floor : LATENCY_AWAITED;
    if (entry->latency <= floor) return entry->latency;
    return floor + balance_decay(entry->latency - floor, now - entry->latency_at);
}

static void balance_sample(struct entry *entry, mn_time took, mn_time now)
{
    if (took == 0) took = 1;
    if (took < entry->latency)
        took += balance_decay(entry->latency - took, now - entry->latency_at);
    entry->latency = took;
    entry->latency_at = now;
}

/* ---- breaker ---- */

static struct slot balance_window(const struct entry *entry, mn_time now)
{
    struct slot sum = {.second = now / MN_SEC};

    for (uint32_t i = 0; i < WINDOW_SECONDS; i++) {
        const struct slot *slot = &entry->window[i];
        if (slot->second + WINDOW_SECONDS <= sum.second) continue;
        sum.calls += slot->calls;
        sum.failures += slot->failures;
    }
    return sum;
}

static void balance_count(struct entry *entry, bool is_failure, mn_time now)
{
    uint64_t second = now / MN_SEC;
    struct slot *slot = &entry->window[second % WINDOW_SECONDS];

    if (slot->second != second) *slot = (struct slot){.second = second};
    slot->calls++;
    entry->calls++;
    if (is_failure) {
        slot->failures++;
        entry->failures++;
        entry->failures_row++;
    } else {
        entry->failures_row = 0;
    }
}

static enum balance_breaker balance_breaker(const struct entry *entry, mn_time now)
{
    if (entry == NULL || !entry->is_open) return BALANCE_CLOSED;
    return now < entry->open_until ? BALANCE_OPEN : BALANCE_HALF_OPEN;
}

static struct mn_span balance_service(const struct entry *entry)
{
    return mn_span(entry->key + sizeof(mn_id), entry->in_map.key.size - sizeof(mn_id));
}

/* Opens for twice as long as last time, unless it was closed for long since. */
static void balance_open(struct balance *balance, struct entry *entry, mn_time now)
{
    bool is_fresh =
        !entry->is_open && (entry->open_time == 0 || now - entry->closed_at >= OPEN_TIME_MAX);
    mn_time jitter;

    entry->open_time = is_fresh ? OPEN_TIME_MIN : mn_time_min(2 * entry->open_time, OPEN_TIME_MAX);
    jitter = rng_below_u64(&balance->rng, entry->open_time * 2 / 5); /* +-20% */
    entry->is_open = true;
    entry->open_until = now + entry->open_time * 4 / 5 + jitter;
    entry->probes_out = entry->probes_ok = 0;
    mn_trace_span(balance->config.trace, now, MN_EV_BREAKER_OPEN, &entry->node,
                  (entry->open_until - now) / MN_MS, 0, balance_service(entry));
}

static void balance_close(struct balance *balance, struct entry *entry, mn_time now)
{
    entry->is_open = false;
    entry->closed_at = now;
    entry->failures_row = 0;
    memset(entry->window, 0, sizeof entry->window);
    mn_trace_span(balance->config.trace, now, MN_EV_BREAKER_CLOSED, &entry->node, 0, 0,
                  balance_service(entry));
}

/* While half open, whatever ends is taken as a probe; calls that end while open say nothing new. */
static void balance_judge(struct balance *balance, struct entry *entry, bool is_failure,
                          mn_time now)
{
    struct slot sum;

    switch (balance_breaker(entry, now)) {
    case BALANCE_OPEN: return;
    case BALANCE_HALF_OPEN:
        if (is_failure)
            balance_open(balance, entry, now);
        else if (++entry->probes_ok >= PROBES_MAX)
            balance_close(balance, entry, now);
        return;
    case BALANCE_CLOSED:
        sum = balance_window(entry, now);
        if (entry->failures_row >= ROW_FAILURES_MAX ||
            (sum.calls >= WINDOW_CALLS_MIN && 2 * sum.failures >= sum.calls))
            balance_open(balance, entry, now);
        return;
    }
}

/* ---- what a candidate looks like ---- */

static struct balance_explain balance_view(const struct balance *balance, mn_time now,
                                           struct mn_span service,
                                           const struct balance_candidate *candidate)
{
    const struct entry *entry = balance_find(balance, &candidate->node, service);
    struct balance_explain view = {
        .breaker = balance_breaker(entry, now),
        .latency = balance_latency(entry, candidate->rtt, now),
        .load = candidate->load,
        .availability = 1000,
        .is_eligible = true,
    };
    struct slot sum;

    if (entry == NULL) return view;
    sum = balance_window(entry, now);
    if (sum.calls > 0) view.availability = 1000 - 1000 * sum.failures / sum.calls;
    view.in_flight = entry->in_flight;
    view.is_full = entry->in_flight >= balance->config.concurrent_max;
    view.is_hot = now < entry->hot_until;
    view.calls = entry->calls;
    view.failures = entry->failures;
    if (view.breaker == BALANCE_OPEN) view.open_for = entry->open_until - now;
    view.is_eligible =
        !view.is_full && view.breaker != BALANCE_OPEN &&
        (view.breaker == BALANCE_CLOSED || entry->probes_out + entry->probes_ok < PROBES_MAX);
    return view;
}

static uint64_t balance_rif(const struct balance_explain *view)
{
    return (uint64_t)view->in_flight + view->load;
}

static uint64_t balance_cost(const struct balance_explain *view)
{
    return mn_time_min(view->latency, MN_HOUR) * (balance_rif(view) + 1);
}

/* Marks those whose RIF is over the percentile of all [count] <= POOL_MAX. */
static void balance_mark_hot(struct balance_explain *views, uint32_t count)
{
    uint64_t sorted[POOL_MAX];
    uint32_t rank = (count * HOT_PERCENTILE + 99) / 100;

    MN_ASSERT(count > 0 && count <= POOL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        uint64_t rif = balance_rif(&views[i]);
        for (; at > 0 && sorted[at - 1] > rif; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = rif;
    }
    for (uint32_t i = 0; i < count; i++)
        if (balance_rif(&views[i]) > sorted[rank - 1]) views[i].is_hot = true;
}

/* The worst of some candidates, to which scores are relative. */
struct worst {
    uint64_t cost;
    uint32_t load;
};

static void balance_worsen(struct worst *worst, const struct balance_explain *view)
{
    if (balance_cost(view) > worst->cost) worst->cost = balance_cost(view);
    if (view->load > worst->load) worst->load = view->load;
}

static void balance_score(struct balance_explain *view, const struct worst *worst)
{
    view->score_latency = worst->cost == 0 ? 0 : (uint32_t)(500 * balance_cost(view) / worst->cost);
    view->score_load = worst->load == 0 ? 0 : (uint32_t)((uint64_t)300 * view->load / worst->load);
    view->score_availability = 200 * (1000 - view->availability) / 1000;
    view->score = view->score_latency + view->score_load + view->score_availability;
}

/* Does [a] beat [b]? Of equals the first drawn wins, which is a random one. */
static bool balance_beats(struct balance_explain *a, struct balance_explain *b)
{
    struct worst worst = {0, 0};

    if ((a->is_hot || b->is_hot) && balance_rif(a) != balance_rif(b))
        return balance_rif(a) < balance_rif(b);
    if (a->is_hot != b->is_hot) return b->is_hot;
    balance_worsen(&worst, a);
    balance_worsen(&worst, b);
    balance_score(a, &worst);
    balance_score(b, &worst);
    return a->score <= b->score;
}

/* ---- the choice ---- */

static int32_t balance_pick_local(const struct balance *balance, mn_time now,
                                  struct mn_span service,
                                  const struct balance_candidate *candidates, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!mn_id_equal(&candidates[i].node, &balance->config.self)) continue;
        return balance_view(balance, now, service, &candidates[i]).is_eligible ? (int32_t)i : -1;
    }
    return -1;
}

int32_t balance_pick(struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count)
{
    struct balance_explain pool[POOL_MAX];
    uint32_t index[POOL_MAX], pool_count = 0, start, a, b;
    int32_t local = balance_pick_local(balance, now.mono, service, candidates, count);

    if (local >= 0 || count == 0) return local;
    start = rng_below(&balance->rng, count);
    for (uint32_t i = 0; i < count && pool_count < POOL_MAX; i++) {
        uint32_t at = (start + i) % count;
        pool[pool_count] = balance_view(balance, now.mono, service, &candidates[at]);
        if (pool[pool_count].is_eligible) index[pool_count++] = at;
    }
    if (pool_count == 0) return -1;
    if (pool_count == 1) return (int32_t)index[0];
    balance_mark_hot(pool, pool_count);
    a = rng_below(&balance->rng, pool_count);
    b = (a + 1 + rng_below(&balance->rng, pool_count - 1)) % pool_count;
    return (int32_t)index[balance_beats(&pool[a], &pool[b]) ? a : b];
}

bool balance_is_full(const struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct balance_explain view = balance_view(balance, now.mono, service, &candidates[i]);
        if (view.is_full && view.breaker == BALANCE_CLOSED) return true;
    }
    return false;
}

void balance_started(struct balance *balance, struct mn_now now, struct mn_span service,
                     const mn_id *node)
{
    struct entry *entry = balance_get(balance, node, service);

    if (entry == NULL) return; /* every pair has calls in flight: this one goes untracked */
    entry->in_flight++;
    if (balance_breaker(entry, now.mono) == BALANCE_HALF_OPEN) entry->probes_out++;
}

void balance_heard(struct balance *balance, struct mn_now now, struct mn_span service,
                   const mn_id *node)
{
    struct entry *entry = balance_find(balance, node, service);

    if (entry == NULL || balance_breaker(entry, now.mono) != BALANCE_HALF_OPEN) return;
    if (entry->probes_out > 0) entry->probes_out--;
    balance_judge(balance, entry, false, now.mono);
}

void balance_finished(struct balance *balance, struct mn_now now, struct mn_span service,
                      const mn_id *node, enum balance_outcome outcome, mn_time took)
{
    struct entry *entry = balance_find(balance, node, service);

    if (entry == NULL) return;
    if (entry->in_flight > 0) entry->in_flight--;
    if (entry->probes_out > 0) entry->probes_out--;
    switch (outcome) {
    case BALANCE_UNKNOWN: return;
    case BALANCE_REFUSED: entry->hot_until = now.mono + REFUSED_TIME; return;
    case BALANCE_OK: balance_sample(entry, took, now.mono); break;
    case BALANCE_FAILED: /* failing fast does not make a node a fast one */
        if (took > entry->latency) balance_sample(entry, took, now.mono);
        break;
    }
    balance_count(entry, outcome == BALANCE_FAILED, now.mono);
    balance_judge(balance, entry, outcome == BALANCE_FAILED, now.mono);
}

void balance_explain(const struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count,
                     struct balance_explain *ret)
{
    struct worst worst = {0, 0};

    for (uint32_t i = 0; i < count; i++) {
        ret[i] = balance_view(balance, now.mono, service, &candidates[i]);
        balance_worsen(&worst, &ret[i]);
    }
    if (count > 0 && count <= POOL_MAX) balance_mark_hot(ret, count);
    for (uint32_t i = 0; i < count; i++)
        balance_score(&ret[i], &worst);
}

void balance_check(const struct balance *balance)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &balance->in_use) {
        const struct entry *entry = MN_CONTAINER(link, struct entry, in_use);
        MN_ASSERT(entry->probes_ok < PROBES_MAX || !entry->is_open);
        MN_ASSERT(entry->probes_out <= entry->in_flight);
        MN_ASSERT(!entry->is_open || entry->open_time >= OPEN_TIME_MIN);
        MN_ASSERT(entry->failures <= entry->calls);
        count++;
    }
    MN_ASSERT(count == balance->entries.count);
    MN_ASSERT(count <= balance->config.entries_max);
}
