#include "mesh/link_internal.h"

/* How much bulk (low and background envelopes) may be under way to the peer. What the kernels of
 * both ends hold, which is megabytes when the peer is slower than we are, nothing overtakes: a
 * small answer would wait until all of it is read and opened. So bulk goes as far as a ping that
 * follows it was answered, for the peer reads both in order, and a window further.
 *
 * The window is four times what the link carries in the shortest round trip that was seen: twice,
 * because half of it is marked at a time, and twice again, so that it doubles for as long as it is
 * what bounds the rate (as slow start does, and BBR: Cardwell et al., "BBR: Congestion-Based
 * Congestion Control", ACM Queue 2016). And a bit more, for those who are called late. */

#define WINDOW_BASE ((int64_t)64 << 10) /* bytes */
#define WINDOW_GAIN 4
#define WINDOW_MAX ((uint64_t)64 << 20)
#define RATE_FADES 16 /* a better rate that does not come again is forgotten by 1/16 per mark */

static int64_t window_room(const struct link_window *window)
{
    return window->size - (int64_t)(window->sent - window->arrived);
}

void link_window_begin(struct link *link)
{
    if (link->window.size == 0) link->window.size = WINDOW_BASE;
    queue_set_bulk_room(link->queue, window_room(&link->window));
}

static void window_mark(struct link *link, struct mn_now now)
{
    struct link_window *window = &link->window;

    if (window->mark != 0 || window_room(window) > window->size / 2) return;
    if (!link_ping(link, now)) return; /* the next send tries again */
    window->mark = link->ping_number;
    window->marked = window->sent;
    window->mark_sent = now.mono;
}

void link_window_before_send(struct link *link, struct mn_now now)
{
    window_mark(link, now);
    link->window.room = queue_bulk_room(link->queue);
}

void link_window_after_send(struct link *link)
{
    link->window.sent += (uint64_t)(link->window.room - queue_bulk_room(link->queue));
}

/* What the answer to a mark says of the link. */
static void window_measure(struct link_window *window, struct mn_now now)
{
    mn_time took = now.mono - window->mark_sent;
    uint64_t rate = (window->marked - window->arrived) * MN_SEC / (took == 0 ? 1 : took);
    uint64_t carried;

    window->rate -= window->rate / RATE_FADES;
    if (rate > window->rate) window->rate = rate;
    carried = window->rate * window->rtt_min / MN_SEC * WINDOW_GAIN;
    window->size = WINDOW_BASE + (int64_t)(carried < WINDOW_MAX ? carried : WINDOW_MAX);
}

void link_window_on_pong(struct link *link, struct mn_now now, mn_time rtt)
{
    struct link_window *window = &link->window;

    if (rtt > 0 && (window->rtt_min == 0 || rtt < window->rtt_min)) window->rtt_min = rtt;
    if (window->mark == 0 || link->pong_number < window->mark) return;
    window_measure(window, now);
    window->arrived = window->marked;
    window->mark = 0;
    window_mark(link, now);
    queue_set_bulk_room(link->queue, window_room(window));
}
