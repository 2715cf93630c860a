/* pb.h: protobuf-c with our memory and our bounds. Every protobuf message of the project is packed
 * and unpacked through these few functions. Messages live in an arena: nothing is ever freed one by
 * one, and protobuf_c_message_free_unpacked() is not called.
 *
 * Bounds: the caller checks the size of what it accepts against the limit of that message before
 * decoding. Memory taken for decoding is at most PB_MEMORY_BASE + PB_MEMORY_FACTOR times the
 * encoded size, so a message of tiny fields cannot blow up. Depth is that of the schema, because no
 * message of the project contains itself. */
#ifndef PB_H
#define PB_H

#include <protobuf-c/protobuf-c.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define PB_MEMORY_BASE                                                                           \
    65536u                   /* bytes: structs of the outer messages, first slabs of the scanner \
                              */
#define PB_MEMORY_FACTOR 32u /* honest messages take up to about 15 times their size */

/* Decodes [bytes] as a message of [descriptor], or returns NULL when they do not decode or would
 * take more memory than allowed. Everything is in [arena]; [bytes] need not outlive the call. The
 * caller assigns the result to a pointer of the generated type. */
void *pb_unpack(const ProtobufCMessageDescriptor *descriptor, struct mn_arena *arena,
                struct mn_span bytes);

/* The same without copies: fields of bytes point into [bytes], which must outlive the message; only
 * strings and the message itself are in [arena]. For what travels with every call; knows only types
 * that occur there (bytes, string, messages and arrays of them, bool, enum, int32, uint32, fixed32,
 * uint64),
 * forgets unknown fields, and of a message that stands twice in one place takes the last. */
void *pb_view(const ProtobufCMessageDescriptor *descriptor, struct mn_arena *arena,
              struct mn_span bytes);

/* Encodes a message, `pb_pack(&ask.base)`; the caller owns the one ref of the result. */
struct mn_buf *pb_pack(const ProtobufCMessage *message);

/* The same into an arena. */
struct mn_span pb_pack_arena(const ProtobufCMessage *message, struct mn_arena *arena);

/* What stands in front of the [size] bytes of a field of bytes: with it, a message whose last field
 * is long can be written without copying that. Returns how much was written to [to]. */
#define PB_BYTES_HEAD_MAX 10
size_t pb_bytes_head(uint32_t field, size_t size, uint8_t to[PB_BYTES_HEAD_MAX]);

/* Views between the two kinds of spans; nothing is copied. protobuf-c wants mutable pointers but
 * does not write through them when packing. */
static inline struct mn_span pb_span(ProtobufCBinaryData bytes)
{
    return mn_span(bytes.data, bytes.len);
}

ProtobufCBinaryData pb_bytes(struct mn_span span);

/* The text of a string field; protobuf-c gives "" for an absent one. */
static inline struct mn_span pb_text(const char *text)
{
    return mn_span_str(text);
}

/* Copies a field that must have exactly [size] bytes. MN_MALFORMED when it has not. */
MN_MUST_USE mn_status pb_fixed(ProtobufCBinaryData bytes, void *to, size_t size);

/* The same for an id; an absent field is refused too. */
MN_MUST_USE mn_status pb_id(ProtobufCBinaryData bytes, mn_id *ret);

static inline ProtobufCBinaryData pb_id_bytes(const mn_id *id)
{
    return pb_bytes(mn_span(id->bytes, sizeof id->bytes));
}

#endif
