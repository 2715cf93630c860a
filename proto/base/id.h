/* id.h: 128-bit identifiers: node ids (UUIDv8 made from a key), mesh ids, boot ids, call ids.
 * A plain value; compared and hashed as bytes. */
#ifndef MN_ID_H
#define MN_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

typedef struct mn_id {
    uint8_t bytes[16];
} mn_id;

#define MN_ID_TEXT_SIZE 37 /* 36 characters and a NUL */

static inline bool mn_id_equal(const mn_id *a, const mn_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline int mn_id_compare(const mn_id *a, const mn_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline bool mn_id_is_zero(const mn_id *id)
{
    static const mn_id zero;
    return mn_id_equal(id, &zero);
}

/* Lower case, 8-4-4-4-12. Returns [text]. */
char *mn_id_format(const mn_id *id, char text[MN_ID_TEXT_SIZE]);

/* Accepts exactly what mn_id_format() writes, in either case. MN_MALFORMED otherwise. */
MN_MUST_USE mn_status mn_id_parse(struct mn_span text, mn_id *ret);

#endif
