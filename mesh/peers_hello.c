#include "crypto/digest.h"
#include "mesh/peers_internal.h"
#include "proto/pb.h"

#define CODE(name) MESHNODE__TRUST__CODE__CODE_##name
#define HELLO(name) MESHNODE__WIRE__HELLO_KIND__HELLO_##name

static bool is_member_now(const struct peers *peers)
{
    return peers->self.hello == HELLO(MEMBER);
}

/* ---- what we say ---- */

/* The link that [conn] has to be weighed against, as far as we know by now: the member link to the
 * same node, or one that we dialed and that is about to become it. */
static const struct conn *conn_other_link(const struct peers *peers, const struct conn *conn)
{
    const struct conn *member = peers_find_member(peers, &conn->info.node_id);

    if (member != NULL && member != conn) return member;
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        const struct conn *other = PEERS_CONN(entry, order);
        if (other != conn && other->info.is_dialer && other->state >= CONN_HELLO &&
            other->state <= CONN_UP && mn_id_equal(&other->info.node_id, &conn->info.node_id))
            return other;
    }
    return NULL;
}

static void fill_rival(struct peers *peers, struct conn *conn, Meshnode__Wire__Hello *hello)
{
    const struct conn *other = conn_other_link(peers, conn);

    if (conn->has_replaced)
        hello->rival = pb_bytes(mn_span(conn->replaced, sizeof conn->replaced));
    else if (other != NULL)
        hello->rival = pb_bytes(mn_span(other->info.peer->handshake, PEERS_LINK_NAME_SIZE));
    hello->replaces = conn->has_replaced;
}

static void fill_member_part(struct peers *peers, struct conn *conn, Meshnode__Wire__Hello *hello)
{
    fill_rival(peers, conn, hello);
    if (peers->self.authority != NULL)
        hello->authority_pin =
            pb_bytes(mn_span(authority_pin(peers->self.authority), DIGEST_PIN_SIZE));
    hello->boot_id = pb_id_bytes(&peers->config.boot_id);
    hello->name = peers->name;
    hello->version = peers->version;
}

/* A guest is shown the mesh id, the grant, the versions and the clock; a joiner has no more to say
 * than its boot id and clock, for it does not know yet whom it talks to. */
static void conn_say_hello(struct peers *peers, struct mn_now now, struct conn *conn, bool to_guest)
{
    Meshnode__Wire__Hello hello;
    struct mn_span bytes;

    meshnode__wire__hello__init(&hello);
    hello.protocol_min = PEERS_PROTOCOL_MIN;
    hello.protocol_max = PEERS_PROTOCOL_MAX;
    hello.kind = peers->self.hello;
    hello.wall_ms = mn_wall_ms(now);
    hello.dev = peers->config.dev;
    if (!mn_id_is_zero(&peers->self.mesh_id)) hello.mesh_id = pb_id_bytes(&peers->self.mesh_id);
    if (is_member_now(peers)) {
        hello.grant = pb_bytes(peers->self.grant);
        if (!to_guest) fill_member_part(peers, conn, &hello);
        conn->said_member = !to_guest;
    } else {
        hello.boot_id = pb_id_bytes(&peers->config.boot_id);
    }
    bytes = pb_pack_arena(&hello.base, peers->outbox->arena);
    if (link_send_control(conn->link, FRAME_HELLO, bytes) != MN_OK) return; /* it is ending */
    conn_touch(peers, conn);
}

/* ---- up ---- */

static void conn_set_phase(struct conn *conn, enum peers_kind kind)
{
    switch (kind) {
    case PEERS_MEMBER: link_set_phase(conn->link, LINK_MEMBER); break;
    case PEERS_GUEST: link_set_phase(conn->link, LINK_GUEST); break;
    case PEERS_SPONSOR: link_set_phase(conn->link, LINK_SPONSOR); break;
    }
}

static void conn_enter_member(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct mn_span key = mn_span(conn->info.node_id.bytes, sizeof conn->info.node_id.bytes);

    mn_map_insert(&peers->by_node, &conn->by_node, key);
    peers->counts.members++;
    conn->until = MN_TIME_NEVER;
    if (conn->info.is_dialer) conn->renew_at = mn_time_after(now.mono, peers->config.timing.renew);
    mn_trace(peers->config.trace, now.mono, MN_EV_LINK_UP, &conn->info.node_id, 0, 0,
             conn->info.address);
}

/* The link is of use now; also when its kind changes. */
static void conn_up(struct peers *peers, struct mn_now now, struct conn *conn, enum peers_kind kind)
{
    bool was_up = conn->state == CONN_UP;

    MN_ASSERT(!was_up || (conn->info.kind != PEERS_MEMBER && kind == PEERS_MEMBER));
    if (was_up && conn->info.kind == PEERS_GUEST) conn_leave_guests(peers, conn);
    if (!was_up) {
        conn_leave_half_open(peers, conn);
        mn_map_insert(&peers->by_link, &conn->by_link,
                      mn_span(&conn->info.link, sizeof conn->info.link));
    }
    conn->state = CONN_UP;
    conn->info.kind = kind;
    conn->info.since = now.mono;
    conn->until = MN_TIME_NEVER;
    conn_set_phase(conn, kind);
    if (kind == PEERS_MEMBER) conn_enter_member(peers, now, conn);
    if (kind == PEERS_GUEST) {
        peers->counts.guests++;
        conn->until = mn_time_after(now.mono, peers->config.timing.guest);
    }
    peers_emit(peers, PEERS_OUT_UP)->info = &conn->info;
    if (kind == PEERS_MEMBER ? !conn->said_member : !conn->info.is_dialer && !was_up)
        conn_say_hello(peers, now, conn, kind == PEERS_GUEST);
    if (conn->info.is_dialer) target_on_dial_done(peers, now, conn, true, MN_OK);
    conn_set_timer(peers, conn);
}

/* ---- refusing ---- */

static void report_refused(struct peers *peers, struct mn_now now, struct conn *conn,
                           mn_status status, Meshnode__Trust__Code code, bool by_peer)
{
    struct peers_output *output = peers_emit(peers, PEERS_OUT_REFUSED);
    const char *address = conn->info.dialed[0] != 0 ? conn->info.dialed : conn->info.address;

    output->node_id = conn->info.node_id;
    output->status = status;
    output->code = code;
    output->flag = by_peer;
    output->wall_ms = conn->info.wall_ms;
    output->address = mn_arena_copy(peers->outbox->arena, mn_span_str(address));
    mn_trace(peers->config.trace, now.mono, MN_EV_LINK_REFUSED, &conn->info.node_id,
             (uint64_t)status, 0, address);
}

static void conn_refuse(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status,
                        Meshnode__Trust__Code code)
{
    report_refused(peers, now, conn, status, code, false);
    conn_goodbye(peers, now, conn, status, code);
}

/* ---- two links to one node ---- */

/* Of two links between the same two processes: does the newer one stay? The one dialed by the lower
 * node id does, so that both ends choose alike. Of two dialed by the same node it is the newer one,
 * because who dials again has given up the older one. */
static bool conn_beats(const struct peers *peers, const struct conn *conn, const struct conn *rival)
{
    const mn_id *self = &peers->config.self->node_id;
    bool is_lower = mn_id_compare(self, &conn->info.node_id) < 0;

    if (conn->info.is_dialer == rival->info.is_dialer) return true;
    return conn->info.is_dialer == is_lower;
}

static void conn_challenge(struct peers *peers, struct mn_now now, struct conn *conn,
                           struct conn *rival)
{
    if (rival->challenger != NULL) { /* one at a time */
        conn_goodbye(peers, now, conn, MN_BUSY, 0);
        return;
    }
    peers->counts.challenged++;
    MN_PROBE("peers: a second process with one identity is challenged");
    conn->state = CONN_CHALLENGER;
    conn->rival = rival;
    rival->challenger = conn;
    conn->until = mn_time_after(now.mono, peers->config.timing.challenge);
    link_start_challenge(rival->link, now);
    conn_touch(peers, rival);
    conn_set_timer(peers, conn);
}

/* What to do about the member link that exists already. */
enum verdict {
    VERDICT_TAKE_OVER = 1, /* both ends move from the old link to the new one: no gap */
    VERDICT_GAP,           /* the peer has lost the old link: it is DOWN, then the new one is UP */
    VERDICT_CHALLENGE      /* the old one stays if it lives */
};

/* Did the peer's HELLO on [conn] name [other]? */
static bool conn_names(const struct conn *conn, const struct conn *other)
{
    return conn->peer_has_rival &&
           memcmp(other->info.peer->handshake, conn->peer_rival, PEERS_LINK_NAME_SIZE) == 0;
}

/* Both ends must come to the same: else one of them takes calls for lost that the other waits for.
 * The acceptor decides first, its HELLO says how, and the dialer follows or ends the link. */
static enum verdict conn_weigh(const struct peers *peers, const struct conn *conn,
                               const struct conn *rival)
{
    bool peer_has_both = conn_names(conn, rival) || conn_names(rival, conn);

    if (!mn_id_equal(&conn->info.boot_id, &rival->info.boot_id)) return VERDICT_CHALLENGE;
    if (conn_names(conn, rival) && conn->peer_replaces) return VERDICT_TAKE_OVER;
    /* The old link's dialer knows of it before the acceptor does: not naming it, it has lost it.
     * Its acceptor may have got it only after it said this HELLO, if it was we who dialed it. */
    if (!peer_has_both && (conn->info.is_dialer || !rival->info.is_dialer)) return VERDICT_GAP;
    return conn_beats(peers, conn, rival) ? VERDICT_TAKE_OVER : VERDICT_CHALLENGE;
}

static void conn_take_over(struct peers *peers, struct mn_now now, struct conn *conn,
                           struct conn *rival)
{
    conn->has_replaced = true;
    memcpy(conn->replaced, rival->info.peer->handshake, PEERS_LINK_NAME_SIZE);
    conn_retire(peers, now, rival, conn);
    conn_up(peers, now, conn, PEERS_MEMBER);
}

static void conn_accept_against(struct peers *peers, struct mn_now now, struct conn *conn,
                                struct conn *rival)
{
    switch (conn_weigh(peers, conn, rival)) {
    case VERDICT_TAKE_OVER: conn_take_over(peers, now, conn, rival); return;
    case VERDICT_GAP:
        MN_PROBE("peers: the other end had lost the link already");
        conn_cut(peers, now, rival, MN_CLOSED);
        conn_up(peers, now, conn, PEERS_MEMBER);
        return;
    case VERDICT_CHALLENGE: break;
    }
    if (conn->state == CONN_UP) { /* a guest while its member link came up: it may dial again */
        conn_goodbye(peers, now, conn, MN_BUSY, CODE(NONE));
        return;
    }
    link_set_phase(conn->link, LINK_MEMBER); /* the peer may think that it is up */
    conn_challenge(peers, now, conn, rival);
}

static void conn_accept_member(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct conn *rival = peers_find_member(peers, &conn->info.node_id);

    MN_ASSERT(rival != conn);
    if (rival != NULL) {
        conn_accept_against(peers, now, conn, rival);
    } else if (conn->peer_replaces) {
        /* It moved here from a link that we have lost, and thinks that there was no gap. */
        MN_PROBE("peers: taken over from a link that was lost");
        conn_goodbye(peers, now, conn, MN_STATE, CODE(NONE));
    } else if (peers->counts.members >= peers->config.limits.members) {
        peers->counts.refused_full++;
        conn_refuse(peers, now, conn, MN_BUSY, CODE(NONE));
    } else {
        conn_up(peers, now, conn, PEERS_MEMBER);
    }
}

static void conn_accept_guest(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct conn *rival = peers_find_member(peers, &conn->info.node_id);

    if (peers->counts.guests >= peers->config.limits.guests) {
        peers->counts.refused_full++;
        conn_refuse(peers, now, conn, MN_BUSY, CODE(PENDING_FULL));
        return;
    }
    if (rival != NULL && conn->info.refuse == 0 &&
        !mn_id_equal(&conn->info.boot_id, &rival->info.boot_id)) {
        conn_challenge(peers, now, conn, rival);
        return;
    }
    conn_up(peers, now, conn, PEERS_GUEST);
}

void conn_end_challenge(struct peers *peers, struct mn_now now, struct conn *conn, bool is_alive)
{
    const struct conn *rival = conn->rival;
    bool is_same = rival != NULL && mn_id_equal(&conn->info.boot_id, &rival->info.boot_id);
    bool is_guest = conn->info.hello != HELLO(MEMBER);

    MN_ASSERT(conn->state == CONN_CHALLENGER || rival == NULL);
    if (rival != NULL) conn->rival->challenger = NULL;
    conn->rival = NULL;
    if (conn->state != CONN_CHALLENGER) return;
    conn->state = CONN_HELLO;
    if (peers->is_stopping) {
        conn_cut(peers, now, conn, MN_OK);
    } else if (is_alive && is_same) {
        conn_goodbye(peers, now, conn, MN_EXISTS, 0); /* one link is enough */
    } else if (is_alive) {
        mn_trace(peers->config.trace, now.mono, MN_EV_IDENTITY_IN_USE, &conn->info.node_id, 0, 0,
                 conn->info.address);
        conn->info.refuse = CODE(IDENTITY_IN_USE);
        if (is_guest)
            conn_accept_guest(peers, now, conn);
        else
            conn_refuse(peers, now, conn, MN_EXISTS, CODE(IDENTITY_IN_USE));
    } else if (is_guest) {
        conn_accept_guest(peers, now, conn);
    } else {
        conn_accept_member(peers, now, conn);
    }
}

/* ---- who it is ---- */

static bool is_own_key(const struct peers *peers, const struct link_peer *peer)
{
    return memcmp(peer->sign_pk, peers->config.self->key.pk, sizeof peer->sign_pk) == 0;
}

/* Did we reach the same node by another address already? */
static bool conn_is_redundant(const struct peers *peers, const struct conn *conn)
{
    if (!conn->info.is_dialer || conn->is_renewal) return false;
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        const struct conn *other = PEERS_CONN(entry, order);
        if (other != conn && other->info.is_dialer && other->state >= CONN_HELLO &&
            other->state <= CONN_UP && mn_id_equal(&other->info.node_id, &conn->info.node_id))
            return true;
    }
    return false;
}

void conn_on_ready(struct peers *peers, struct mn_now now, struct conn *conn)
{
    const struct link_peer *peer = link_peer(conn->link);

    peers->counts.handshakes_done++;
    conn->info.peer = peer;
    conn->info.node_id = peer->node_id;
    if (conn->target != NULL && conn->target->is_seed) conn->target->node_id = peer->node_id;
    if (is_own_key(peers, peer)) {
        if (conn->info.is_dialer) target_on_own(peers, conn);
        conn_cut(peers, now, conn, MN_EXISTS);
    } else if (gate_is_banned(peers->gate, now, &peer->node_id)) {
        conn_cut(peers, now, conn, MN_DENIED);
    } else if (conn_is_redundant(peers, conn)) {
        conn_cut(peers, now, conn, MN_EXISTS);
    } else {
        conn->state = CONN_HELLO;
        conn->until = mn_time_after(now.mono, peers->config.timing.hello);
        if (conn->info.is_dialer) conn_say_hello(peers, now, conn, false);
        conn_set_timer(peers, conn);
    }
}

/* ---- what it says ---- */

/* Printable ASCII that fits, or nothing. */
static void copy_text(char to[PEERS_TEXT_SIZE], const char *from)
{
    size_t size = 0;

    while (from[size] != 0 && size < PEERS_TEXT_SIZE - 1 && from[size] >= ' ' && from[size] < 127)
        size++;
    memset(to, 0, PEERS_TEXT_SIZE);
    if (from[size] == 0) memcpy(to, from, size);
}

static mn_status read_optional(ProtobufCBinaryData bytes, void *to, size_t size)
{
    memset(to, 0, size);
    return bytes.len == 0 ? MN_OK : pb_fixed(bytes, to, size);
}

/* Fills in what a HELLO says; nothing of it is believed yet. */
static mn_status conn_read_hello(struct conn *conn, struct mn_now now,
                                 const Meshnode__Wire__Hello *hello)
{
    struct peers_link *info = &conn->info;
    mn_status status = read_optional(hello->mesh_id, &info->mesh_id, sizeof info->mesh_id);

    if (status == MN_OK)
        status = read_optional(hello->boot_id, &info->boot_id, sizeof info->boot_id);
    if (status == MN_OK) status = read_optional(hello->authority_pin, info->pin, sizeof info->pin);
    if (status == MN_OK)
        status = read_optional(hello->rival, conn->peer_rival, sizeof conn->peer_rival);
    if (status == MN_OK && hello->grant.len > GRANT_SIZE_MAX) status = MN_TOO_BIG;
    if (status == MN_OK && (hello->kind < HELLO(MEMBER) || hello->kind > HELLO(RENEW)))
        status = MN_MALFORMED;
    if (status != MN_OK) return status;
    conn->peer_has_rival = hello->rival.len > 0;
    conn->peer_replaces = conn->peer_has_rival && hello->replaces;
    info->hello = hello->kind;
    info->wall_ms = hello->wall_ms;
    info->wall_difference_ms = (int64_t)(hello->wall_ms - mn_wall_ms(now));
    info->protocol_min = hello->protocol_min;
    info->protocol_max = hello->protocol_max;
    info->is_dev = hello->dev;
    copy_text(info->name, hello->name);
    copy_text(info->version, hello->version);
    mn_buf_unref(conn->grant);
    conn->grant = mn_buf_copy(pb_span(hello->grant));
    info->grant_bytes = mn_buf_span(conn->grant);
    return MN_OK;
}

/* Is the grant one that makes this very key a member, now? */
static mn_status check_grant(const struct peers *peers, struct mn_now now, struct mn_span bytes,
                             const uint8_t sign_pk[SIGN_PK_SIZE], struct grant *ret)
{
    struct grant grant;
    mn_status status = grant_decode(bytes, &grant);

    if (status != MN_OK) return status;
    if (memcmp(grant.sign_pk, sign_pk, SIGN_PK_SIZE) != 0) return MN_DENIED;
    if (peers->self.authority == NULL) return MN_STATE;
    status = grant_check(&grant, peers->self.authority, peers->self.revoked, mn_wall_ms(now));
    if (status == MN_OK) *ret = grant;
    return status;
}

/* Between two members: same mesh, good grant. */
static void conn_judge_member(struct peers *peers, struct mn_now now, struct conn *conn)
{
    mn_status status;

    if (conn->info.is_dev != peers->config.dev) {
        conn_refuse(peers, now, conn, MN_WRONG_MESH, CODE(DEV_MISMATCH));
        return;
    }
    if (!mn_id_equal(&conn->info.mesh_id, &peers->self.mesh_id)) {
        conn_refuse(peers, now, conn, MN_WRONG_MESH, CODE(MESH_MISMATCH));
        return;
    }
    status = check_grant(peers, now, conn->info.grant_bytes, conn->info.peer->sign_pk,
                         &conn->info.grant);
    if (status != MN_OK) {
        mn_trace(peers->config.trace, now.mono, MN_EV_GRANT_REFUSED, &conn->info.node_id,
                 (uint64_t)status, 0, NULL);
        conn_refuse(peers, now, conn, status, CODE(NONE));
        return;
    }
    conn_accept_member(peers, now, conn);
}

static void conn_judge(struct peers *peers, struct mn_now now, struct conn *conn)
{
    bool is_member = conn->info.hello == HELLO(MEMBER);
    /* A dialer has said what it is before it knew what the other is. */
    bool are_we = conn->info.is_dialer && conn->state == CONN_HELLO ? conn->said_member
                                                                    : is_member_now(peers);

    if (conn->info.protocol_min > PEERS_PROTOCOL_MAX ||
        conn->info.protocol_max < PEERS_PROTOCOL_MIN) {
        conn_refuse(peers, now, conn, MN_UNSUPPORTED, CODE(NONE));
    } else if (are_we && is_member) {
        conn_judge_member(peers, now, conn);
    } else if (are_we) {
        if (conn->info.is_dev != peers->config.dev) conn->info.refuse = CODE(DEV_MISMATCH);
        conn_accept_guest(peers, now, conn);
    } else if (is_member) {
        conn_up(peers, now, conn, PEERS_SPONSOR);
        if (is_member_now(peers)) conn_say_hello(peers, now, conn, false); /* meanwhile we are in */
    } else {
        conn_refuse(peers, now, conn, MN_STATE, CODE(NONE)); /* two strangers cannot help another */
    }
}

void conn_on_hello(struct peers *peers, struct mn_now now, struct conn *conn, struct mn_span bytes)
{
    Meshnode__Wire__Hello *hello;
    bool is_first = conn->state == CONN_HELLO;
    bool is_promotion =
        conn->state == CONN_UP && conn->info.kind != PEERS_MEMBER && is_member_now(peers);

    if (conn->state == CONN_CLOSING) return;
    hello = bytes.size > PEERS_HELLO_MAX
                ? NULL
                : pb_unpack(&meshnode__wire__hello__descriptor, peers->outbox->arena, bytes);
    if (hello == NULL || !(is_first || (is_promotion && hello->kind == HELLO(MEMBER))) ||
        conn_read_hello(conn, now, hello) != MN_OK) {
        peers->counts.controls_refused++;
        conn_cut(peers, now, conn, MN_MALFORMED);
        return;
    }
    conn_judge(peers, now, conn);
}

/* The peer says goodbye, and why. */
void conn_on_close(struct peers *peers, struct mn_now now, struct conn *conn, struct mn_span bytes)
{
    Meshnode__Wire__Close *close =
        pb_unpack(&meshnode__wire__close__descriptor, peers->outbox->arena, bytes);
    mn_status status = close == NULL ? MN_MALFORMED : (mn_status)close->status;
    uint32_t code = close == NULL ? 0 : close->code;

    if (code > CODE(NAME_TAKEN)) code = 0;
    if (conn->state < CONN_CLOSING && (code != 0 || conn->state < CONN_UP) && status != MN_OK &&
        !(status == MN_EXISTS && code == 0))
        report_refused(peers, now, conn, status, (Meshnode__Trust__Code)code, true);
    conn_cut(peers, now, conn,
             conn->state < CONN_UP && status == MN_EXISTS ? MN_EXISTS : MN_CLOSED);
}

/* ---- who we are ---- */

static void peers_recheck_member(struct peers *peers, struct mn_now now, struct conn *conn)
{
    struct grant grant;
    mn_status status =
        check_grant(peers, now, conn->info.grant_bytes, conn->info.peer->sign_pk, &grant);

    if (status == MN_OK) return;
    mn_trace(peers->config.trace, now.mono, MN_EV_GRANT_REFUSED, &conn->info.node_id,
             (uint64_t)status, 0, NULL);
    conn_goodbye(peers, now, conn, status, CODE(NONE));
}

static void conn_on_self(struct peers *peers, struct mn_now now, struct conn *conn)
{
    if (conn->state != CONN_UP) return;
    if (!is_member_now(peers)) {
        if (conn->info.kind != PEERS_SPONSOR) conn_goodbye(peers, now, conn, MN_STATE, CODE(NONE));
        return;
    }
    if (conn->info.kind == PEERS_MEMBER) peers_recheck_member(peers, now, conn);
    if (conn->info.kind == PEERS_SPONSOR && !conn->said_member) {
        conn_say_hello(peers, now, conn, false);
        conn->until = mn_time_after(now.mono, peers->config.timing.hello);
        conn_set_timer(peers, conn);
    }
}

void peers_on_self(struct peers *peers, struct mn_now now, const struct peers_self *self)
{
    struct mn_buf *grant = mn_buf_copy(self->grant);

    mn_buf_unref(peers->grant);
    peers->grant = grant;
    peers->self = *self;
    peers->self.grant = mn_buf_span(grant);
    peers->has_self = true;
    MN_LIST_FOR_EACH (entry, &peers->conns)
        conn_on_self(peers, now, PEERS_CONN(entry, order));
}

void peers_on_grant(struct peers *peers, struct mn_now now, const mn_id *node_id,
                    struct mn_span bytes)
{
    struct conn *conn = peers_find_member(peers, node_id);
    struct grant grant;
    struct mn_buf *copy;

    if (conn == NULL) return;
    copy = mn_buf_copy(bytes);
    if (check_grant(peers, now, mn_buf_span(copy), conn->info.peer->sign_pk, &grant) != MN_OK ||
        grant.not_after_ms < conn->info.grant.not_after_ms) {
        mn_buf_unref(copy);
        return;
    }
    mn_buf_unref(conn->grant);
    conn->grant = copy;
    conn->info.grant = grant;
    conn->info.grant_bytes = mn_buf_span(copy);
}

/* Grants end by the wall clock, which may jump: looked at again and again, not timed. */
void peers_sweep(struct peers *peers, struct mn_now now)
{
    MN_LIST_FOR_EACH (entry, &peers->conns) {
        struct conn *conn = PEERS_CONN(entry, order);
        if (conn->state != CONN_UP || conn->info.kind != PEERS_MEMBER) continue;
        conn_score(conn, now);
        if (mn_wall_ms(now) > conn->info.grant.not_after_ms + GRANT_TOLERANCE_MS)
            conn_goodbye(peers, now, conn, MN_EXPIRED, CODE(NONE));
    }
}
