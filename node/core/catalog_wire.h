/* catalog_wire.h: catalogs and the messages that carry them, proto/catalog.proto. */
#ifndef CATALOG_WIRE_H
#define CATALOG_WIRE_H

#include <stdint.h>

#include "crypto/identity.h"
#include "node/core/catalog.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

struct catalog_wire_offer {
    struct mn_span name;
    uint8_t hash[CATALOG_HASH_SIZE];
    uint8_t replica_key[CALL_KEY_SIZE];
    uint32_t size; /* bytes of the body */
};

/* A decoded catalog; offers lie in the arena it was decoded with. */
struct catalog_wire {
    mn_id node; /* follows from sign_pk */
    uint8_t sign_pk[SIGN_PK_SIZE];
    uint64_t epoch, version;
    const struct catalog_wire_offer *offers; /* by name, strictly rising */
    uint32_t count;
    uint8_t root[CATALOG_ROOT_SIZE];
};

/* The message that carries our catalog; fills in node, sign_pk and root. The caller owns the ref.
 */
struct mn_buf *catalog_wire_sign(struct catalog_wire *catalog, const struct identity *self,
                                 const mn_id *mesh_id, struct mn_arena *arena);

void catalog_wire_hash(struct mn_span body, uint8_t ret[CATALOG_HASH_SIZE]);

struct mn_buf *catalog_wire_pull(const mn_id *node);
struct mn_buf *catalog_wire_pull_body(const uint8_t hash[CATALOG_HASH_SIZE]);
struct mn_buf *catalog_wire_body(struct mn_span body);
struct mn_buf *catalog_wire_absent(void);

enum catalog_wire_type {
    CATALOG_WIRE_PULL = 1,  /* node */
    CATALOG_WIRE_CATALOG,   /* catalog */
    CATALOG_WIRE_PULL_BODY, /* hash */
    CATALOG_WIRE_BODY,      /* body */
    CATALOG_WIRE_ABSENT
};

struct catalog_wire_message {
    enum catalog_wire_type type;
    mn_id node;
    uint8_t hash[CATALOG_HASH_SIZE];
    struct mn_span body;
    struct catalog_wire catalog;
};

/* Decodes a message and checks its form and, of a catalog, the signature of the key it names.
 * MN_MALFORMED, MN_TOO_BIG, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status catalog_wire_decode(struct mn_span bytes, const mn_id *mesh_id,
                                          struct mn_arena *arena, struct catalog_wire_message *ret);

#endif
