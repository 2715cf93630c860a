#include "mesh/address.h"
#include "mesh/peers_internal.h"

/* ---- tables ---- */

static struct mn_span key_of(const uint64_t *number)
{
    return mn_span(number, sizeof *number);
}

struct conn *conn_new(struct peers *peers, uint64_t conn_id, enum conn_state state)
{
    struct conn *conn = mn_alloc(sizeof *conn);

    conn->info.conn = conn_id;
    conn->info.link = peers->links_next++;
    conn->state = state;
    conn->until = conn->throttled_until = conn->renew_at = MN_TIME_NEVER;
    mn_list_push_back(&peers->conns, &conn->order);
    mn_list_init(&conn->dirty);
    mn_list_init(&conn->grave);
    mn_map_insert(&peers->by_conn, &conn->by_conn, key_of(&conn->info.conn));
    return conn;
}

struct conn *peers_find_conn(const struct peers *peers, uint64_t conn_id)
{
    struct mn_map_entry *entry = mn_map_find(&peers->by_conn, key_of(&conn_id));
    return entry == NULL ? NULL : PEERS_CONN(entry, by_conn);
}

struct conn *peers_find_link(const struct peers *peers, uint64_t link)
{
    struct mn_map_entry *entry = mn_map_find(&peers->by_link, key_of(&link));
    return entry == NULL ? NULL : PEERS_CONN(entry, by_link);
}

struct conn *peers_find_member(const struct peers *peers, const mn_id *node_id)
{
    struct mn_map_entry *entry =
        mn_map_find(&peers->by_node, mn_span(node_id->bytes, sizeof node_id->bytes));
    return entry == NULL ? NULL : PEERS_CONN(entry, by_node);
}

void conn_touch(struct peers *peers, struct conn *conn)
{
    if (conn->link == NULL || !mn_list_is_empty(&conn->dirty)) return;
    if (link_can_flush(conn->link)) mn_list_push_back(&peers->dirty, &conn->dirty);
}

void conn_set_timer(struct peers *peers, struct conn *conn)
{
    mn_time at = mn_time_min(conn->until, mn_time_min(conn->throttled_until, conn->renew_at));

    if (conn->link != NULL) at = mn_time_min(at, link_deadline(conn->link));
    mn_heap_set(&peers->timers, &conn->timer, at);
}

static void copy_address(char to[PEERS_ADDRESS_SIZE], struct mn_span address)
{
    size_t size = address.size < PEERS_ADDRESS_SIZE ? address.size : PEERS_ADDRESS_SIZE - 1;

    if (size > 0) memcpy(to, address.data, size);
    to[size] = 0;
}

/* ---- leaving ---- */

void conn_leave_half_open(struct peers *peers, struct conn *conn)
{
    if (conn->is_half_open) peers->counts.half_open--;
    if (conn->is_stranger) peers->strangers--;
    conn->is_half_open = conn->is_stranger = false;
}

static void conn_report_drops(struct peers *peers, struct conn *conn)
{
    struct queue_drop drop;

    while (queue_take_drop(link_queue(conn->link), &drop)) {
        struct peers_output *output = peers_emit(peers, PEERS_OUT_UNSENT);
        output->node_id = conn->info.node_id;
        output->tag = drop.tag;
        output->status = drop.status;
        peers->counts.unsent++;
        MN_PROBE("peers: queued envelopes were dropped");
    }
}

void conn_leave_guests(struct peers *peers, struct conn *conn)
{
    if (conn->is_waiting)
        peers->counts.waiting--;
    else
        peers->counts.guests--;
    conn->is_waiting = false;
}

/* A link that was UP is no more: reports what it did not send, then that it is DOWN. */
static void conn_down(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status)
{
    bool was_member = conn->info.kind == PEERS_MEMBER;
    struct peers_output *output;

    mn_map_remove(&peers->by_link, &conn->by_link);
    if (was_member) {
        mn_map_remove(&peers->by_node, &conn->by_node);
        peers->counts.members--;
    } else if (conn->info.kind == PEERS_GUEST) {
        conn_leave_guests(peers, conn);
    }
    queue_drop_all(link_queue(conn->link));
    conn_report_drops(peers, conn);
    output = peers_emit(peers, PEERS_OUT_DOWN);
    output->link = conn->info.link;
    output->node_id = conn->info.node_id;
    output->kind = conn->info.kind;
    output->status = status;
    output->info = &conn->info;
    mn_trace(peers->config.trace, now.mono, MN_EV_LINK_DOWN, &conn->info.node_id, (uint64_t)status,
             0, conn->info.address);
}

/* Out of all tables but those of connections, because of [status]; the state is the caller's. */
static void conn_leave(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status)
{
    enum conn_state state = conn->state;
    struct conn *challenger = conn->challenger;
    bool was_short = now.mono - conn->info.since < 10 * MN_SEC;

    conn->state = CONN_CLOSING; /* before others look at it */
    conn->until = mn_time_after(now.mono, peers->config.timing.drain);
    conn->renew_at = MN_TIME_NEVER;
    conn_leave_half_open(peers, conn);
    if (conn->rival != NULL) conn->rival->challenger = NULL;
    conn->rival = conn->challenger = NULL;
    if (state == CONN_DIALING) peers->counts.dials--;
    if (state == CONN_UP) conn_down(peers, now, conn, status);
    if (state < CONN_UP) target_on_dial_done(peers, now, conn, false, status);
    if (challenger != NULL) conn_end_challenge(peers, now, challenger, false);
    if (state == CONN_UP && status != MN_EXISTS)
        peers_on_lost(peers, now, &conn->info.node_id, was_short);
}

static void conn_bury(struct peers *peers, struct conn *conn)
{
    conn->state = CONN_GONE;
    mn_map_remove(&peers->by_conn, &conn->by_conn);
    mn_list_remove(&conn->dirty);
    mn_heap_remove(&peers->timers, &conn->timer);
    mn_list_push_back(&peers->graveyard, &conn->grave);
}

void conn_cut(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status)
{
    if (conn->state == CONN_GONE) return;
    if (conn->state != CONN_CLOSING) conn_leave(peers, now, conn, status);
    peers_emit(peers, PEERS_OUT_CLOSE)->conn = conn->info.conn;
    conn_bury(peers, conn);
}

void conn_goodbye(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status,
                  Meshnode__Trust__Code code)
{
    Meshnode__Wire__Close close = MESHNODE__WIRE__CLOSE__INIT;
    uint8_t bytes[32];
    size_t size;

    if (conn->state >= CONN_CLOSING) return;
    close.status = status;
    close.code = (uint32_t)code;
    size = meshnode__wire__close__pack(&close, bytes);
    MN_ASSERT(size <= sizeof bytes);
    if (conn->link == NULL ||
        link_send_control(conn->link, FRAME_CLOSE, mn_span(bytes, size)) != MN_OK) {
        conn_cut(peers, now, conn, status);
        return;
    }
    conn_leave(peers, now, conn, status);
    conn_touch(peers, conn);
    conn_set_timer(peers, conn);
}

/* Who dialed the heir knows that the acceptor has switched already, and says goodbye at once; the
 * acceptor waits for that, so that the dialer never has no link. */
void conn_retire(struct peers *peers, struct mn_now now, struct conn *old, struct conn *heir)
{
    if (old->challenger != NULL) conn_goodbye(peers, now, old->challenger, MN_EXISTS, 0);
    link_move_queue(old->link, heir->link);
    old->still_delivers = true;
    peers->counts.replaced++;
    MN_PROBE("peers: both ends had dialed each other");
    if (heir->info.is_dialer) {
        conn_goodbye(peers, now, old, MN_EXISTS, 0);
        return;
    }
    conn_leave(peers, now, old, MN_EXISTS);
    conn_set_timer(peers, old);
}

/* ---- reading ---- */

static void conn_count_failure(struct peers *peers, struct mn_now now, struct conn *conn,
                               const struct link_event *event)
{
    struct peers_counts *counts = &peers->counts;

    if (event->garbage != LINK_GARBAGE_NONE) {
        counts->garbage_http += event->garbage == LINK_GARBAGE_HTTP;
        counts->garbage_tls += event->garbage == LINK_GARBAGE_TLS;
        counts->garbage_other += event->garbage == LINK_GARBAGE_OTHER;
        mn_trace(peers->config.trace, now.mono, MN_EV_NET_GARBAGE, NULL,
                 counts->garbage_http + counts->garbage_tls + counts->garbage_other, 0,
                 conn->info.address);
    } else if (conn->state == CONN_HANDSHAKE) {
        counts->handshakes_failed++;
        mn_trace(peers->config.trace, now.mono, MN_EV_HANDSHAKE_FAILED, NULL,
                 (uint64_t)event->status, 0, conn->info.address);
    }
}

/* Envelopes count from a member link, from one that another replaces, and from one that is held up
 * by its rival though it is surely the same process. */
static bool conn_takes_envelopes(const struct conn *conn)
{
    if (conn->state == CONN_UP) return conn->info.kind == PEERS_MEMBER;
    if (conn->state == CONN_CLOSING) return conn->still_delivers;
    return conn->state == CONN_CHALLENGER &&
           mn_id_equal(&conn->info.boot_id, &conn->rival->info.boot_id);
}

static void conn_on_envelope(struct peers *peers, struct conn *conn, const struct link_event *event)
{
    struct peers_output *output;

    if (!conn_takes_envelopes(conn)) {
        mn_buf_unref(event->buf);
        return;
    }
    output = peers_emit(peers, PEERS_OUT_ENVELOPE);
    output->link = conn->info.link;
    output->node_id = conn->info.node_id;
    output->envelope = event->envelope;
    output->parts = event->buf;
}

static void conn_on_malformed(struct peers *peers, struct mn_now now, struct conn *conn,
                              mn_status status)
{
    if (status == MN_UNSUPPORTED) { /* a newer node's; nothing wrong with it */
        peers->counts.envelopes_unsupported++;
        return;
    }
    peers->counts.envelopes_malformed++;
    conn_fault(peers, now, conn, PEERS_FAULT_MALFORMED);
}

/* Each such message costs signatures to check, perhaps a write. False: it was one too many. */
static bool conn_is_within_rate(struct peers *peers, struct mn_now now, struct conn *conn)
{
    mn_time passed = now.mono - conn->controls_at;
    uint64_t paid =
        passed >= MN_MINUTE ? PEERS_CONTROLS_BURST : passed * PEERS_CONTROLS_RATE / MN_SEC;

    if (paid > 0) {
        conn->controls = conn->controls > paid ? conn->controls - (uint32_t)paid : 0;
        conn->controls_at = now.mono;
    }
    if (conn->controls < PEERS_CONTROLS_BURST) {
        conn->controls++;
        return true;
    }
    peers->counts.over_rate++;
    conn_fault(peers, now, conn, PEERS_FAULT_RATE);
    return false;
}

static void conn_on_admission(struct peers *peers, struct mn_now now, struct conn *conn,
                              struct mn_span bytes)
{
    struct peers_output *output;

    if (conn->state != CONN_UP) return; /* it is leaving */
    if (conn->info.kind == PEERS_MEMBER && !conn_is_within_rate(peers, now, conn)) return;
    output = peers_emit(peers, PEERS_OUT_CONTROL);
    output->link = conn->info.link;
    output->node_id = conn->info.node_id;
    output->kind = conn->info.kind;
    output->bytes = bytes;
}

static void conn_on_event(struct peers *peers, struct mn_now now, struct conn *conn,
                          const struct link_event *event)
{
    switch (event->type) {
    case LINK_NONE: break;
    case LINK_READY: conn_on_ready(peers, now, conn); break;
    case LINK_HELLO_IN: conn_on_hello(peers, now, conn, event->bytes); break;
    case LINK_ADMISSION: conn_on_admission(peers, now, conn, event->bytes); break;
    case LINK_ENVELOPE: conn_on_envelope(peers, conn, event); break;
    case LINK_MALFORMED: conn_on_malformed(peers, now, conn, event->status); break;
    case LINK_CLOSE_IN: conn_on_close(peers, now, conn, event->bytes); break;
    case LINK_CLOSED:
        conn_count_failure(peers, now, conn, event);
        conn_cut(peers, now, conn, event->status);
        break;
    }
}

/* Handles everything that the link has to say. */
static void conn_drain(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct link_event event;

    do {
        link_next(conn->link, now, peers->outbox->arena, &event);
        conn_on_event(peers, now, conn, &event);
    } while (event.type != LINK_NONE && conn->state != CONN_GONE);
    if (conn->state == CONN_GONE) return;
    if (conn->challenger != NULL && link_challenge_answered(conn->link))
        conn_end_challenge(peers, now, conn->challenger, true);
    conn_touch(peers, conn);
    conn_set_timer(peers, conn);
}

void conn_update_pause(struct peers *peers, struct mn_now now, struct conn *conn)
{
    bool paused = conn->is_owner_paused || conn->is_throttled;
    struct peers_output *output;

    if (conn->is_read_paused == paused) return;
    conn->is_read_paused = conn->info.is_paused = paused;
    MN_PROBE("peers: reading pauses");
    link_set_paused(conn->link, now, paused);
    conn_set_timer(peers, conn);
    output = peers_emit(peers, PEERS_OUT_PAUSE);
    output->conn = conn->info.conn;
    output->flag = paused;
}

/* A misbehaving member is read from slowly. */
static void conn_throttle(struct peers *peers, struct mn_now now, struct conn *conn)
{
    if (conn->state != CONN_UP || conn_score(conn, now) < PEERS_SCORE_THROTTLE) return;
    conn->is_throttled = true;
    conn->throttled_until = mn_time_after(now.mono, PEERS_THROTTLE_US);
    conn_update_pause(peers, now, conn);
    conn_set_timer(peers, conn);
}

/* Of an accepted connection: false when more than a good preamble comes, but so do too many others.
 * What is no preamble costs nothing more. */
static bool conn_pass_gate(struct peers *peers, struct mn_now now, struct conn *conn,
                           struct mn_span bytes)
{
    uint64_t had = link_stats(conn->link)->bytes_in;
    size_t size = bytes.size < FRAME_PREAMBLE_SIZE ? bytes.size : FRAME_PREAMBLE_SIZE;

    if (had == 0 && memcmp(bytes.data, FRAME_PREAMBLE, size) != 0) return true;
    if (had + bytes.size <= FRAME_PREAMBLE_SIZE) return true;
    conn->has_to_pass = false;
    return gate_admit(peers->gate, now, mn_span_str(conn->info.address),
                      !conn->is_stranger || conn->info.is_loopback);
}

void peers_on_bytes(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct conn *conn = peers_find_conn(peers, input->conn);

    if (conn == NULL || conn->link == NULL || input->bytes.size == 0) return;
    if (conn->has_to_pass && !conn_pass_gate(peers, now, conn, input->bytes)) {
        peers->counts.refused_rate++;
        conn_cut(peers, now, conn, MN_BUSY);
        return;
    }
    if (conn->state == CONN_UP && conn->info.kind == PEERS_GUEST) {
        conn->guest_bytes += input->bytes.size;
        if (conn->guest_bytes > PEERS_GUEST_BYTES_MAX) {
            conn_cut(peers, now, conn, MN_TOO_BIG);
            return;
        }
    }
    link_feed(conn->link, now, input->bytes);
    conn_drain(peers, now, conn);
    if (conn->info.score > 0) conn_throttle(peers, now, conn);
}

/* ---- connections come and go ---- */

static struct link *conn_new_link(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct link_config config = {.is_dialer = conn->info.is_dialer,
                                 .self = peers->config.self,
                                 .expected =
                                     mn_id_is_zero(&conn->expected) ? NULL : &conn->expected,
                                 .timing = &peers->config.timing.link,
                                 .limits = &peers->config.limits.link};

    rng_bytes(&peers->rng, config.ephemeral_sk, sizeof config.ephemeral_sk);
    return link_new(&config, now);
}

/* Who keeps one of the few places without doing its part, or NULL: whoever dials speaks first, so
 * at best one that has said nothing; else one that takes too long. The oldest goes. */
static struct conn *find_idler(const struct peers *peers, struct mn_now now, bool is_stranger)
{
    struct conn *slow = NULL;

    MN_LIST_FOR_EACH (entry, &peers->conns) {
        struct conn *conn = PEERS_CONN(entry, order);
        mn_time age = now.mono - conn->accepted_at;
        if (!conn->is_half_open || (is_stranger && !conn->is_stranger)) continue;
        if (age < PEERS_SILENT_US) break; /* so are all that follow */
        if (link_stats(conn->link)->bytes_in == 0) return conn;
        if (slow == NULL && age >= PEERS_SLOW_US) slow = conn;
    }
    return slow;
}

/* Is there a place for one more half-open connection? If need be, an idler's. */
static bool peers_make_place(struct peers *peers, struct mn_now now, bool is_member)
{
    const struct peers_limits *limits = &peers->config.limits;
    bool is_crowded = !is_member && peers->strangers >= limits->half_open / 2;
    struct conn *idler;

    if (!is_crowded && peers->counts.half_open < limits->half_open) return true;
    idler = find_idler(peers, now, is_crowded);
    if (idler == NULL) return false;
    MN_PROBE("peers: a newcomer takes the place of an idler");
    peers->counts.evicted++;
    conn_cut(peers, now, idler, MN_TIMEOUT);
    return true;
}

static void refuse_accepted(struct peers *peers, uint64_t conn_id, uint64_t *counter)
{
    (*counter)++;
    peers_emit(peers, PEERS_OUT_CLOSE)->conn = conn_id;
}

void peers_on_accepted(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct peers_counts *counts = &peers->counts;
    bool is_member = peers_knows_address(peers, input->address);
    bool is_loopback = address_is_loopback(input->address);
    struct conn *conn;

    if (!peers->has_self || peers->is_stopping) {
        refuse_accepted(peers, input->conn, &counts->refused_full);
        return;
    }
    if (!gate_knock(peers->gate, now, input->address, is_member || is_loopback)) {
        refuse_accepted(peers, input->conn, &counts->refused_rate);
        return;
    }
    if (!peers_make_place(peers, now, is_member)) {
        refuse_accepted(peers, input->conn, &counts->refused_half_open);
        return;
    }
    conn = conn_new(peers, input->conn, CONN_HANDSHAKE);
    conn->info.is_loopback = is_loopback;
    copy_address(conn->info.address, input->address);
    conn->accepted_at = now.mono;
    conn->is_half_open = true;
    conn->is_stranger = !is_member;
    conn->has_to_pass = true;
    counts->half_open++;
    peers->strangers += !is_member;
    conn->link = conn_new_link(peers, now, conn);
    conn_set_timer(peers, conn);
}

void peers_on_connected(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct conn *conn = peers_find_conn(peers, input->conn);

    if (conn == NULL || conn->state != CONN_DIALING) return;
    copy_address(conn->info.address, input->address);
    conn->info.is_loopback = address_is_loopback(input->address);
    conn->state = CONN_HANDSHAKE;
    conn->until = MN_TIME_NEVER; /* the link has its own limits */
    peers->counts.dials--;
    conn->link = conn_new_link(peers, now, conn);
    conn_touch(peers, conn);
    conn_set_timer(peers, conn);
}

void peers_on_closed(struct peers *peers, struct mn_now now, const struct peers_input *input)
{
    struct conn *conn = peers_find_conn(peers, input->conn);

    if (conn == NULL) return;
    if (conn->state == CONN_HANDSHAKE) peers->counts.handshakes_failed++;
    if (conn->state != CONN_CLOSING)
        conn_leave(peers, now, conn, input->status == MN_OK ? MN_IO : input->status);
    if (conn->state != CONN_GONE) conn_bury(peers, conn);
}

/* ---- sending ---- */

static void report_unsent(struct peers *peers, const struct peers_send *send, mn_status status)
{
    struct peers_output *output;

    peers->counts.unsent++;
    if (send->tag == 0) return;
    output = peers_emit(peers, PEERS_OUT_UNSENT);
    output->node_id = send->node_id;
    output->tag = send->tag;
    output->status = status;
}

void peers_send(struct peers *peers, struct mn_now now, const struct peers_send *send)
{
    struct conn *conn = peers_find_member(peers, &send->node_id);
    mn_status status = conn == NULL ? MN_NOT_FOUND : envelope_check(send->envelope);

    if (status == MN_OK)
        status = link_send(conn->link, now, send->envelope, send->payload, send->tag);
    if (status != MN_OK) report_unsent(peers, send, status);
    if (conn == NULL) return;
    conn_report_drops(peers, conn);
    conn_touch(peers, conn);
}

void peers_on_sent(struct peers *peers, struct mn_now now, uint64_t conn_id)
{
    struct conn *conn = peers_find_conn(peers, conn_id);

    (void)now;
    if (conn == NULL || conn->link == NULL) return;
    link_on_sent(conn->link);
    conn_touch(peers, conn);
    conn_set_timer(peers, conn);
}

void peers_flush(struct peers *peers, struct mn_now now)
{
    struct mn_list *entry;

    while ((entry = mn_list_take(&peers->dirty)) != NULL) {
        struct conn *conn = PEERS_CONN(entry, dirty);
        struct mn_buf *buf = link_flush(conn->link, now);

        conn_report_drops(peers, conn);
        if (buf != NULL) {
            struct peers_output *output = peers_emit(peers, PEERS_OUT_SEND);
            output->conn = conn->info.conn;
            output->buf = buf;
            conn_set_timer(peers, conn);
        } else {
            conn_drain(peers, now, conn); /* it may have failed */
        }
    }
}

/* ---- faults, timers ---- */

uint32_t conn_score(struct conn *conn, struct mn_now now)
{
    while (conn->info.score > 0 && now.mono - conn->score_at >= PEERS_SCORE_HALF_LIFE) {
        conn->info.score /= 2;
        conn->score_at += PEERS_SCORE_HALF_LIFE;
    }
    return conn->info.score;
}

void conn_fault(struct peers *peers, struct mn_now now, struct conn *conn, uint32_t points)
{
    if (conn_score(conn, now) == 0) conn->score_at = now.mono;
    conn->info.score += points < PEERS_SCORE_BAN ? points : PEERS_SCORE_BAN;
    if (conn->info.score < PEERS_SCORE_BAN || conn->state != CONN_UP) return;
    mn_trace(peers->config.trace, now.mono, MN_EV_MEMBER_BANNED, &conn->info.node_id,
             (gate_ban(peers->gate, now, &conn->info.node_id) - now.mono) / MN_MS, conn->info.score,
             conn->info.address);
    peers->counts.banned++;
    conn_goodbye(peers, now, conn, MN_DENIED, 0);
}

/* The state has lasted long enough. */
static void conn_on_until(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct conn *rival = conn->rival;

    if (conn->state == CONN_CHALLENGER) {
        conn_cut(peers, now, rival, MN_TIMEOUT); /* its end decides for the challenger */
        return;
    }
    if (conn->state == CONN_UP && conn->info.kind == PEERS_GUEST) {
        conn_goodbye(peers, now, conn, MN_TIMEOUT, 0);
        return;
    }
    conn_cut(peers, now, conn, MN_TIMEOUT);
}

void conn_on_timer(struct peers *peers, struct mn_now now, struct conn *conn)
{
    if (now.mono >= conn->throttled_until) {
        conn->throttled_until = MN_TIME_NEVER;
        conn->is_throttled = false;
        conn_update_pause(peers, now, conn);
    }
    if (now.mono >= conn->renew_at) peers_dial_successor(peers, now, conn);
    if (now.mono >= conn->until) {
        conn_on_until(peers, now, conn);
        if (conn->state == CONN_GONE) return;
    }
    if (conn->link != NULL) {
        link_tick(conn->link, now);
        conn_drain(peers, now, conn);
    } else {
        conn_set_timer(peers, conn);
    }
}
