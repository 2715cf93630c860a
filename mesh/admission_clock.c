/* Is our wall clock to be trusted? A peer's clock is never taken for ours; but when ours is more
 * than five minutes away from the median of three or more peers, we say so and sign nothing that
 * depends on it, and take nothing for ended. Peers' clocks are those of their HELLOs, carried on by
 * the monotonic clock: of members that are linked, and, for some minutes, of members that were
 * refused because their grants seem to be of another time, or that were linked while our clock was
 * off: by such a clock all grants may have ended, and the alarm must not end with the links. */
#include "mesh/admission_internal.h"

#define CLOCK_PEERS_MIN 3
#define CLOCK_PEERS_MAX 31                 /* looked at; the longest linked ones */
#define CLOCK_MS_MAX ((uint64_t)1 << 50)   /* keeps differences far from overflow */
#define CLOCK_REFUSED_FOR (10 * MN_MINUTE) /* a refused peer's clock counts for so long */

struct clock_sample {
    int64_t differences[CLOCK_PEERS_MAX]; /* theirs less ours, in ms, ascending */
    uint32_t count;
};

static void clock_add(struct admission *a, struct clock_sample *sample, uint64_t wall_ms,
                      mn_time heard_at)
{
    uint64_t theirs = wall_ms + (a->now.mono - heard_at) / MN_MS;
    int64_t difference = (int64_t)theirs - (int64_t)mn_wall_ms(a->now);
    uint32_t at = sample->count;

    if (wall_ms > CLOCK_MS_MAX || sample->count == CLOCK_PEERS_MAX) return;
    while (at > 0 && sample->differences[at - 1] > difference) {
        sample->differences[at] = sample->differences[at - 1];
        at--;
    }
    sample->differences[at] = difference;
    sample->count++;
}

static bool clock_is_linked(struct admission *a, const mn_id *node_id)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind == ADMISSION_LINK_MEMBER &&
            mn_id_equal(&channel->peer.node_id, node_id))
            return true;
    }
    return false;
}

static void clock_sample(struct admission *a, struct clock_sample *sample)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind == ADMISSION_LINK_MEMBER)
            clock_add(a, sample, channel->peer.wall_ms, channel->heard_at);
    }
    for (uint32_t i = 0; i < a->clocks_count; i++) {
        const struct clock_heard *heard = &a->clocks[i];
        if (a->now.mono - heard->at < CLOCK_REFUSED_FOR && !clock_is_linked(a, &heard->node_id))
            clock_add(a, sample, heard->wall_ms, heard->at);
    }
}

static int64_t clock_judge(struct admission *a)
{
    const int64_t tolerance = (int64_t)GRANT_TOLERANCE_MS;
    struct clock_sample sample = {.count = 0};
    int64_t low, high;

    clock_sample(a, &sample);
    if (sample.count < CLOCK_PEERS_MIN) return 0;
    low = sample.differences[(sample.count - 1) / 2]; /* of an even number: both in the middle */
    high = sample.differences[sample.count / 2];
    return low > tolerance ? low : high < -tolerance ? high : 0;
}

bool admission_clock_is_off(struct admission *a)
{
    int64_t before = a->clock_off_ms, now = clock_judge(a);
    bool is_ahead = now < 0;

    a->clock_off_ms = now;
    if (now != 0 && before == 0)
        admission_trace(a, MN_EV_CLOCK_ALARM, &a->config.self->node_id,
                        (uint64_t)(is_ahead ? -now : now), 0,
                        is_ahead ? "our clock is ahead of most members: set it"
                                 : "our clock is behind most members: set it");
    if (now == 0 && before != 0) {
        admission_trace(a, MN_EV_CLOCK_FINE, &a->config.self->node_id, 0, 0, NULL);
        admission_set_timer(a, &a->upkeep_timer, a->now.mono); /* what was put off */
    }
    return now != 0;
}

void admission_on_clock_timer(struct admission *a)
{
    (void)admission_clock_is_off(a);
    admission_set_timer(a, &a->clock_timer, mn_time_after(a->now.mono, ADMISSION_CLOCK_CHECK));
}

static struct clock_heard *clock_oldest(struct admission *a)
{
    struct clock_heard *oldest = &a->clocks[0];

    for (uint32_t i = 1; i < a->clocks_count; i++)
        if (a->clocks[i].at < oldest->at) oldest = &a->clocks[i];
    return oldest;
}

/* One entry per node; the oldest makes room. */
static void clock_keep(struct admission *a, const mn_id *node_id, uint64_t wall_ms, mn_time at)
{
    struct clock_heard *entry = NULL;

    for (uint32_t i = 0; i < a->clocks_count && entry == NULL; i++)
        if (mn_id_equal(&a->clocks[i].node_id, node_id)) entry = &a->clocks[i];
    if (entry == NULL && a->clocks_count < ADMISSION_CLOCKS_MAX)
        entry = &a->clocks[a->clocks_count++];
    if (entry == NULL) entry = clock_oldest(a);
    *entry = (struct clock_heard){.node_id = *node_id, .wall_ms = wall_ms, .at = at};
}

void admission_on_clock_input(struct admission *a, const mn_id *node_id, uint64_t wall_ms)
{
    clock_keep(a, node_id, wall_ms, a->now.mono);
    (void)admission_clock_is_off(a);
}

void admission_keep_clock(struct admission *a, const struct channel *channel)
{
    uint64_t passed_ms = (a->now.mono - channel->heard_at) / MN_MS;

    if (channel->peer.kind != ADMISSION_LINK_MEMBER || channel->peer.wall_ms > CLOCK_MS_MAX) return;
    clock_keep(a, &channel->peer.node_id, channel->peer.wall_ms + passed_ms, a->now.mono);
}

int64_t admission_clock_off_ms(const struct admission *a)
{
    return a->clock_off_ms;
}
