/* Arbitrary items from handshaken peers into a peers core, over up to three connections at once.
 * Byte 0: are we a member? Then items as in a frame; kinds over 0xf0 are moves of the test: a good
 * HELLO of a member, another connection, a change of what we are, time, an envelope of ours. */
#include <sodium.h>
#include <stdlib.h>

#include "mesh/peers.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define CONNS 3
#define MEMBER MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER
#define JOIN MESHNODE__WIRE__HELLO_KIND__HELLO_JOIN

enum move {
    MOVE_HELLO = 0xf1, /* bytes: its boot id */
    MOVE_ACCEPT,       /* a new connection, and further items go over it */
    MOVE_DIAL,         /* the same, dialed by us */
    MOVE_SELF,         /* member or joiner */
    MOVE_TIME,         /* bytes: u8 x 100 ms */
    MOVE_SEND,
    MOVE_CLOSED,
    MOVE_SWITCH /* the next connection */
};

struct end {
    struct link *link; /* the other end of the connection; NULL: closed */
    uint64_t conn;
};

struct run {
    struct mn_now now;
    struct peers *peers;
    struct end ends[CONNS];
    unsigned at; /* the end in use */
    uint64_t conns_next, accepts_next;
    bool is_member;
};

static struct identity self, stranger;
static struct authority authority;
static struct mn_buf *grants[2]; /* ours, the stranger's */
static struct link_timing timing;
static struct link_limits limits;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mn_buf *make_grant(const struct identity *identity, const struct sign_key *issuer)
{
    struct grant grant = {.mesh_id = authority.mesh_id,
                          .serial = identity->node_id,
                          .name = "node",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .not_before_ms = 1699999000000,
                          .not_after_ms = 1800000000000,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_GENESIS};

    memcpy(grant.sign_pk, identity->key.pk, SIGN_PK_SIZE);
    return grant_sign(&grant, issuer);
}

static void init(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {1};
    struct sign_key issuer;
    struct mn_buf *document;

    if (grants[0] != NULL) return;
    if (sodium_init() < 0) abort();
    timing = link_timing_default();
    limits = link_limits_default();
    identity_init(&self, seed);
    seed[0] = 2;
    identity_init(&stranger, seed);
    sign_key_init(&issuer, seed);
    document =
        authority_genesis_make(&(struct authority_genesis){.root = &issuer,
                                                           .founder = self.key.pk,
                                                           .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                                           .created_ms = 1699999000000});
    if (authority_decode(mn_buf_span(document), &authority) != MN_OK) abort();
    mn_buf_unref(document);
    grants[0] = make_grant(&self, &self.key);
    grants[1] = make_grant(&stranger, &self.key);
}

static void read_link(struct run *run, struct link *link, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    struct link_event event;

    link_feed(link, run->now, bytes);
    do {
        link_next(link, run->now, &arena, &event);
        if (event.type == LINK_ENVELOPE) mn_buf_unref(event.buf);
        if (event.type == LINK_HELLO_IN) link_set_phase(link, LINK_MEMBER);
    } while (event.type != LINK_NONE);
    mn_arena_done(&arena);
}

static void drop_end(struct end *end)
{
    link_free(end->link);
    end->link = NULL;
}

static void carry_out(struct run *run, const struct peers_output *output)
{
    for (unsigned i = 0; i < CONNS; i++) {
        struct end *end = &run->ends[i];
        if (output->type == PEERS_OUT_DIAL && i == run->at) end->conn = output->conn;
        if (end->link == NULL || end->conn != output->conn) continue;
        if (output->type == PEERS_OUT_SEND) read_link(run, end->link, mn_buf_span(output->buf));
        if (output->type == PEERS_OUT_CLOSE) drop_end(end);
    }
}

/* One step and the end of its turn. */
static void step(struct run *run, const struct peers_input *input)
{
    struct mn_arena arena = {0};
    struct peers_outbox outbox = {.arena = &arena};

    peers_step(run->peers, run->now, input, &outbox);
    peers_step(run->peers, run->now, &(struct peers_input){.type = PEERS_IN_TURN_END}, &outbox);
    peers_check(run->peers);
    for (uint32_t i = 0; i < outbox.count; i++)
        carry_out(run, &outbox.items[i]);
    peers_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

/* Lets everything cross that waits at any end. */
static void flush(struct run *run)
{
    for (unsigned i = 0; i < 2 * CONNS; i++) {
        struct end *end = &run->ends[i % CONNS];
        struct mn_buf *buf;
        if (end->link == NULL) continue;
        step(run, &(struct peers_input){.type = PEERS_IN_SENT, .conn = end->conn});
        if (end->link == NULL || (buf = link_flush(end->link, run->now)) == NULL) continue;
        link_on_sent(end->link);
        step(run, &(struct peers_input){
                      .type = PEERS_IN_BYTES, .conn = end->conn, .bytes = mn_buf_span(buf)});
        mn_buf_unref(buf);
    }
}

static void set_self(struct run *run)
{
    struct peers_self what = {.hello = run->is_member ? MEMBER : JOIN};

    if (run->is_member) {
        what.mesh_id = authority.mesh_id;
        what.grant = mn_buf_span(grants[0]);
        what.authority = &authority;
    }
    step(run, &(struct peers_input){.type = PEERS_IN_SELF, .self = &what});
}

static void close_end(struct run *run, struct end *end)
{
    if (end->link == NULL) return;
    drop_end(end);
    step(run, &(struct peers_input){.type = PEERS_IN_CLOSED, .conn = end->conn, .status = MN_IO});
}

static void connect_end(struct run *run, bool is_dialed)
{
    struct peers_dial dial = {.addrs = {mn_span_str("192.0.2.1:7")}, .addrs_count = 1};
    struct link_config config = {
        .is_dialer = !is_dialed, .self = &stranger, .timing = &timing, .limits = &limits};
    struct end *end;

    run->at = (run->at + 1) % CONNS;
    end = &run->ends[run->at];
    close_end(run, end);
    end->conn = 0;
    config.ephemeral_sk[0] = (uint8_t)(run->accepts_next + 9);
    if (is_dialed) {
        step(run, &(struct peers_input){.type = PEERS_IN_DIAL, .dial = &dial});
        if (end->conn == 0) return; /* it has a link already */
    } else {
        end->conn = run->accepts_next;
    }
    run->accepts_next += 2;
    end->link = link_new(&config, run->now);
    step(run, &(struct peers_input){.type = is_dialed ? PEERS_IN_CONNECTED : PEERS_IN_ACCEPTED,
                                    .conn = end->conn,
                                    .address = mn_span_str("192.0.2.1:5")});
    flush(run);
}

static void say_hello(struct link *link, struct mn_span boot_id)
{
    struct mn_arena arena = {0};
    Meshnode__Wire__Hello hello;
    mn_id boot = {{1}};

    if (boot_id.size > 0) boot.bytes[0] = boot_id.data[0];
    meshnode__wire__hello__init(&hello);
    hello.protocol_min = hello.protocol_max = 1;
    hello.kind = MEMBER;
    hello.mesh_id = pb_id_bytes(&authority.mesh_id);
    hello.boot_id = pb_id_bytes(&boot);
    hello.grant = pb_bytes(mn_buf_span(grants[1]));
    (void)!link_send_control(link, FRAME_HELLO, pb_pack_arena(&hello.base, &arena));
    mn_arena_done(&arena);
}

static void send_envelope(struct run *run)
{
    struct envelope envelope = {.type = ENVELOPE_EVENT, .priority = ENVELOPE_LOW};
    struct peers_send send = {.node_id = stranger.node_id, .envelope = &envelope, .tag = 1};

    step(run, &(struct peers_input){.type = PEERS_IN_SEND, .send = &send});
}

static void pass_time(struct run *run, struct mn_span bytes)
{
    run->now.mono += 100 * MN_MS * (bytes.size == 0 ? 1 : bytes.data[0]);
    for (unsigned i = 0; i < 8 && peers_deadline(run->peers) <= run->now.mono; i++)
        step(run, &(struct peers_input){.type = PEERS_IN_TICK});
}

static void move(struct run *run, unsigned kind, struct mn_span bytes)
{
    struct end *end = &run->ends[run->at];

    switch (kind) {
    case MOVE_HELLO:
        if (end->link != NULL) say_hello(end->link, bytes);
        break;
    case MOVE_ACCEPT: connect_end(run, false); break;
    case MOVE_DIAL: connect_end(run, true); break;
    case MOVE_SELF:
        run->is_member = !run->is_member;
        set_self(run);
        break;
    case MOVE_TIME: pass_time(run, bytes); break;
    case MOVE_SEND: send_envelope(run); break;
    case MOVE_CLOSED: close_end(run, end); break;
    case MOVE_SWITCH: run->at = (run->at + 1) % CONNS; break;
    default:
        if (end->link != NULL) (void)!link_send_control(end->link, (enum frame_kind)kind, bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = {MN_SEC, 1700000000 * MN_SEC}, .conns_next = 2, .accepts_next = 1};
    struct peers_config config = {.self = &self,
                                  .boot_id = {{5}},
                                  .name = "self",
                                  .version = "1",
                                  .timing = peers_timing_default(),
                                  .limits = peers_limits_default(),
                                  .conns_next = &run.conns_next,
                                  .conns_step = 2};
    struct mn_span rest;
    struct frame_item item;

    if (size == 0) return 0;
    init();
    run.is_member = data[0] % 2 == 1;
    run.peers = peers_new(&config);
    set_self(&run);
    connect_end(&run, false);
    rest = mn_span(data + 1, size - 1);
    for (unsigned i = 0; i < 64 && frame_take_item(&rest, &item) == MN_OK; i++) {
        move(&run, (unsigned)item.kind, item.bytes);
        flush(&run);
    }
    for (unsigned i = 0; i < CONNS; i++)
        drop_end(&run.ends[i]);
    peers_free(run.peers);
    return 0;
}
