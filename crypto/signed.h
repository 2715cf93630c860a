/* signed.h: the wrapper of a body and the signature of one key, in its one canonical form:
 * 0a <size> body 12 40 signature. Being strict here means that a document has exactly one encoding:
 * a changed bit is a refused document, also outside what the signature covers. */
#ifndef SIGNED_H
#define SIGNED_H

#include <protobuf-c/protobuf-c.h>

#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

/* Body and its signature by [key]; the caller owns the ref. */
struct mn_buf *signed_make(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
                           struct mn_span body);

/* The same of a message that has to be packed first. */
struct mn_buf *signed_pack(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
                           const ProtobufCMessage *body);

/* Takes a wrapper of at most [size_max] bytes apart; ret_body borrows from [bytes]. Nothing is
 * verified. MN_TOO_BIG, MN_MALFORMED. */
MN_MUST_USE mn_status signed_open(struct mn_span bytes, size_t size_max, struct mn_span *ret_body,
                                  uint8_t ret_signature[SIGN_SIZE]);

#endif
