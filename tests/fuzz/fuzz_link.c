/* Arbitrary bytes into a link. The first byte says where: into an acceptor or a dialer before the
 * handshake, as they are; or behind it, as the plaintext of well-sealed frames in some phase. */
#include <sodium.h>
#include <stdlib.h>

#include "mesh/link_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mn_now now = {MN_SEC, MN_SEC};
static struct link_timing timing;
static struct link_limits limits;
static struct identity identities[2];

static struct link *new_link(bool is_dialer)
{
    struct link_config config = {.is_dialer = is_dialer,
                                 .self = &identities[is_dialer],
                                 .timing = &timing,
                                 .limits = &limits};

    memset(config.ephemeral_sk, 7 + is_dialer, sizeof config.ephemeral_sk);
    return link_new(&config, now);
}

static void read_all(struct link *link, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    struct link_event event;

    link_feed(link, now, bytes);
    do {
        link_next(link, now, &arena, &event);
        if (event.type == LINK_ENVELOPE) mn_buf_unref(event.buf);
    } while (event.type != LINK_NONE);
    link_check(link);
    mn_arena_done(&arena);
}

static bool pass(struct link *from, struct link *to)
{
    struct mn_buf *buf = link_flush(from, now);

    if (buf == NULL) return false;
    link_on_sent(from);
    read_all(to, mn_buf_span(buf));
    mn_buf_unref(buf);
    return true;
}

/* Cuts the bytes into frames: a u8 size each, and sealed by an honest peer's key. */
static void feed_sealed(struct link *peer, struct link *link, struct mn_span bytes)
{
    while (bytes.size > 0 && link_phase(link) != LINK_ENDED) {
        uint8_t frame[FRAME_LENGTH_SIZE + 256 + FRAME_TAG_SIZE];
        size_t size = bytes.data[0] < bytes.size - 1 ? bytes.data[0] : bytes.size - 1;

        mn_store_u16(frame, (uint16_t)(size + FRAME_TAG_SIZE));
        if (noise_seal(&peer->send, bytes.data + 1, size, frame + FRAME_LENGTH_SIZE) != MN_OK)
            abort();
        read_all(link, mn_span(frame, FRAME_LENGTH_SIZE + size + FRAME_TAG_SIZE));
        bytes = mn_span(bytes.data + 1 + size, bytes.size - 1 - size);
    }
}

static void init(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {0};

    if (timing.idle != 0) return;
    if (sodium_init() < 0) abort();
    timing = link_timing_default();
    limits = link_limits_default();
    for (unsigned i = 0; i < 2; i++) {
        seed[0] = (uint8_t)(i + 1);
        identity_init(&identities[i], seed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct link *link, *peer;
    struct mn_buf *buf;
    unsigned mode;

    if (size == 0) return 0;
    init();
    mode = data[0] % 7;
    link = new_link(mode == 1);
    peer = new_link(mode != 1);
    if (mode <= 1) {
        buf = link_flush(link, now); /* a dialer speaks first */
        mn_buf_unref(buf);
        read_all(link, mn_span(data + 1, size - 1));
    } else {
        for (unsigned i = 0; i < 4; i++) {
            pass(peer, link);
            pass(link, peer);
        }
        if (mode > 2) link_set_phase(link, (enum link_phase)(LINK_HELLO + (mode - 2) % 4));
        feed_sealed(peer, link, mn_span(data + 1, size - 1));
        buf = link_flush(link, now);
        mn_buf_unref(buf);
    }
    link_free(link);
    link_free(peer);
    return 0;
}
