/* Arbitrary items from a handshaken stranger into peers: HELLO, CLOSE, admission, envelopes. The
 * input is items as in a frame; each goes into a frame of its own. */
#include <sodium.h>
#include <stdlib.h>

#include "mesh/link_internal.h"
#include "mesh/peers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mn_now now = {MN_SEC, 1700000000 * MN_SEC};
static struct identity self, stranger;
static struct authority authority;
static struct mn_buf *grant;

static void init(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {1};
    struct sign_key root, issuer;
    struct mn_buf *document;
    struct grant of_self = {.name = "self",
                            .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                            .not_before_ms = 1699999000000,
                            .not_after_ms = 1800000000000,
                            .authority_version = 1,
                            .via = MESHNODE__TRUST__VIA__VIA_GENESIS};

    if (grant != NULL) return;
    if (sodium_init() < 0) abort();
    identity_init(&self, seed);
    seed[0] = 2;
    identity_init(&stranger, seed);
    sign_key_init(&root, seed);
    sign_key_init(&issuer, seed);
    document =
        authority_genesis_make(&(struct authority_genesis){.root = &root,
                                                           .founder = issuer.pk,
                                                           .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                                           .created_ms = 1699999000000});
    if (authority_decode(mn_buf_span(document), &authority) != MN_OK) abort();
    mn_buf_unref(document);
    of_self.mesh_id = authority.mesh_id;
    of_self.serial = self.node_id;
    memcpy(of_self.sign_pk, self.key.pk, SIGN_PK_SIZE);
    grant = grant_sign(&of_self, &issuer);
}

static struct peers *new_peers(uint64_t *conns_next)
{
    struct peers_config config = {.self = &self,
                                  .boot_id = {{5}},
                                  .name = "self",
                                  .version = "1",
                                  .timing = peers_timing_default(),
                                  .limits = peers_limits_default(),
                                  .conns_next = conns_next,
                                  .conns_step = 2};
    return peers_new(&config);
}

/* One step and the end of its turn; what goes to the stranger is read by it. */
static void step(struct peers *peers, struct link *link, const struct peers_input *input)
{
    struct mn_arena arena = {0}, scratch = {0};
    struct peers_outbox outbox = {.arena = &arena};
    struct link_event event;

    peers_step(peers, now, input, &outbox);
    peers_step(peers, now, &(struct peers_input){.type = PEERS_IN_TURN_END}, &outbox);
    peers_check(peers);
    for (uint32_t i = 0; i < outbox.count; i++) {
        if (outbox.items[i].type != PEERS_OUT_SEND) continue;
        link_feed(link, now, mn_buf_span(outbox.items[i].buf));
        do {
            link_next(link, now, &scratch, &event);
            if (event.type == LINK_ENVELOPE) mn_buf_unref(event.buf);
        } while (event.type != LINK_NONE);
    }
    peers_outbox_reset(&outbox);
    mn_arena_done(&arena);
    mn_arena_done(&scratch);
}

static void flush(struct peers *peers, struct link *link)
{
    struct mn_buf *buf;

    while ((buf = link_flush(link, now)) != NULL) {
        link_on_sent(link);
        step(peers, link,
             &(struct peers_input){.type = PEERS_IN_BYTES, .conn = 1, .bytes = mn_buf_span(buf)});
        step(peers, link, &(struct peers_input){.type = PEERS_IN_SENT, .conn = 1});
        mn_buf_unref(buf);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t conns_next = 2;
    struct link_timing timing = link_timing_default();
    struct link_limits limits = link_limits_default();
    struct link_config config = {
        .is_dialer = true, .self = &stranger, .timing = &timing, .limits = &limits};
    struct mn_span rest = mn_span(data, size);
    struct frame_item item;
    struct peers *peers;
    struct link *link;

    init();
    config.ephemeral_sk[0] = 9;
    peers = new_peers(&conns_next);
    link = link_new(&config, now);
    step(peers, link,
         &(struct peers_input){
             .type = PEERS_IN_SELF,
             .self = &(struct peers_self){.hello = MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER,
                                          .mesh_id = authority.mesh_id,
                                          .grant = mn_buf_span(grant),
                                          .authority = &authority}});
    step(peers, link,
         &(struct peers_input){
             .type = PEERS_IN_ACCEPTED, .conn = 1, .address = mn_span_str("192.0.2.1:5")});
    flush(peers, link);
    flush(peers, link);
    while (frame_take_item(&rest, &item) == MN_OK) {
        if (link_send_control(link, item.kind, item.bytes) != MN_OK) break;
        flush(peers, link);
        now.mono += 100 * MN_MS;
    }
    step(peers, link, &(struct peers_input){.type = PEERS_IN_CLOSED, .conn = 1, .status = MN_IO});
    link_free(link);
    peers_free(peers);
    return 0;
}
