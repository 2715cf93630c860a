/* envelope.h: the message that travels between nodes: an outer part that relays may change, and a
 * content that only source and destination understand. Format: proto/wire.proto.
 *
 * Reading and writing are by hand, because they happen once per message: decoding takes no memory,
 * spans and ids point into the bytes. Unknown fields are skipped, and survive where the content is
 * passed on as it came. An absent field costs nothing. */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define ENVELOPE_PAYLOAD_MAX ((size_t)(32768 + 64) * 1024) /* bytes */
#define ENVELOPE_HEAD_MAX ((size_t)8192)                   /* bytes of everything but the payload */
#define ENVELOPE_SIZE_MAX (ENVELOPE_PAYLOAD_MAX + ENVELOPE_HEAD_MAX)
#define ENVELOPE_PREFIX_MAX ((size_t)4096)
#define ENVELOPE_TARGETS_MAX 64u
#define ENVELOPE_TRAIL_MAX 64u
#define ENVELOPE_CAUSALITY_MAX 16u
#define ENVELOPE_CAUSALITY_SIZE 24u /* bytes of one dependency: node id, u64 sequence */
#define ENVELOPE_KEY_MAX 128u       /* bytes of an idempotency key */
#define ENVELOPE_TRACE_MAX 256u
#define ENVELOPE_PROOF_MAX 256u

enum envelope_type {
    ENVELOPE_COMMAND = 1,
    ENVELOPE_EVENT,
    ENVELOPE_QUERY,
    ENVELOPE_RESPONSE,
    ENVELOPE_HEARTBEAT,
    ENVELOPE_CONSENSUS,
    ENVELOPE_GRADIENT,
    ENVELOPE_COORDINATION
};

/* In order of urgency. On the wire normal is 0, so that it costs nothing. */
enum envelope_priority {
    ENVELOPE_CRITICAL = 0,
    ENVELOPE_HIGH,
    ENVELOPE_NORMAL,
    ENVELOPE_LOW,
    ENVELOPE_BACKGROUND
};
#define ENVELOPE_PRIORITIES 5

enum envelope_seal { ENVELOPE_SEAL_LINK = 0, ENVELOPE_SEAL_SESSION };

enum envelope_guarantee { ENVELOPE_BEST_EFFORT = 0, ENVELOPE_AT_LEAST_ONCE, ENVELOPE_EXACTLY_ONCE };

/* Zeroed fields are absent, but for [type], which every content has, and [priority], whose zero is
 * CRITICAL. Pointers and spans are borrowed. */
struct envelope {
    /* outer part */
    enum envelope_seal seal;
    uint32_t hops, hops_max, key_id;
    const mn_id *destination; /* NULL: the neighbour */
    struct mn_span trail;     /* node ids, 16 bytes each */
    uint64_t deadline_us;     /* time left; 0: none */
    struct mn_span proof;
    /* The content as it travels. Set by decoding, where it is all there is under SEAL_SESSION; when
     * encoding, it goes out instead of the fields below if it is not empty. */
    struct mn_span content;

    /* content */
    enum envelope_type type;
    enum envelope_priority priority;
    uint32_t schema;
    enum envelope_guarantee guarantee;
    bool wants_ack;
    const mn_id *source, *id, *correlation; /* NULL: absent; no source: the neighbour */
    uint64_t boot, sequence;
    uint64_t created_ms, expires_ms, ttl_ms; /* wall clock */
    struct mn_span targets, idempotency_key, trace, causality;
    /* The payload. When encoding, [prefix] are its first bytes, and become part of the head: so a
     * large payload gets a header of its own kind without being copied. Empty after decoding. */
    struct mn_span prefix, payload;
};

/* "command", "event" and so on; "unknown" for a value outside the list. */
const char *envelope_type_name(enum envelope_type type);
const char *envelope_priority_name(enum envelope_priority priority);

/* Is it one that decodes again: sizes, counts, enums? MN_CONFIG, MN_TOO_BIG. */
MN_MUST_USE mn_status envelope_check(const struct envelope *envelope);

/* Bytes of an encoded envelope. [head_size] is everything before the payload but the deadline, so
 * that a queue can keep the head, and write the deadline of the moment in front of it. */
struct envelope_sizes {
    size_t head_size;    /* without deadline_us and without the payload's bytes but its prefix */
    size_t payload_size; /* bytes of payload, or of content, that follow the head */
};

struct envelope_sizes envelope_sizes(const struct envelope *envelope);

/* Writes exactly head_size bytes. The envelope is [deadline][head][payload]: the order of fields is
 * free in protobuf. */
void envelope_write_head(const struct envelope *envelope, uint8_t *to);

/* What follows the head: the payload after its prefix, or the content when that is given. */
struct mn_span envelope_tail(const struct envelope *envelope);

#define ENVELOPE_DEADLINE_SIZE_MAX 11

/* Writes the deadline field, nothing for 0, and returns its size (bytes). */
size_t envelope_write_deadline(uint64_t deadline_us, uint8_t to[ENVELOPE_DEADLINE_SIZE_MAX]);

/* Bytes of the whole, and the whole at once: for tests and for what is not queued. */
size_t envelope_size(const struct envelope *envelope);
void envelope_write(const struct envelope *envelope, uint8_t *to);

/* Decodes and checks every bound; all of *ret points into [bytes]. MN_MALFORMED, MN_TOO_BIG, and
 * MN_UNSUPPORTED for a type, priority, seal or guarantee that only a newer node knows. Under
 * SEAL_SESSION only the outer part is decoded: see envelope_decode_content(). */
MN_MUST_USE mn_status envelope_decode(struct mn_span bytes, struct envelope *ret);

/* The same for a content that was unsealed: fills in the content fields of *envelope. */
MN_MUST_USE mn_status envelope_decode_content(struct mn_span content, struct envelope *envelope);

#endif
