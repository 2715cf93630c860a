#include "mesh/queue.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/frame.h"

#define CHUNK_SIZE 8192 /* bytes of slots per block of memory */
#define INLINE_MAX 1024 /* bytes of payload that are copied rather than referred to */

_Static_assert(ENVELOPE_HEAD_MAX + ENVELOPE_PREFIX_MAX + INLINE_MAX < FRAME_WHOLE_MAX,
               "what goes in parts has a buffer");

static const uint8_t weights[ENVELOPE_PRIORITIES] = {16, 8, 4, 2, 1};

/* An envelope that waits. Its head follows it in the chunk, and a short payload follows that. */
struct slot {
    struct mn_buf *payload; /* one ref; NULL: inline, or none */
    uint64_t tag;
    mn_time deadline; /* mono; MN_TIME_NEVER: none */
    uint32_t head_size, payload_size;
};

/* Slots one after another, each aligned to 8. */
struct chunk {
    struct chunk *next;
    uint32_t capacity, used, taken; /* bytes: room, written, read */
    _Alignas(8) uint8_t bytes[];
};

/* The envelope of a lane that goes out in parts. */
struct parts {
    struct mn_buf *head, *payload; /* head NULL: there is none */
    uint64_t tag;
    mn_time deadline;
    uint8_t deadline_field[ENVELOPE_DEADLINE_SIZE_MAX]; /* as sent with the first part */
    uint32_t deadline_size, whole_size, sent;           /* sent 0: not begun */
};

struct lane {
    struct chunk *first, *last; /* NULL: nothing waits */
    struct parts parts;
    uint32_t count; /* slots, and one for [parts] */
    size_t bytes;   /* of both */
    size_t slots_bytes;
    int64_t deficit;
};

struct queue {
    struct queue_limits limits;
    struct lane lanes[ENVELOPE_PRIORITIES];
    uint32_t turn; /* the lane whose round it is */
    size_t bytes;
    int64_t bulk_room; /* bytes that low and background may take */

    /* What queue_next_size() chose. */
    struct lane *chosen; /* NULL: nothing */
    size_t chosen_size;  /* as an item */
    uint8_t deadline_field[ENVELOPE_DEADLINE_SIZE_MAX];
    uint32_t deadline_size;

    struct chunk *spare; /* one empty chunk while something waits */
    struct queue_drop *drops;
    uint32_t drops_first, drops_count, drops_capacity;
};

static bool lane_is_bulk(const struct queue *queue, const struct lane *lane)
{
    return lane - queue->lanes >= ENVELOPE_LOW;
}

static bool queue_is_bulk(const struct queue *queue, const struct lane *lane)
{
    return queue->limits.bulk != NULL && lane_is_bulk(queue, lane);
}

struct queue_limits queue_limits_default(void)
{
    struct queue_limits limits = {.total_max = (size_t)192 << 20};

    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        limits.bytes_max[i] = (size_t)(i < ENVELOPE_LOW ? 32 : 128) << 20;
    return limits;
}

struct queue *queue_new(const struct queue_limits *limits)
{
    struct queue *queue = mn_alloc(sizeof *queue);

    queue->limits = *limits;
    queue->bulk_room = INT64_MAX;
    return queue;
}

/* ---- drops ---- */

static void queue_report(struct queue *queue, uint64_t tag, mn_status status)
{
    if (tag == 0) return;
    if (queue->drops_first > 0 &&
        queue->drops_first + queue->drops_count == queue->drops_capacity) {
        memmove(queue->drops, queue->drops + queue->drops_first,
                queue->drops_count * sizeof *queue->drops);
        queue->drops_first = 0;
    }
    if (queue->drops_count == queue->drops_capacity) {
        queue->drops_capacity = queue->drops_capacity == 0 ? 16 : 2 * queue->drops_capacity;
        queue->drops = mn_realloc(queue->drops, queue->drops_capacity * sizeof *queue->drops);
    }
    queue->drops[queue->drops_first + queue->drops_count++] = (struct queue_drop){tag, status};
}

bool queue_take_drop(struct queue *queue, struct queue_drop *ret)
{
    if (queue->drops_count == 0) {
        mn_free(queue->drops);
        queue->drops = NULL;
        queue->drops_first = queue->drops_capacity = 0;
        return false;
    }
    *ret = queue->drops[queue->drops_first++];
    queue->drops_count--;
    return true;
}

/* ---- slots ---- */

static size_t slot_stride(size_t head_size, size_t inline_size)
{
    return (sizeof(struct slot) + head_size + inline_size + 7) & ~(size_t)7;
}

static size_t slot_inline_size(const struct slot *slot)
{
    return slot->payload == NULL ? slot->payload_size : 0;
}

/* What a slot counts in bounds: its memory, whoever holds it. */
static size_t slot_cost(size_t head_size, size_t payload_size)
{
    return sizeof(struct slot) + head_size + payload_size;
}

static const uint8_t *slot_head(const struct slot *slot)
{
    return (const uint8_t *)(slot + 1);
}

static struct mn_span slot_payload(const struct slot *slot)
{
    if (slot->payload != NULL) return mn_buf_span(slot->payload);
    return mn_span(slot_head(slot) + slot->head_size, slot->payload_size);
}

static struct chunk *queue_take_chunk(struct queue *queue, size_t size)
{
    struct chunk *chunk = queue->spare;
    size_t capacity = size > CHUNK_SIZE ? size : CHUNK_SIZE;

    if (chunk != NULL && chunk->capacity >= size) {
        queue->spare = NULL;
    } else {
        chunk = mn_realloc(NULL, sizeof *chunk + capacity);
        chunk->capacity = (uint32_t)capacity;
    }
    chunk->next = NULL;
    chunk->used = chunk->taken = 0;
    return chunk;
}

static void queue_give_chunk(struct queue *queue, struct chunk *chunk)
{
    if (queue->spare == NULL) {
        queue->spare = chunk;
    } else {
        mn_free(chunk);
    }
}

/* Room for one more slot at the end of the lane. */
static struct slot *lane_add(struct queue *queue, struct lane *lane, size_t stride)
{
    struct chunk *chunk = lane->last;

    if (chunk == NULL || chunk->capacity - chunk->used < stride) {
        struct chunk *more = queue_take_chunk(queue, stride);
        if (chunk == NULL) {
            lane->first = more;
        } else {
            chunk->next = more;
        }
        lane->last = chunk = more;
    }
    chunk->used += (uint32_t)stride;
    return (struct slot *)(void *)(chunk->bytes + chunk->used - stride);
}

/* The oldest slot, or NULL. */
static struct slot *lane_first(const struct lane *lane)
{
    struct chunk *chunk = lane->first;
    return chunk == NULL ? NULL : (struct slot *)(void *)(chunk->bytes + chunk->taken);
}

/* Counts one more envelope of a lane, or one less. */
static void lane_count_in(struct queue *queue, struct lane *lane, size_t cost)
{
    lane->count++;
    lane->bytes += cost;
    queue->bytes += cost;
    if (queue_is_bulk(queue, lane)) queue->limits.bulk->bytes += cost;
}

static void lane_count_out(struct queue *queue, struct lane *lane, size_t cost)
{
    MN_ASSERT(lane->count > 0 && lane->bytes >= cost && queue->bytes >= cost);
    lane->count--;
    lane->bytes -= cost;
    queue->bytes -= cost;
    if (!queue_is_bulk(queue, lane)) return;
    MN_ASSERT(queue->limits.bulk->bytes >= cost);
    queue->limits.bulk->bytes -= cost;
}

/* Forgets the oldest slot; its payload's ref is the caller's business. */
static void lane_remove_first(struct queue *queue, struct lane *lane)
{
    struct chunk *chunk = lane->first;
    const struct slot *slot = lane_first(lane);
    size_t cost = slot_cost(slot->head_size, slot->payload_size);

    MN_ASSERT(lane->slots_bytes >= cost);
    lane->slots_bytes -= cost;
    lane_count_out(queue, lane, cost);
    chunk->taken += (uint32_t)slot_stride(slot->head_size, slot_inline_size(slot));
    if (chunk->taken < chunk->used) return;
    lane->first = chunk->next;
    if (lane->first == NULL) lane->last = NULL;
    queue_give_chunk(queue, chunk);
}

static void lane_drop_first(struct queue *queue, struct lane *lane, mn_status status)
{
    struct slot *slot = lane_first(lane);

    queue_report(queue, slot->tag, status);
    mn_buf_unref(slot->payload); /* the pointer stays: it says that the payload is not inline */
    lane_remove_first(queue, lane);
}

/* ---- putting in ---- */

/* Makes room for [size] bytes of [priority], by shedding what is less urgent if that is enough. */
static bool queue_make_room(struct queue *queue, enum envelope_priority priority, size_t size)
{
    size_t sheddable = 0, needed = queue->bytes + size;

    if (queue->bytes == 0 || needed <= queue->limits.total_max) return true;
    for (unsigned i = priority + 1; i < ENVELOPE_PRIORITIES; i++)
        sheddable += queue->lanes[i].slots_bytes;
    if (needed - sheddable > queue->limits.total_max) return false;
    for (unsigned i = ENVELOPE_PRIORITIES - 1; i > (unsigned)priority; i--) {
        struct lane *lane = &queue->lanes[i];
        while (lane->first != NULL && queue->bytes + size > queue->limits.total_max)
            lane_drop_first(queue, lane, MN_BUSY);
    }
    MN_PROBE("queue: shed for a more urgent envelope");
    return true;
}

static bool lane_has_room(const struct queue *queue, const struct lane *lane, size_t cost)
{
    const struct queue_bulk *bulk = queue->limits.bulk;

    if (lane->bytes == 0) return true;
    if (lane->bytes + cost > queue->limits.bytes_max[lane - queue->lanes]) return false;
    return !queue_is_bulk(queue, lane) || bulk->bytes + cost <= bulk->bytes_max;
}

mn_status queue_put(struct queue *queue, struct mn_now now, const struct envelope *envelope,
                    struct mn_buf *payload, uint64_t tag)
{
    struct lane *lane = &queue->lanes[envelope->priority];
    struct envelope_sizes sizes = envelope_sizes(envelope);
    struct mn_span tail = envelope_tail(envelope);
    size_t cost = slot_cost(sizes.head_size, sizes.payload_size);
    bool is_inline = tail.size <= INLINE_MAX;
    struct slot *slot;

    MN_ASSERT(payload == NULL || payload->size == tail.size);
    if (!lane_has_room(queue, lane, cost)) return MN_BUSY;
    if (!queue_make_room(queue, envelope->priority, cost)) return MN_BUSY;
    slot = lane_add(queue, lane, slot_stride(sizes.head_size, is_inline ? tail.size : 0));
    *slot = (struct slot){.tag = tag,
                          .deadline = envelope->deadline_us == 0
                                          ? MN_TIME_NEVER
                                          : mn_time_after(now.mono, envelope->deadline_us),
                          .head_size = (uint32_t)sizes.head_size,
                          .payload_size = (uint32_t)tail.size};
    envelope_write_head(envelope, (uint8_t *)(slot + 1));
    if (!is_inline) {
        slot->payload = payload != NULL ? mn_buf_ref(payload) : mn_buf_copy(tail);
    } else if (tail.size > 0) {
        memcpy((uint8_t *)(slot + 1) + slot->head_size, tail.data, tail.size);
    }
    lane->slots_bytes += cost;
    lane_count_in(queue, lane, cost);
    return MN_OK;
}

/* ---- parts ---- */

/* Bytes of whole envelopes that are in parts now, but for critical and [except]. */
static size_t queue_parts_bytes(const struct queue *queue, const struct lane *except)
{
    size_t bytes = 0;

    for (unsigned i = ENVELOPE_CRITICAL + 1; i < ENVELOPE_PRIORITIES; i++) {
        const struct lane *lane = &queue->lanes[i];
        if (lane != except && lane->parts.sent > 0) bytes += lane->parts.whole_size;
    }
    return bytes;
}

/* Takes the oldest slot out of the chunks: it goes out in parts. Bounds still count it. */
static void lane_start_parts(struct queue *queue, struct lane *lane)
{
    struct slot *slot = lane_first(lane);
    struct parts *parts = &lane->parts;
    size_t cost = slot_cost(slot->head_size, slot->payload_size);

    MN_ASSERT(parts->head == NULL);
    MN_ASSERT(slot->payload != NULL); /* a head alone is never that long */
    *parts = (struct parts){.head = mn_buf_copy(mn_span(slot_head(slot), slot->head_size)),
                            .payload = slot->payload,
                            .tag = slot->tag,
                            .deadline = slot->deadline};
    lane_remove_first(queue, lane);
    lane_count_in(queue, lane, cost);
}

static void lane_end_parts(struct queue *queue, struct lane *lane)
{
    struct parts *parts = &lane->parts;
    size_t cost = slot_cost(parts->head->size, parts->payload->size);

    lane_count_out(queue, lane, cost);
    mn_buf_unref(parts->head);
    mn_buf_unref(parts->payload);
    *parts = (struct parts){0};
}

static uint32_t deadline_write(mn_time deadline, struct mn_now now, uint8_t *to)
{
    uint64_t left = deadline == MN_TIME_NEVER ? 0 : deadline - now.mono;
    return (uint32_t)envelope_write_deadline(left, to);
}

static size_t parts_head_size(const struct parts *parts)
{
    return parts->sent == 0 ? FRAME_PART_FIRST_HEAD_SIZE : FRAME_PART_HEAD_SIZE;
}

/* The size of the next part as an item; 0 when it has to wait for other lanes' parts. */
static size_t lane_part_size(struct queue *queue, struct lane *lane, struct mn_now now)
{
    struct parts *parts = &lane->parts;
    size_t left;

    if (parts->sent == 0) { /* the deadline may still change */
        parts->deadline_size = deadline_write(parts->deadline, now, parts->deadline_field);
        parts->whole_size = parts->deadline_size + parts->head->size + parts->payload->size;
        if (lane != &queue->lanes[ENVELOPE_CRITICAL] &&
            queue_parts_bytes(queue, lane) + parts->whole_size > FRAME_PARTS_MAX)
            return 0;
    }
    left = parts->whole_size - parts->sent;
    return FRAME_ITEM_HEAD_SIZE + parts_head_size(parts) +
           (left < FRAME_PART_MAX ? left : FRAME_PART_MAX);
}

/* Copies [size] bytes from [offset] of the whole: deadline, head, payload. */
static void parts_copy(const struct parts *parts, size_t offset, size_t size, uint8_t *to)
{
    struct mn_span pieces[] = {mn_span(parts->deadline_field, parts->deadline_size),
                               mn_buf_span(parts->head), mn_buf_span(parts->payload)};

    for (unsigned i = 0; i < 3 && size > 0; i++) {
        size_t here;
        if (offset >= pieces[i].size) {
            offset -= pieces[i].size;
            continue;
        }
        here = pieces[i].size - offset < size ? pieces[i].size - offset : size;
        memcpy(to, pieces[i].data + offset, here);
        to += here;
        size -= here;
        offset = 0;
    }
    MN_ASSERT(size == 0);
}

static void lane_take_part(struct queue *queue, struct lane *lane, size_t item_size, uint8_t *to)
{
    struct parts *parts = &lane->parts;
    bool is_first = parts->sent == 0;
    size_t head = parts_head_size(parts);
    size_t size = item_size - FRAME_ITEM_HEAD_SIZE - head;

    frame_write_item_head(to, is_first ? FRAME_PART_FIRST : FRAME_PART, head + size);
    to += FRAME_ITEM_HEAD_SIZE;
    to[0] = (uint8_t)(lane - queue->lanes);
    if (is_first) mn_store_u32(to + 1, parts->whole_size);
    parts_copy(parts, parts->sent, size, to + head);
    parts->sent += (uint32_t)size;
    if (parts->sent == parts->whole_size) lane_end_parts(queue, lane);
}

void queue_restart_parts(struct queue *queue)
{
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        queue->lanes[i].parts.sent = 0;
}

/* ---- choosing ---- */

static bool is_expired(mn_time deadline, struct mn_now now)
{
    return deadline <= now.mono;
}

static void lane_drop_expired(struct queue *queue, struct lane *lane, struct mn_now now)
{
    struct parts *parts = &lane->parts;

    if (parts->head != NULL && parts->sent == 0 && is_expired(parts->deadline, now)) {
        queue_report(queue, parts->tag, MN_EXPIRED);
        lane_end_parts(queue, lane);
    }
    while (lane->first != NULL && is_expired(lane_first(lane)->deadline, now))
        lane_drop_first(queue, lane, MN_EXPIRED);
}

/* The size of the lane's next item; 0: it has none, or none that may go now. */
static size_t lane_next_size(struct queue *queue, struct lane *lane, struct mn_now now)
{
    const struct slot *slot;
    size_t size;

    if (lane->count == 0) return 0;
    lane_drop_expired(queue, lane, now);
    if (lane->parts.head != NULL) return lane_part_size(queue, lane, now);
    slot = lane_first(lane);
    if (slot == NULL) return 0;
    queue->deadline_size = deadline_write(slot->deadline, now, queue->deadline_field);
    size = queue->deadline_size + slot->head_size + slot->payload_size;
    if (size <= FRAME_WHOLE_MAX) return FRAME_ITEM_HEAD_SIZE + size;
    lane_start_parts(queue, lane);
    return lane_part_size(queue, lane, now);
}

static bool lane_is_held(const struct queue *queue, const struct lane *lane)
{
    return lane_is_bulk(queue, lane) && queue->bulk_room <= 0;
}

void queue_set_bulk_room(struct queue *queue, int64_t bytes)
{
    queue->bulk_room = bytes;
}

int64_t queue_bulk_room(const struct queue *queue)
{
    return queue->bulk_room;
}

bool queue_has_ready(const struct queue *queue)
{
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
        const struct lane *lane = &queue->lanes[i];
        if (lane->count > 0 && !lane_is_held(queue, lane)) return true;
    }
    return false;
}

static int64_t lane_quantum(const struct queue *queue, const struct lane *lane)
{
    return (int64_t)QUEUE_QUANTUM * weights[lane - queue->lanes];
}

/* A lane may borrow a quantum from its next turn, so that what is urgent need not wait for it. */
static bool lane_may_send(const struct queue *queue, const struct lane *lane, size_t size)
{
    return (int64_t)size <= lane->deficit + lane_quantum(queue, lane);
}

/* The lane earns back what it borrowed. It saves no more than an item that is longer than its
 * quantum needs. */
static void queue_next_turn(struct queue *queue)
{
    struct lane *lane;
    int64_t max = FRAME_WHOLE_MAX;

    queue->turn = (queue->turn + 1) % ENVELOPE_PRIORITIES;
    lane = &queue->lanes[queue->turn];
    lane->deficit += lane_quantum(queue, lane);
    if (queue->turn == ENVELOPE_CRITICAL || lane->count == 0) max = 0;
    if (lane->deficit > max) lane->deficit = max;
}

static size_t queue_choose(struct queue *queue, struct lane *lane, size_t size)
{
    queue->chosen = lane;
    queue->chosen_size = size;
    return size;
}

/* The most urgent lane that has credit; 0: none has, or nothing waits. */
static size_t queue_choose_now(struct queue *queue, struct mn_now now, uint32_t *waits)
{
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
        struct lane *lane = &queue->lanes[i];
        size_t size = lane_next_size(queue, lane, now);
        if (lane_is_held(queue, lane)) continue;
        if (size > 0 && lane_may_send(queue, lane, size)) return queue_choose(queue, lane, size);
        *waits += size > 0;
    }
    return 0;
}

size_t queue_next_size(struct queue *queue, struct mn_now now)
{
    uint32_t waits = 1; /* lanes that have something: none in a whole round means none at all */

    queue->chosen = NULL;
    while (waits > 0 && queue->bytes > 0) {
        waits = 0;
        for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
            size_t size = queue_choose_now(queue, now, &waits);
            if (size > 0) return size;
            queue_next_turn(queue);
        }
    }
    return 0;
}

bool queue_take(struct queue *queue, uint8_t *to)
{
    struct lane *lane = queue->chosen;
    struct slot *slot;
    struct mn_span payload;
    size_t size = queue->chosen_size - FRAME_ITEM_HEAD_SIZE;
    bool is_complete = true;

    MN_ASSERT(lane != NULL);
    queue->chosen = NULL;
    lane->deficit -= (int64_t)queue->chosen_size;
    if (lane_is_bulk(queue, lane)) queue->bulk_room -= (int64_t)queue->chosen_size;
    if (lane->parts.head != NULL) {
        lane_take_part(queue, lane, queue->chosen_size, to);
        is_complete = lane->parts.head == NULL;
    } else {
        slot = lane_first(lane);
        payload = slot_payload(slot);
        MN_ASSERT(size == queue->deadline_size + slot->head_size + payload.size);
        frame_write_item_head(to, FRAME_ENVELOPE, size);
        to += FRAME_ITEM_HEAD_SIZE;
        memcpy(to, queue->deadline_field, queue->deadline_size);
        to += queue->deadline_size;
        memcpy(to, slot_head(slot), slot->head_size);
        if (payload.size > 0) memcpy(to + slot->head_size, payload.data, payload.size);
        mn_buf_unref(slot->payload);
        lane_remove_first(queue, lane);
    }
    if (queue->bytes == 0) {
        mn_free(queue->spare); /* an idle link holds no memory for its queue */
        queue->spare = NULL;
    }
    return is_complete;
}

/* ---- the end, looking ---- */

void queue_drop_all(struct queue *queue)
{
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
        struct lane *lane = &queue->lanes[i];
        if (lane->parts.head != NULL) {
            queue_report(queue, lane->parts.tag, MN_CLOSED); /* the rest of it will never come */
            lane_end_parts(queue, lane);
        }
        while (lane->first != NULL)
            lane_drop_first(queue, lane, MN_CLOSED);
    }
    MN_ASSERT(queue->bytes == 0);
    mn_free(queue->spare);
    queue->spare = NULL;
}

void queue_free(struct queue *queue)
{
    if (queue == NULL) return;
    queue_drop_all(queue);
    mn_free(queue->drops);
    mn_free(queue);
}

size_t queue_bytes(const struct queue *queue)
{
    return queue->bytes;
}

size_t queue_priority_bytes(const struct queue *queue, enum envelope_priority priority)
{
    return queue->lanes[priority].bytes;
}

uint32_t queue_count(const struct queue *queue)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        count += queue->lanes[i].count;
    return count;
}

void queue_check(const struct queue *queue)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
        const struct lane *lane = &queue->lanes[i];
        size_t parts = lane->parts.head == NULL
                           ? 0
                           : slot_cost(lane->parts.head->size, lane->parts.payload->size);
        MN_ASSERT(lane->bytes == lane->slots_bytes + parts);
        MN_ASSERT((lane->count == 0) == (lane->bytes == 0));
        MN_ASSERT((lane->first == NULL) == (lane->slots_bytes == 0));
        MN_ASSERT(lane->deficit <= FRAME_WHOLE_MAX);
        MN_ASSERT(lane->deficit >= -lane_quantum(queue, lane));
        bytes += lane->bytes;
    }
    MN_ASSERT(bytes == queue->bytes);
    MN_ASSERT(queue_parts_bytes(queue, NULL) <= FRAME_PARTS_MAX);
}
