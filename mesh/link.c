#include "mesh/link_internal.h"

#include <sodium.h>

#include "crypto/digest.h"

struct link_timing link_timing_default(void)
{
    return (struct link_timing){.preamble = 2 * MN_SEC,
                                .handshake = 5 * MN_SEC,
                                .frame = 10 * MN_SEC,
                                .ping = 5 * MN_SEC,
                                .idle = 15 * MN_SEC,
                                .stall = MN_MINUTE,
                                .rekey = MN_HOUR};
}

struct link_limits link_limits_default(void)
{
    return (struct link_limits){.rekey_frames = (uint64_t)1 << 20,
                                .rekey_bytes = (uint64_t)4 << 30,
                                .control_max = (size_t)256 << 10,
                                .queue = queue_limits_default()};
}

/* ---- life ---- */

static struct noise *link_new_noise(const struct link_config *config)
{
    static const char prologue[] = FRAME_PROLOGUE "\0" FRAME_PREAMBLE; /* its own NUL not sent */
    struct noise *noise = mn_alloc(sizeof *noise);

    _Static_assert(sizeof prologue - 1 == sizeof FRAME_PROLOGUE + FRAME_PREAMBLE_SIZE, "prologue");
    noise_init(noise, &(struct noise_config){.is_initiator = config->is_dialer,
                                             .prologue = mn_span(prologue, sizeof prologue - 1),
                                             .static_sk = config->self->noise_sk,
                                             .static_pk = config->self->noise_pk,
                                             .ephemeral_sk = config->ephemeral_sk});
    return noise;
}

static void link_end_noise(struct link *link)
{
    if (link->noise == NULL) return;
    noise_done(link->noise);
    mn_free(link->noise);
    link->noise = NULL;
}

/* The next handshake message, ours, with [payload]. */
static mn_status link_write_handshake(struct link *link, struct mn_span payload)
{
    uint8_t message[FRAME_LENGTH_SIZE + FRAME_HANDSHAKE_MAX];
    size_t size;
    mn_status status =
        noise_write(link->noise, payload, message + FRAME_LENGTH_SIZE, FRAME_HANDSHAKE_MAX, &size);

    if (status != MN_OK) return status;
    mn_store_u16(message, (uint16_t)size);
    mn_writer_add(&link->raw, mn_span(message, FRAME_LENGTH_SIZE + size));
    return MN_OK;
}

struct link *link_new(const struct link_config *config, struct mn_now now)
{
    struct link *link = mn_alloc(sizeof *link);

    link->is_dialer = config->is_dialer;
    link->has_preamble = config->is_dialer;
    link->has_expected = config->expected != NULL;
    if (config->expected != NULL) link->expected = *config->expected;
    link->self = config->self;
    link->timing = config->timing;
    link->limits = config->limits;
    link->phase = LINK_HANDSHAKE;
    link->noise = link_new_noise(config);
    link->preamble_until = mn_time_after(now.mono, config->timing->preamble);
    link->handshake_until = mn_time_after(now.mono, config->timing->handshake);
    link->partial_since = MN_TIME_NEVER;
    link->heard = now.mono;
    link->queue = queue_new(&config->limits->queue);
    link_window_begin(link);
    if (link->is_dialer) {
        mn_status status;
        mn_writer_add(&link->raw, mn_span(FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE));
        status = link_write_handshake(link, mn_span(NULL, 0));
        MN_ASSERT(status == MN_OK); /* the first message needs nothing from outside */
    }
    return link;
}

void link_free(struct link *link)
{
    if (link == NULL) return;
    link_end_noise(link);
    noise_cipher_done(&link->send);
    noise_cipher_done(&link->receive);
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        mn_writer_drop(&link->parts[i]);
    mn_writer_drop(&link->raw);
    mn_writer_drop(&link->control);
    mn_free(link->partial);
    queue_free(link->queue);
    sodium_memzero(link, sizeof *link);
    mn_free(link);
}

void link_fail(struct link *link, mn_status status)
{
    MN_ASSERT(status != MN_OK);
    if (link->phase == LINK_ENDED) return;
    link->phase = LINK_ENDED;
    link->has_failed = true;
    link->failure = status;
}

/* ---- handshake ---- */

/* What is knocking, if it is not one of ours? */
static enum link_garbage link_classify(const uint8_t *bytes, size_t size)
{
    static const char *const methods[] = {"GET ", "POST", "HEAD", "PUT ", "OPTI", "DELE", "PRI "};

    if (size >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03) return LINK_GARBAGE_TLS;
    for (unsigned i = 0; size >= 4 && i < sizeof methods / sizeof *methods; i++)
        if (memcmp(bytes, methods[i], 4) == 0) return LINK_GARBAGE_HTTP;
    return LINK_GARBAGE_OTHER;
}

/* Takes the preamble, or refuses at its first wrong byte. False: more bytes are needed, or it
 * failed. */
static bool link_read_preamble(struct link *link, struct mn_now now)
{
    bool is_whole = link_collect(link, now, FRAME_PREAMBLE_SIZE);
    size_t size = link->partial_size;

    if (size > 0 && memcmp(link->partial, FRAME_PREAMBLE, size) != 0) {
        link->garbage = link_classify(link->partial, size);
        link_fail(link, MN_MALFORMED);
        return false;
    }
    if (is_whole) link_drop_partial(link);
    link->has_preamble = is_whole;
    return is_whole;
}

/* The peer showed its identity: check it against the handshake's static key. */
static mn_status link_check_identity(struct link *link, struct mn_span payload)
{
    struct link_peer *peer = &link->peer;
    mn_status status = identity_link_check(payload, link->noise->remote_static, peer->sign_pk);

    if (status != MN_OK) return status;
    peer->node_id = digest_node_id(peer->sign_pk);
    memcpy(peer->noise_pk, link->noise->remote_static, sizeof peer->noise_pk);
    if (link->has_expected && !mn_id_equal(&link->expected, &peer->node_id)) return MN_DENIED;
    return MN_OK;
}

static mn_status link_write_identity(struct link *link)
{
    struct mn_buf *payload = identity_link_payload(link->self);
    mn_status status = link_write_handshake(link, mn_buf_span(payload));

    mn_buf_unref(payload);
    return status;
}

/* Dialer: -> 1, <- 2, -> 3. Acceptor: <- 1, -> 2, <- 3. Messages 2 and 3 carry identities. */
static mn_status link_read_handshake(struct link *link, struct mn_span message)
{
    uint8_t payload[FRAME_HANDSHAKE_MAX];
    size_t size;
    bool has_identity = link->is_dialer || link->noise->step == 2;
    mn_status status = noise_read(link->noise, message, payload, sizeof payload, &size);

    if (status != MN_OK) return status;
    if (has_identity) {
        status = link_check_identity(link, mn_span(payload, size));
        if (status != MN_OK) return status;
    } else if (size > 0) {
        return MN_MALFORMED; /* message 1 has nothing to say, and would say it in clear */
    }
    return noise_must_write(link->noise) ? link_write_identity(link) : MN_OK;
}

static void link_open(struct link *link, struct mn_now now)
{
    noise_split(link->noise, &link->send, &link->receive);
    memcpy(link->peer.handshake, link->noise->hash, sizeof link->peer.handshake);
    link_end_noise(link);
    link->phase = LINK_HELLO;
    link->key_since = link->stats.opened = link->heard = now.mono;
    link->ping_at = now.mono; /* at once when the phase allows it: the first round trip */
}

/* True: the handshake is done. */
static bool link_step_handshake(struct link *link, struct mn_now now)
{
    while (link->phase == LINK_HANDSHAKE) {
        struct mn_span message;
        mn_status status;

        if (!link->has_preamble && !link_read_preamble(link, now)) return false;
        status = link_cut(link, now, NOISE_OVERHEAD_1, FRAME_HANDSHAKE_MAX, &message);
        if (status == MN_NOT_YET) return false;
        if (status == MN_OK) status = link_read_handshake(link, message);
        link_drop_partial(link);
        if (status != MN_OK) {
            link_fail(link, status);
            return false;
        }
        if (noise_is_done(link->noise)) {
            link_open(link, now);
            return true;
        }
    }
    return false;
}

/* ---- reading ---- */

void link_feed(struct link *link, struct mn_now now, struct mn_span bytes)
{
    MN_ASSERT(link->input.size == 0);
    if (link->phase == LINK_ENDED || bytes.size == 0) return;
    link->input = bytes;
    link->heard = now.mono;
    link->stats.bytes_in += bytes.size;
}

void link_next(struct link *link, struct mn_now now, struct mn_arena *arena, struct link_event *ret)
{
    *ret = (struct link_event){0};
    if (link->phase == LINK_HANDSHAKE && link_step_handshake(link, now)) {
        ret->type = LINK_READY;
        return;
    }
    if (link->phase != LINK_HANDSHAKE && link->phase != LINK_ENDED &&
        link_next_item(link, now, arena, ret))
        return;
    if (link->has_failed) {
        link->has_failed = false;
        *ret = (struct link_event){
            .type = LINK_CLOSED, .status = link->failure, .garbage = link->garbage};
    }
    if (link->phase == LINK_ENDED) link->input = link->plain = mn_span(NULL, 0);
    MN_ASSERT(link->input.size == 0);
    if (link->partial_size > 0) return;
    mn_free(link->partial); /* an idle link holds no memory for reading */
    link->partial = NULL;
}

/* ---- phases, pings, timers ---- */

enum link_phase link_phase(const struct link *link)
{
    return link->phase;
}

void link_set_phase(struct link *link, enum link_phase phase)
{
    if (link->phase == LINK_ENDED) return;
    MN_ASSERT(link->phase != LINK_HANDSHAKE && phase >= link->phase && phase < LINK_ENDED);
    link->phase = phase;
}

static bool link_is_open(const struct link *link)
{
    return link->phase > LINK_HELLO && link->phase < LINK_ENDED;
}

bool link_ping(struct link *link, struct mn_now now)
{
    uint8_t number[FRAME_PING_SIZE];

    mn_store_u64(number, link->ping_number + 1);
    if (link_send_control(link, FRAME_PING, mn_span(number, sizeof number)) != MN_OK) return false;
    link->ping_number++;
    link->ping_sent = now.mono;
    return true;
}

void link_start_challenge(struct link *link, struct mn_now now)
{
    link_ping(link, now);
    link->challenge_number = link->ping_number;
}

bool link_challenge_answered(const struct link *link)
{
    return link->pong_number >= link->challenge_number;
}

void link_set_paused(struct link *link, struct mn_now now, bool paused)
{
    if (link->is_paused == paused) return;
    link->is_paused = paused;
    link->heard = now.mono;
    if (link->partial_since != MN_TIME_NEVER) link->partial_since = now.mono;
}

void link_on_sent(struct link *link)
{
    link->is_sending = false;
}

/* When silence, or a message that does not end, ends the link. */
static mn_time link_patience(const struct link *link)
{
    const struct link_timing *timing = link->timing;
    mn_time until = MN_TIME_NEVER;

    if (link->is_sending) until = mn_time_after(link->sending_since, timing->stall);
    if (link->is_paused) return until;
    if (link->partial_since != MN_TIME_NEVER)
        until = mn_time_min(until, mn_time_after(link->partial_since, timing->frame));
    return mn_time_min(until, mn_time_after(link->heard, timing->idle));
}

mn_time link_deadline(const struct link *link)
{
    if (link->phase == LINK_ENDED) return link->has_failed ? 0 : MN_TIME_NEVER;
    if (link->phase == LINK_HANDSHAKE)
        return link->has_preamble ? link->handshake_until
                                  : mn_time_min(link->preamble_until, link->handshake_until);
    return link_is_open(link) && !link->is_closing ? mn_time_min(link_patience(link), link->ping_at)
                                                   : link_patience(link);
}

void link_tick(struct link *link, struct mn_now now)
{
    if (link->phase == LINK_ENDED || now.mono < link_deadline(link)) return;
    if (link->phase == LINK_HANDSHAKE || now.mono >= link_patience(link)) {
        link_fail(link, MN_TIMEOUT);
        return;
    }
    link_ping(link, now); /* also when an answer is missing: the peer shall hear from us */
    link->ping_at = mn_time_after(now.mono, link->timing->ping);
}

/* ---- looking ---- */

struct queue *link_queue(struct link *link)
{
    return link->queue;
}

void link_move_queue(struct link *from, struct link *to)
{
    struct queue *queue = to->queue;

    MN_ASSERT(queue_count(queue) == 0);
    to->queue = from->queue;
    from->queue = queue;
    queue_restart_parts(to->queue);
    link_window_begin(to);
    link_window_begin(from);
}

const struct link_peer *link_peer(const struct link *link)
{
    return &link->peer;
}

const struct link_stats *link_stats(const struct link *link)
{
    return &link->stats;
}

size_t link_queued_bytes(const struct link *link, enum envelope_priority priority)
{
    return queue_priority_bytes(link->queue, priority);
}

void link_check(const struct link *link)
{
    size_t parts = 0;

    MN_ASSERT((link->noise != NULL) == (link->phase == LINK_HANDSHAKE) ||
              link->phase == LINK_ENDED);
    MN_ASSERT(link->input.size == 0 && link->plain.size == 0);
    MN_ASSERT((link->partial_size > 0) == (link->partial_since != MN_TIME_NEVER) ||
              link->phase == LINK_ENDED);
    MN_ASSERT(link->control_taken <= mn_writer_size(&link->control));
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
        MN_ASSERT(mn_writer_size(&link->parts[i]) <= link->parts_size[i]);
        if (i != ENVELOPE_CRITICAL) parts += link->parts_size[i];
    }
    MN_ASSERT(parts <= FRAME_PARTS_MAX);
    queue_check(link->queue);
}
