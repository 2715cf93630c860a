/* frame.h: how a link cuts its byte stream.
 *
 *   stream   preamble (8 bytes), three handshake messages, then frames
 *   message  u16 size, then so many bytes; also each handshake message
 *   frame    a message whose bytes are a Noise transport message; its plaintext is items
 *   item     u8 kind, u24 size, then so many bytes
 *
 * Integers are big-endian. An item never crosses a frame. An envelope that is too long for one
 * travels as fragments: PART_FIRST starts with the u32 size of the whole, PART holds more of it,
 * and the first byte of both is its priority; of each priority one envelope at a time is in parts.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/envelope.h"

#define FRAME_PREAMBLE "MESH\x01\x01\x00\x00" /* version 1, suite 1: 25519, ChaChaPoly, BLAKE2b */
#define FRAME_PREAMBLE_SIZE 8
#define FRAME_PROLOGUE "meshnode/1/link" /* with its NUL; the preamble follows */

#define FRAME_LENGTH_SIZE 2
#define FRAME_TAG_SIZE 16
#define FRAME_SEALED_MAX 65535
#define FRAME_PLAIN_MAX (FRAME_SEALED_MAX - FRAME_TAG_SIZE)
#define FRAME_AIM 16384           /* plain bytes of a frame before the next one is begun */
#define FRAME_SEND_MAX 65536      /* sealed bytes per send, unless one frame is longer */
#define FRAME_GUEST_MAX 4096      /* plain bytes of a frame from a guest */
#define FRAME_ADMISSION_MAX 65000 /* bytes of an admission message */
#define FRAME_PING_SIZE 8
#define FRAME_HANDSHAKE_MAX 512 /* bytes of a handshake message */

#define FRAME_ITEM_HEAD_SIZE 4
#define FRAME_ITEM_MAX (FRAME_PLAIN_MAX - FRAME_ITEM_HEAD_SIZE)
#define FRAME_WHOLE_MAX 20480 /* bytes of an envelope that is not cut */
#define FRAME_PART_MAX 16384  /* bytes of an envelope in one part */
#define FRAME_PART_HEAD_SIZE 1
#define FRAME_PART_FIRST_HEAD_SIZE 5
#define FRAME_PARTS_MAX (2 * ENVELOPE_SIZE_MAX) /* bytes of all envelopes in parts but critical */

enum frame_kind {
    FRAME_ENVELOPE = 1,
    FRAME_PART_FIRST = 2,
    FRAME_PART = 3,
    FRAME_HELLO = 4,     /* Hello */
    FRAME_ADMISSION = 5, /* opaque to links */
    FRAME_PING = 6,      /* 8 bytes that come back */
    FRAME_PONG = 7,
    FRAME_REKEY = 8, /* empty; the last item under this key */
    FRAME_CLOSE = 9  /* Close; the last item at all */
};

struct frame_item {
    enum frame_kind kind; /* may be a value outside the list: a newer node's */
    struct mn_span bytes;
};

/* Takes the next item off the front of [plain]. MN_NOT_FOUND when it is empty; MN_MALFORMED when
 * what is left is no item. */
MN_MUST_USE mn_status frame_take_item(struct mn_span *plain, struct frame_item *ret);

/* Writes an item's head; [size] <= FRAME_ITEM_MAX. */
void frame_write_item_head(uint8_t to[FRAME_ITEM_HEAD_SIZE], enum frame_kind kind, size_t size);

/* The message at the front of a stream. MN_OK: *ret is its bytes, *ret_used how far to go on.
 * MN_NOT_YET: more bytes are needed. MN_TOO_BIG: longer than [size_max]. MN_MALFORMED: shorter than
 * [size_min]. */
MN_MUST_USE mn_status frame_cut(struct mn_span stream, size_t size_min, size_t size_max,
                                struct mn_span *ret, size_t *ret_used);

/* A decoded part. */
struct frame_part {
    uint8_t priority;    /* as enum envelope_priority; in range */
    uint32_t whole_size; /* of PART_FIRST; 0 for PART */
    struct mn_span bytes;
};

/* MN_MALFORMED, MN_TOO_BIG. [kind] is FRAME_PART_FIRST or FRAME_PART. */
MN_MUST_USE mn_status frame_read_part(const struct frame_item *item, struct frame_part *ret);

#endif
