#include "mesh/link_internal.h"

/* Frames of a link, in and out. */

/* ---- the stream ---- */

bool link_collect(struct link *link, struct mn_now now, size_t size)
{
    size_t more = size - link->partial_size;

    if (more > link->input.size) more = link->input.size;
    if (more > 0) {
        link->partial = mn_realloc(link->partial, size);
        memcpy(link->partial + link->partial_size, link->input.data, more);
        link->input = mn_span(link->input.data + more, link->input.size - more);
        if (link->partial_size == 0) link->partial_since = now.mono;
        link->partial_size += more;
    }
    return link->partial_size == size;
}

void link_drop_partial(struct link *link)
{
    link->partial_size = 0;
    link->partial_since = MN_TIME_NEVER;
}

mn_status link_cut(struct link *link, struct mn_now now, size_t size_min, size_t size_max,
                   struct mn_span *ret)
{
    size_t used = 0;
    mn_status status;

    if (link->partial_size == 0) {
        status = frame_cut(link->input, size_min, size_max, ret, &used);
        if (status == MN_OK)
            link->input = mn_span(link->input.data + used, link->input.size - used);
        if (status != MN_NOT_YET) return status;
    }
    if (link->partial_size < FRAME_LENGTH_SIZE && !link_collect(link, now, FRAME_LENGTH_SIZE))
        return MN_NOT_YET;
    status = frame_cut(mn_span(link->partial, FRAME_LENGTH_SIZE), size_min, size_max, ret, &used);
    if (status != MN_NOT_YET && status != MN_OK) return status; /* refused before memory is taken */
    used = FRAME_LENGTH_SIZE + (size_t)mn_load_u16(link->partial);
    if (!link_collect(link, now, used)) return MN_NOT_YET;
    *ret = mn_span(link->partial + FRAME_LENGTH_SIZE, used - FRAME_LENGTH_SIZE);
    return MN_OK;
}

/* ---- reading ---- */

static size_t link_frame_max(const struct link *link)
{
    bool is_small = link->phase == LINK_GUEST || (link->phase == LINK_HELLO && !link->is_dialer);
    return is_small ? FRAME_GUEST_MAX + FRAME_TAG_SIZE : FRAME_SEALED_MAX;
}

/* Opens the next frame into the arena. */
static mn_status link_open_frame(struct link *link, struct mn_now now, struct mn_arena *arena)
{
    struct mn_span sealed;
    uint8_t *plain;
    mn_status status =
        link_cut(link, now, FRAME_TAG_SIZE + FRAME_ITEM_HEAD_SIZE, link_frame_max(link), &sealed);

    if (status != MN_OK) return status;
    plain = mn_arena_alloc(arena, sealed.size);
    status = noise_open(&link->receive, sealed.data, sealed.size, plain);
    link_drop_partial(link);
    if (status != MN_OK) return MN_CRYPTO;
    link->plain = mn_span(plain, sealed.size - FRAME_TAG_SIZE);
    link->stats.frames_in++;
    return MN_OK;
}

/* May an item of this kind come now? Kinds that we do not know are a newer member's. */
static bool link_allows(const struct link *link, enum frame_kind kind)
{
    switch (kind) {
    case FRAME_HELLO:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_REKEY:
    case FRAME_CLOSE: return true;
    case FRAME_ADMISSION: return link->phase >= LINK_GUEST;
    case FRAME_ENVELOPE:
    case FRAME_PART_FIRST:
    case FRAME_PART: return link->phase == LINK_MEMBER;
    }
    return link->phase == LINK_MEMBER;
}

/* Link seal proves the neighbour and nobody else: both ends must be the link's. */
static mn_status link_check_ends(const struct link *link, const struct envelope *envelope)
{
    if (envelope->seal != ENVELOPE_SEAL_LINK) return MN_UNSUPPORTED;
    if (envelope->source != NULL && !mn_id_equal(envelope->source, &link->peer.node_id))
        return MN_DENIED;
    if (envelope->destination != NULL && !mn_id_equal(envelope->destination, &link->self->node_id))
        return MN_DENIED;
    return MN_OK;
}

static void link_read_envelope(struct link *link, struct mn_span bytes, struct mn_buf *buf,
                               struct mn_arena *arena, struct link_event *ret)
{
    struct envelope *envelope = mn_arena_alloc(arena, sizeof *envelope);
    mn_status status = envelope_decode(bytes, envelope);

    if (status == MN_OK) status = link_check_ends(link, envelope);
    if (status != MN_OK) {
        mn_buf_unref(buf);
        link->stats.malformed++;
        *ret = (struct link_event){.type = LINK_MALFORMED, .status = status};
        return;
    }
    link->stats.envelopes_in++;
    *ret = (struct link_event){.type = LINK_ENVELOPE, .envelope = envelope, .buf = buf};
}

static mn_status link_begin_parts(struct link *link, const struct frame_part *part)
{
    size_t held = 0;

    if (link->parts_size[part->priority] != 0) return MN_MALFORMED;
    for (unsigned i = ENVELOPE_CRITICAL + 1; i < ENVELOPE_PRIORITIES; i++)
        held += link->parts_size[i];
    if (part->priority != ENVELOPE_CRITICAL && held + part->whole_size > FRAME_PARTS_MAX)
        return MN_TOO_BIG;
    link->parts_size[part->priority] = part->whole_size;
    return MN_OK;
}

/* True: an envelope is complete, and *ret an event. */
static bool link_read_part(struct link *link, const struct frame_item *item, struct mn_arena *arena,
                           struct link_event *ret)
{
    struct frame_part part;
    struct mn_writer *writer;
    struct mn_buf *buf;
    mn_status status = frame_read_part(item, &part);

    if (status == MN_OK && item->kind == FRAME_PART_FIRST) status = link_begin_parts(link, &part);
    if (status == MN_OK && part.bytes.size > link->parts_size[part.priority] -
                                                 mn_writer_size(&link->parts[part.priority]))
        status = MN_MALFORMED; /* more than announced, or nothing was */
    if (status != MN_OK) {
        link_fail(link, status);
        return false;
    }
    writer = &link->parts[part.priority];
    mn_writer_add(writer, part.bytes); /* memory grows with what came, not with what is promised */
    if (mn_writer_size(writer) < link->parts_size[part.priority]) return false;
    link->parts_size[part.priority] = 0;
    buf = mn_writer_done(writer);
    link_read_envelope(link, mn_buf_span(buf), buf, arena, ret);
    return true;
}

static void link_read_ping(struct link *link, struct mn_now now, const struct frame_item *item)
{
    uint64_t number;
    mn_time rtt = 0;

    if (item->bytes.size != FRAME_PING_SIZE) {
        link_fail(link, MN_MALFORMED);
        return;
    }
    if (item->kind == FRAME_PING) {
        if (link_send_control(link, FRAME_PONG, item->bytes) != MN_OK)
            MN_PROBE("link: no room for a pong");
        return;
    }
    number = mn_load_u64(item->bytes.data);
    if (number > link->ping_number || number <= link->pong_number) return; /* not one of ours */
    link->pong_number = number;
    if (number == link->ping_number && link->ping_sent != 0) {
        rtt = now.mono - link->ping_sent;
        if (rtt == 0) rtt = 1;
        link->stats.rtt_us = link->stats.rtt_us == 0 ? rtt : (7 * link->stats.rtt_us + rtt) / 8;
        link->ping_sent = 0;
    }
    link_window_on_pong(link, now, rtt);
}

static void link_read_rekey(struct link *link, const struct frame_item *item)
{
    if (item->bytes.size > 0 || link->plain.size > 0) { /* the last under its key, and empty */
        link_fail(link, MN_MALFORMED);
        return;
    }
    noise_rekey(&link->receive);
    link->stats.rekeys_in++;
}

/* True: *ret is an event. */
static bool link_read_item(struct link *link, struct mn_now now, const struct frame_item *item,
                           struct mn_arena *arena, struct link_event *ret)
{
    if (!link_allows(link, item->kind)) {
        link_fail(link, MN_DENIED);
        return false;
    }
    switch (item->kind) {
    case FRAME_ENVELOPE: link_read_envelope(link, item->bytes, NULL, arena, ret); return true;
    case FRAME_PART_FIRST:
    case FRAME_PART: return link_read_part(link, item, arena, ret);
    case FRAME_PING:
    case FRAME_PONG: link_read_ping(link, now, item); return false;
    case FRAME_REKEY: link_read_rekey(link, item); return false;
    case FRAME_HELLO:
        *ret = (struct link_event){.type = LINK_HELLO_IN, .bytes = item->bytes};
        return true;
    case FRAME_ADMISSION:
        *ret = (struct link_event){.type = LINK_ADMISSION, .bytes = item->bytes};
        return true;
    case FRAME_CLOSE:
        link->phase = LINK_ENDED;
        *ret = (struct link_event){.type = LINK_CLOSE_IN, .bytes = item->bytes};
        return true;
    }
    return false; /* a newer node's: skipped */
}

bool link_next_item(struct link *link, struct mn_now now, struct mn_arena *arena,
                    struct link_event *ret)
{
    while (link->phase != LINK_ENDED) {
        struct frame_item item;
        mn_status status = frame_take_item(&link->plain, &item);

        if (status == MN_OK) {
            if (link_read_item(link, now, &item, arena, ret)) return true;
            continue;
        }
        if (status == MN_NOT_FOUND) status = link_open_frame(link, now, arena);
        if (status == MN_NOT_YET) return false;
        if (status != MN_OK) link_fail(link, status);
    }
    return false;
}

/* ---- writing ---- */

mn_status link_send(struct link *link, struct mn_now now, const struct envelope *envelope,
                    struct mn_buf *payload, uint64_t tag)
{
    if (link->phase != LINK_MEMBER || link->is_closing) return MN_STATE;
    return queue_put(link->queue, now, envelope, payload, tag);
}

mn_status link_send_control(struct link *link, enum frame_kind kind, struct mn_span bytes)
{
    uint8_t *to;

    if (link->phase == LINK_HANDSHAKE || link->phase == LINK_ENDED || link->is_closing)
        return MN_STATE;
    if (bytes.size > FRAME_ADMISSION_MAX) return MN_TOO_BIG;
    if (mn_writer_size(&link->control) - link->control_taken + bytes.size >
        link->limits->control_max)
        return MN_BUSY;
    to = mn_writer_take(&link->control, FRAME_ITEM_HEAD_SIZE + bytes.size);
    frame_write_item_head(to, kind, bytes.size);
    if (bytes.size > 0) memcpy(to + FRAME_ITEM_HEAD_SIZE, bytes.data, bytes.size);
    link->is_closing = kind == FRAME_CLOSE;
    return MN_OK;
}

static size_t link_control_left(const struct link *link)
{
    return mn_writer_size(&link->control) - link->control_taken;
}

static bool link_may_send_envelopes(const struct link *link)
{
    return link->phase == LINK_MEMBER && !link->is_closing;
}

bool link_can_flush(const struct link *link)
{
    if (link->is_sending || link->phase == LINK_ENDED) return false;
    return mn_writer_size(&link->raw) > 0 || link_control_left(link) > 0 ||
           (link_may_send_envelopes(link) && queue_has_ready(link->queue));
}

bool link_is_drained(const struct link *link)
{
    bool waits = link_may_send_envelopes(link) && queue_bytes(link->queue) > 0;
    return !link->is_sending && (link->phase == LINK_ENDED || (!waits && !link_can_flush(link)));
}

/* The size of the next item, control ahead of envelopes; 0: nothing waits. */
static size_t link_next_out_size(struct link *link, struct mn_now now)
{
    if (link_control_left(link) > 0)
        return FRAME_ITEM_HEAD_SIZE +
               (mn_load_u32(link->control.buf->bytes + link->control_taken) & 0xffffff);
    return link_may_send_envelopes(link) ? queue_next_size(link->queue, now) : 0;
}

static void link_take_out(struct link *link, size_t size, uint8_t *to)
{
    if (link_control_left(link) == 0) {
        if (queue_take(link->queue, to)) link->stats.envelopes_out++;
        return;
    }
    memcpy(to, link->control.buf->bytes + link->control_taken, size);
    link->control_taken += size;
    if (link_control_left(link) > 0) return;
    mn_writer_drop(&link->control);
    link->control_taken = 0;
}

/* The key has sealed enough; [plain_size] is about to be added. */
static bool link_needs_rekey(const struct link *link, struct mn_now now, size_t plain_size)
{
    return link->key_frames + 1 >= link->limits->rekey_frames ||
           link->key_bytes + plain_size >= link->limits->rekey_bytes ||
           now.mono - link->key_since >= link->timing->rekey;
}

/* Seals [size] plain bytes where they stand, behind room for the length. */
static mn_status link_seal_frame(struct link *link, struct mn_now now, uint8_t *frame, size_t size)
{
    uint8_t *plain = frame + FRAME_LENGTH_SIZE;
    bool rekeys = link_needs_rekey(link, now, size);
    mn_status status;

    if (rekeys) {
        frame_write_item_head(plain + size, FRAME_REKEY, 0);
        size += FRAME_ITEM_HEAD_SIZE;
    }
    mn_store_u16(frame, (uint16_t)(size + FRAME_TAG_SIZE));
    status = noise_seal(&link->send, plain, size, plain);
    if (status != MN_OK) return status;
    link->stats.frames_out++;
    link->key_frames++;
    link->key_bytes += size;
    if (rekeys) {
        noise_rekey(&link->send);
        link->stats.rekeys_out++;
        link->key_frames = link->key_bytes = 0;
        link->key_since = now.mono;
    }
    return MN_OK;
}

/* What a frame needs beside its items: length, tag, and a REKEY that may have to go with it. */
#define FRAME_OVERHEAD (FRAME_LENGTH_SIZE + FRAME_TAG_SIZE + FRAME_ITEM_HEAD_SIZE)

/* Fills one frame at [frame], of at most [room] bytes; returns its size, 0 when nothing waits or
 * nothing fits. A first item may be longer than what frames aim at. */
static size_t link_fill_frame(struct link *link, struct mn_now now, uint8_t *frame, size_t room)
{
    size_t size = 0, item;

    while ((item = link_next_out_size(link, now)) > 0) {
        if (size > 0 && size + item > FRAME_AIM) break;
        if (FRAME_OVERHEAD + size + item > room) break;
        link_take_out(link, item, frame + FRAME_LENGTH_SIZE + size);
        size += item;
    }
    if (size == 0) return 0;
    if (link_seal_frame(link, now, frame, size) != MN_OK) {
        link_fail(link, MN_STATE); /* nonces are used up */
        return 0;
    }
    return FRAME_LENGTH_SIZE + mn_load_u16(frame);
}

/* Room for what waits, up to a whole send. A queue counts more bytes than its items will take. */
static size_t link_send_room(const struct link *link)
{
    size_t size = mn_writer_size(&link->raw) + link_control_left(link) + queue_bytes(link->queue);

    size += (size / FRAME_AIM + 2) * 2 * FRAME_OVERHEAD;
    return size < FRAME_SEND_MAX ? size : FRAME_SEND_MAX;
}

struct mn_buf *link_flush(struct link *link, struct mn_now now)
{
    struct mn_buf *buf;
    size_t room, size, more;

    if (!link_can_flush(link)) return NULL;
    room = link_send_room(link);
    buf = mn_buf_new(room);
    size = mn_writer_size(&link->raw);
    if (size > 0) memcpy(buf->bytes, link->raw.buf->bytes, size);
    mn_writer_drop(&link->raw);
    if (link->phase != LINK_HANDSHAKE) {
        link_window_before_send(link, now);
        while ((more = link_fill_frame(link, now, buf->bytes + size, room - size)) > 0) {
            size += more;
            if (size > FRAME_SEND_MAX - FRAME_AIM / 4) break; /* not worth another frame */
        }
        link_window_after_send(link);
    }
    if (size == 0 || link->phase == LINK_ENDED) return mn_buf_unref(buf); /* all had expired */
    buf->size = (uint32_t)size;
    link->is_sending = true;
    link->sending_since = now.mono;
    link->stats.bytes_out += size;
    return buf;
}
