#include "proto/envelope.h"

#include "proto/base/check.h"

/* Protobuf's wire types (Protocol Buffers, "Encoding"). */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Field numbers of proto/wire.proto. Those of the fields that nearly every message has are below
 * 16: one byte. */
enum outer_field {
    OUTER_SEAL = 1,
    OUTER_DESTINATION = 2,
    OUTER_HOPS = 3,
    OUTER_HOPS_MAX = 4,
    OUTER_TRAIL = 5,
    OUTER_DEADLINE = 6,
    OUTER_KEY_ID = 7,
    OUTER_PROOF = 8,
    OUTER_CONTENT = 15
};

enum content_field {
    CONTENT_TYPE = 1,
    CONTENT_PRIORITY = 2,
    CONTENT_SCHEMA = 3,
    CONTENT_SOURCE = 4,
    CONTENT_TARGETS = 5,
    CONTENT_ID = 6,
    CONTENT_BOOT = 7,
    CONTENT_SEQUENCE = 8,
    CONTENT_CORRELATION = 9,
    CONTENT_CREATED = 10,
    CONTENT_EXPIRES = 11,
    CONTENT_TTL = 12,
    CONTENT_GUARANTEE = 13,
    CONTENT_WANTS_ACK = 14,
    CONTENT_IDEMPOTENCY_KEY = 16,
    CONTENT_TRACE = 17,
    CONTENT_CAUSALITY = 18,
    CONTENT_PAYLOAD = 31
};

#define ID_SIZE sizeof(mn_id)

_Static_assert(sizeof(mn_id) == 16, "ids travel as 16 bytes and are read in place");
_Static_assert(_Alignof(mn_id) == 1, "a pointer into a frame is a good pointer to an id");
_Static_assert(ENVELOPE_HEAD_MAX >= 2 * ENVELOPE_TARGETS_MAX * 16 + ENVELOPE_CAUSALITY_MAX * 24 +
                                        ENVELOPE_KEY_MAX + ENVELOPE_TRACE_MAX + ENVELOPE_PROOF_MAX +
                                        512,
               "a legal head fits, with room for unknown fields");

/* ---- names ---- */

const char *envelope_type_name(enum envelope_type type)
{
    static const char *const names[] = {"unknown",   "command",  "event",
                                        "query",     "response", "heartbeat",
                                        "consensus", "gradient", "coordination"};
    return (unsigned)type < sizeof names / sizeof *names ? names[type] : names[0];
}

const char *envelope_priority_name(enum envelope_priority priority)
{
    static const char *const names[] = {"critical", "high", "normal", "low", "background"};
    return (unsigned)priority < ENVELOPE_PRIORITIES ? names[priority] : "unknown";
}

/* Normal is 0 on the wire, the rest in order around it. Each is the other's inverse. */
static const uint8_t wire_of_priority[ENVELOPE_PRIORITIES] = {1, 2, 0, 3, 4};
static const uint8_t priority_of_wire[ENVELOPE_PRIORITIES] = {
    ENVELOPE_NORMAL, ENVELOPE_CRITICAL, ENVELOPE_HIGH, ENVELOPE_LOW, ENVELOPE_BACKGROUND};

/* ---- bounds, the same for both directions ---- */

static mn_status check_outer(const struct envelope *envelope)
{
    if (envelope->trail.size % ID_SIZE != 0) return MN_MALFORMED;
    if (envelope->trail.size > ENVELOPE_TRAIL_MAX * ID_SIZE) return MN_TOO_BIG;
    if (envelope->proof.size > ENVELOPE_PROOF_MAX) return MN_TOO_BIG;
    if (envelope->content.size > ENVELOPE_SIZE_MAX) return MN_TOO_BIG;
    return MN_OK;
}

static mn_status check_content(const struct envelope *envelope)
{
    if (envelope->targets.size % ID_SIZE != 0) return MN_MALFORMED;
    if (envelope->causality.size % ENVELOPE_CAUSALITY_SIZE != 0) return MN_MALFORMED;
    if (envelope->targets.size > ENVELOPE_TARGETS_MAX * ID_SIZE) return MN_TOO_BIG;
    if (envelope->causality.size > ENVELOPE_CAUSALITY_MAX * ENVELOPE_CAUSALITY_SIZE)
        return MN_TOO_BIG;
    if (envelope->idempotency_key.size > ENVELOPE_KEY_MAX) return MN_TOO_BIG;
    if (envelope->trace.size > ENVELOPE_TRACE_MAX) return MN_TOO_BIG;
    if (envelope->prefix.size > ENVELOPE_PREFIX_MAX) return MN_TOO_BIG;
    if (envelope->prefix.size + envelope->payload.size > ENVELOPE_PAYLOAD_MAX) return MN_TOO_BIG;
    return MN_OK;
}

mn_status envelope_check(const struct envelope *envelope)
{
    mn_status status = check_outer(envelope);

    if (status == MN_OK && envelope->content.size == 0) {
        status = check_content(envelope);
        if (envelope->type < ENVELOPE_COMMAND || envelope->type > ENVELOPE_COORDINATION)
            return MN_CONFIG;
        if ((unsigned)envelope->guarantee > ENVELOPE_EXACTLY_ONCE) return MN_CONFIG;
        if (envelope->seal != ENVELOPE_SEAL_LINK) return MN_CONFIG; /* only ciphertext then */
    }
    if ((unsigned)envelope->priority >= ENVELOPE_PRIORITIES) return MN_CONFIG;
    if ((unsigned)envelope->seal > ENVELOPE_SEAL_SESSION) return MN_CONFIG;
    return status == MN_MALFORMED ? MN_CONFIG : status;
}

/* ---- writing ----
 *
 * One walk over the fields serves for measuring and for writing: with a constant NULL the compiler
 * drops the stores. */

#define WALK static inline __attribute__((always_inline))

struct sink {
    uint8_t *to; /* NULL: only count */
    size_t size;
};

WALK size_t varint_size(uint64_t value)
{
    return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

WALK void put_varint(struct sink *sink, uint64_t value)
{
    if (sink->to == NULL) {
        sink->size += varint_size(value);
        return;
    }
    while (value >= 0x80) {
        sink->to[sink->size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    sink->to[sink->size++] = (uint8_t)value;
}

WALK void put_tag(struct sink *sink, unsigned field, unsigned wire)
{
    put_varint(sink, field << 3 | wire);
}

WALK void put_number(struct sink *sink, unsigned field, uint64_t value)
{
    if (value == 0) return;
    put_tag(sink, field, WIRE_VARINT);
    put_varint(sink, value);
}

WALK void put_bytes(struct sink *sink, unsigned field, struct mn_span bytes)
{
    if (bytes.size == 0) return;
    put_tag(sink, field, WIRE_BYTES);
    put_varint(sink, bytes.size);
    if (sink->to != NULL) memcpy(sink->to + sink->size, bytes.data, bytes.size);
    sink->size += bytes.size;
}

WALK void put_id(struct sink *sink, unsigned field, const mn_id *id)
{
    if (id != NULL) put_bytes(sink, field, mn_span(id->bytes, ID_SIZE));
}

/* The head of a field whose bytes follow later. */
WALK void put_open(struct sink *sink, unsigned field, size_t size)
{
    if (size == 0) return;
    put_tag(sink, field, WIRE_BYTES);
    put_varint(sink, size);
}

WALK void put_raw(struct sink *sink, struct mn_span bytes)
{
    if (sink->to != NULL && bytes.size > 0) memcpy(sink->to + sink->size, bytes.data, bytes.size);
    sink->size += bytes.size;
}

/* The content up to where the payload's bytes begin, those after its prefix. */
WALK void put_content(struct sink *sink, const struct envelope *envelope)
{
    put_number(sink, CONTENT_TYPE, envelope->type);
    put_number(sink, CONTENT_PRIORITY, wire_of_priority[envelope->priority]);
    put_number(sink, CONTENT_SCHEMA, envelope->schema);
    put_id(sink, CONTENT_SOURCE, envelope->source);
    put_bytes(sink, CONTENT_TARGETS, envelope->targets);
    put_id(sink, CONTENT_ID, envelope->id);
    put_number(sink, CONTENT_BOOT, envelope->boot);
    put_number(sink, CONTENT_SEQUENCE, envelope->sequence);
    put_id(sink, CONTENT_CORRELATION, envelope->correlation);
    put_number(sink, CONTENT_CREATED, envelope->created_ms);
    put_number(sink, CONTENT_EXPIRES, envelope->expires_ms);
    put_number(sink, CONTENT_TTL, envelope->ttl_ms);
    put_number(sink, CONTENT_GUARANTEE, envelope->guarantee);
    put_number(sink, CONTENT_WANTS_ACK, envelope->wants_ack ? 1 : 0);
    put_bytes(sink, CONTENT_IDEMPOTENCY_KEY, envelope->idempotency_key);
    put_bytes(sink, CONTENT_TRACE, envelope->trace);
    put_bytes(sink, CONTENT_CAUSALITY, envelope->causality);
    put_open(sink, CONTENT_PAYLOAD, envelope->prefix.size + envelope->payload.size);
    put_raw(sink, envelope->prefix);
}

/* The outer part up to where the content's bytes begin, but the deadline. */
WALK void put_outer(struct sink *sink, const struct envelope *envelope, size_t content_size)
{
    put_number(sink, OUTER_SEAL, envelope->seal);
    put_id(sink, OUTER_DESTINATION, envelope->destination);
    put_number(sink, OUTER_HOPS, envelope->hops);
    put_number(sink, OUTER_HOPS_MAX, envelope->hops_max);
    put_bytes(sink, OUTER_TRAIL, envelope->trail);
    put_number(sink, OUTER_KEY_ID, envelope->key_id);
    put_bytes(sink, OUTER_PROOF, envelope->proof);
    put_open(sink, OUTER_CONTENT, content_size);
}

static size_t content_head_size(const struct envelope *envelope)
{
    struct sink count = {0};

    if (envelope->content.size > 0) return 0;
    put_content(&count, envelope);
    return count.size;
}

struct envelope_sizes envelope_sizes(const struct envelope *envelope)
{
    struct mn_span tail = envelope_tail(envelope);
    size_t content_size = content_head_size(envelope);
    struct sink count = {0};

    put_outer(&count, envelope, content_size + tail.size);
    return (struct envelope_sizes){count.size + content_size, tail.size};
}

void envelope_write_head(const struct envelope *envelope, uint8_t *to)
{
    struct mn_span tail = envelope_tail(envelope);
    struct sink sink = {to, 0};

    put_outer(&sink, envelope, content_head_size(envelope) + tail.size);
    if (envelope->content.size == 0) put_content(&sink, envelope);
}

struct mn_span envelope_tail(const struct envelope *envelope)
{
    return envelope->content.size > 0 ? envelope->content : envelope->payload;
}

size_t envelope_write_deadline(uint64_t deadline_us, uint8_t to[ENVELOPE_DEADLINE_SIZE_MAX])
{
    struct sink sink = {to, 0};

    put_number(&sink, OUTER_DEADLINE, deadline_us);
    MN_ASSERT(sink.size <= ENVELOPE_DEADLINE_SIZE_MAX);
    return sink.size;
}

size_t envelope_size(const struct envelope *envelope)
{
    struct envelope_sizes sizes = envelope_sizes(envelope);
    uint8_t deadline[ENVELOPE_DEADLINE_SIZE_MAX];

    return envelope_write_deadline(envelope->deadline_us, deadline) + sizes.head_size +
           sizes.payload_size;
}

void envelope_write(const struct envelope *envelope, uint8_t *to)
{
    struct mn_span tail = envelope_tail(envelope);
    uint8_t deadline[ENVELOPE_DEADLINE_SIZE_MAX];
    size_t size = envelope_write_deadline(envelope->deadline_us, deadline);

    memcpy(to, deadline, size);
    envelope_write_head(envelope, to + size);
    size += envelope_sizes(envelope).head_size;
    if (tail.size > 0) memcpy(to + size, tail.data, tail.size);
}

/* ---- reading ---- */

struct field {
    uint32_t number;
    unsigned wire;
    uint64_t varint;      /* WIRE_VARINT */
    struct mn_span bytes; /* WIRE_BYTES */
};

static bool take_varint(struct mn_span *from, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 10 && i < from->size; i++) {
        uint8_t byte = from->data[i];
        if (i == 9 && byte > 1) return false; /* over 64 bits */
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *from = mn_span(from->data + i + 1, from->size - i - 1);
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct mn_span *from, uint64_t size, struct mn_span *ret)
{
    if (size > from->size) return false;
    *ret = mn_span(from->data, (size_t)size);
    *from = mn_span(from->data + size, from->size - (size_t)size);
    return true;
}

/* A tag or a length: at most 5 bytes, as other decoders have it. */
static bool take_short_varint(struct mn_span *from, uint64_t *ret)
{
    const uint8_t *begin = from->data;
    return take_varint(from, ret) && from->data - begin <= 5;
}

static bool take_field(struct mn_span *from, struct field *ret)
{
    uint64_t tag, size;

    if (!take_short_varint(from, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->wire = (unsigned)(tag & 7);
    switch (ret->wire) {
    case WIRE_VARINT: return take_varint(from, &ret->varint);
    case WIRE_BYTES: return take_short_varint(from, &size) && take_bytes(from, size, &ret->bytes);
    case WIRE_FIXED64: return take_bytes(from, 8, &ret->bytes);
    case WIRE_FIXED32: return take_bytes(from, 4, &ret->bytes);
    default: return false; /* groups are history */
    }
}

static mn_status read_u64(const struct field *field, uint64_t *ret)
{
    if (field->wire != WIRE_VARINT) return MN_MALFORMED;
    *ret = field->varint;
    return MN_OK;
}

static mn_status read_u32(const struct field *field, uint32_t *ret)
{
    if (field->wire != WIRE_VARINT || field->varint > UINT32_MAX) return MN_MALFORMED;
    *ret = (uint32_t)field->varint;
    return MN_OK;
}

/* A value over [max] is one that a newer node knows. */
static mn_status read_enum(const struct field *field, uint32_t max, uint32_t *ret)
{
    if (field->wire != WIRE_VARINT) return MN_MALFORMED;
    if (field->varint > max) return MN_UNSUPPORTED;
    *ret = (uint32_t)field->varint;
    return MN_OK;
}

static mn_status read_bytes(const struct field *field, struct mn_span *ret)
{
    if (field->wire != WIRE_BYTES) return MN_MALFORMED;
    *ret = field->bytes;
    return MN_OK;
}

/* An empty field is an absent one, as everywhere in proto3. */
static mn_status read_id(const struct field *field, const mn_id **ret)
{
    if (field->wire != WIRE_BYTES) return MN_MALFORMED;
    if (field->bytes.size == 0) {
        *ret = NULL;
        return MN_OK;
    }
    if (field->bytes.size != ID_SIZE) return MN_MALFORMED;
    *ret = (const mn_id *)field->bytes.data;
    return MN_OK;
}

static mn_status read_outer(const struct field *field, struct envelope *envelope)
{
    uint32_t value = 0;
    mn_status status = MN_OK;

    switch (field->number) {
    case OUTER_SEAL:
        status = read_enum(field, ENVELOPE_SEAL_SESSION, &value);
        envelope->seal = (enum envelope_seal)value;
        return status;
    case OUTER_DESTINATION: return read_id(field, &envelope->destination);
    case OUTER_HOPS: return read_u32(field, &envelope->hops);
    case OUTER_HOPS_MAX: return read_u32(field, &envelope->hops_max);
    case OUTER_TRAIL: return read_bytes(field, &envelope->trail);
    case OUTER_DEADLINE: return read_u64(field, &envelope->deadline_us);
    case OUTER_KEY_ID: return read_u32(field, &envelope->key_id);
    case OUTER_PROOF: return read_bytes(field, &envelope->proof);
    case OUTER_CONTENT: return read_bytes(field, &envelope->content);
    default: return MN_OK;
    }
}

static mn_status read_labels(const struct field *field, struct envelope *envelope)
{
    uint32_t value = 0;
    mn_status status = MN_OK;

    switch (field->number) {
    case CONTENT_TYPE:
        status = read_enum(field, ENVELOPE_COORDINATION, &value);
        envelope->type = (enum envelope_type)value;
        return status;
    case CONTENT_PRIORITY:
        status = read_enum(field, ENVELOPE_PRIORITIES - 1, &value);
        envelope->priority = (enum envelope_priority)priority_of_wire[value];
        return status;
    case CONTENT_GUARANTEE:
        status = read_enum(field, ENVELOPE_EXACTLY_ONCE, &value);
        envelope->guarantee = (enum envelope_guarantee)value;
        return status;
    case CONTENT_WANTS_ACK:
        if (field->wire != WIRE_VARINT) return MN_MALFORMED;
        envelope->wants_ack = field->varint != 0;
        return MN_OK;
    default: return MN_OK;
    }
}

static mn_status read_content(const struct field *field, struct envelope *envelope)
{
    switch (field->number) {
    case CONTENT_SCHEMA: return read_u32(field, &envelope->schema);
    case CONTENT_SOURCE: return read_id(field, &envelope->source);
    case CONTENT_TARGETS: return read_bytes(field, &envelope->targets);
    case CONTENT_ID: return read_id(field, &envelope->id);
    case CONTENT_BOOT: return read_u64(field, &envelope->boot);
    case CONTENT_SEQUENCE: return read_u64(field, &envelope->sequence);
    case CONTENT_CORRELATION: return read_id(field, &envelope->correlation);
    case CONTENT_CREATED: return read_u64(field, &envelope->created_ms);
    case CONTENT_EXPIRES: return read_u64(field, &envelope->expires_ms);
    case CONTENT_TTL: return read_u64(field, &envelope->ttl_ms);
    case CONTENT_IDEMPOTENCY_KEY: return read_bytes(field, &envelope->idempotency_key);
    case CONTENT_TRACE: return read_bytes(field, &envelope->trace);
    case CONTENT_CAUSALITY: return read_bytes(field, &envelope->causality);
    case CONTENT_PAYLOAD: return read_bytes(field, &envelope->payload);
    default: return read_labels(field, envelope);
    }
}

mn_status envelope_decode_content(struct mn_span content, struct envelope *envelope)
{
    struct mn_span rest = content;

    envelope->priority = ENVELOPE_NORMAL;
    while (rest.size > 0) {
        struct field field;
        mn_status status;

        if (!take_field(&rest, &field)) return MN_MALFORMED;
        status = read_content(&field, envelope);
        if (status != MN_OK) return status;
    }
    if (envelope->type == 0) return MN_MALFORMED;
    if (content.size - envelope->payload.size > ENVELOPE_HEAD_MAX) return MN_TOO_BIG;
    return check_content(envelope);
}

mn_status envelope_decode(struct mn_span bytes, struct envelope *ret)
{
    struct mn_span rest = bytes;
    mn_status status;

    if (bytes.size > ENVELOPE_SIZE_MAX) return MN_TOO_BIG;
    *ret = (struct envelope){.priority = ENVELOPE_NORMAL};
    while (rest.size > 0) {
        struct field field;

        if (!take_field(&rest, &field)) return MN_MALFORMED;
        status = read_outer(&field, ret);
        if (status != MN_OK) return status;
    }
    if (bytes.size - ret->content.size > ENVELOPE_HEAD_MAX) return MN_TOO_BIG;
    status = check_outer(ret);
    if (status != MN_OK) return status;
    return ret->seal == ENVELOPE_SEAL_LINK ? envelope_decode_content(ret->content, ret) : MN_OK;
}
