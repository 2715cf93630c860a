#include "crypto/signed.h"

#include "proto/base/memory.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

enum { TAG_BODY = 0x0a, TAG_SIGNATURE = 0x12 }; /* fields 1 and 2, both length-delimited */

struct mn_buf *signed_make(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
                           struct mn_span body)
{
    Meshnode__Trust__Signed wrapper = MESHNODE__TRUST__SIGNED__INIT;
    uint8_t signature[SIGN_SIZE];

    sign_make(key, tag, mesh_id, body, signature);
    wrapper.body = pb_bytes(body);
    wrapper.signature = pb_bytes(mn_span(signature, sizeof signature));
    return pb_pack(&wrapper.base);
}

struct mn_buf *signed_pack(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
                           const ProtobufCMessage *body)
{
    struct mn_buf *bytes = pb_pack(body), *document;

    document = signed_make(key, tag, mesh_id, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    return document;
}

/* A size of one or two varint bytes: bodies are below 16 KiB. Returns the bytes read, 0: refused.
 */
static size_t signed_read_size(struct mn_span bytes, size_t *ret)
{
    if (bytes.size >= 1 && bytes.data[0] < 0x80) {
        *ret = bytes.data[0];
        return 1;
    }
    if (bytes.size >= 2 && bytes.data[1] > 0 && bytes.data[1] < 0x80) {
        *ret = (size_t)(bytes.data[0] & 0x7f) | (size_t)bytes.data[1] << 7;
        return 2;
    }
    return 0;
}

mn_status signed_open(struct mn_span bytes, size_t size_max, struct mn_span *ret_body,
                      uint8_t ret_signature[SIGN_SIZE])
{
    size_t body_size, size_bytes, left;
    const uint8_t *body, *after;

    if (bytes.size > size_max) return MN_TOO_BIG;
    if (bytes.size < 2 || bytes.data[0] != TAG_BODY) return MN_MALFORMED;
    size_bytes = signed_read_size(mn_span(bytes.data + 1, bytes.size - 1), &body_size);
    if (size_bytes == 0) return MN_MALFORMED;
    body = bytes.data + 1 + size_bytes;
    left = bytes.size - 1 - size_bytes;
    if (left < 2 + SIGN_SIZE || body_size != left - 2 - SIGN_SIZE) return MN_MALFORMED;
    after = body + body_size;
    if (after[0] != TAG_SIGNATURE || after[1] != SIGN_SIZE) return MN_MALFORMED;
    *ret_body = mn_span(body, body_size);
    memcpy(ret_signature, after + 2, SIGN_SIZE);
    return MN_OK;
}
