/* HTTP responses of upstream servers. The first byte says whether it answers a HEAD request and in
 * which pieces the rest arrives; what is reported must not depend on the pieces. */
#include <stdlib.h>

#include "node/io/fetch_response.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint32_t heads_count;
    uint64_t head_hash;
    struct mn_writer body;
};

static uint64_t hash_span(uint64_t hash, struct mn_span bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 1099511628211u;
    return hash ^ bytes.size;
}

static bool on_head(void *owner, uint32_t code, const struct edge_header *headers, uint32_t count)
{
    struct seen *seen = owner;
    MN_ASSERT(seen->heads_count == 0 && code >= 200 && count <= FETCH_HEADERS_MAX);
    seen->heads_count++;
    seen->head_hash = code;
    for (uint32_t i = 0; i < count; i++) {
        seen->head_hash = hash_span(seen->head_hash, headers[i].name);
        seen->head_hash = hash_span(seen->head_hash, headers[i].value);
        for (size_t k = 0; k < headers[i].name.size; k++)
            MN_ASSERT(headers[i].name.data[k] < 'A' || headers[i].name.data[k] > 'Z');
    }
    return true;
}

static bool on_body(void *owner, struct mn_span bytes)
{
    struct seen *seen = owner;
    MN_ASSERT(seen->heads_count == 1 && bytes.size > 0);
    mn_writer_add(&seen->body, bytes);
    return true;
}

static const struct fetch_sink sink = {on_head, on_body};

/* Reads all of [bytes] in pieces of [piece], then the end; true when that was a response. */
static bool read_all(struct fetch_response *response, struct mn_span bytes, size_t piece,
                     bool is_bodyless, struct seen *seen)
{
    mn_status status = MN_OK;
    fetch_response_begin(response, is_bodyless, &sink, seen);
    for (size_t at = 0; at < bytes.size && status == MN_OK && !response->is_complete; at += piece) {
        size_t left = bytes.size - at;
        status =
            fetch_response_read(response, mn_span(bytes.data + at, left < piece ? left : piece));
    }
    if (status == MN_OK) status = fetch_response_end(response);
    MN_ASSERT(status != MN_OK || response->is_complete);
    return status == MN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fetch_response response; /* kept, as on a connection */
    struct seen whole = {0}, parts = {0};
    if (size == 0) return 0;
    struct mn_span bytes = mn_span(data + 1, size - 1);
    bool is_bodyless = (data[0] & 1) != 0;
    bool is_good = read_all(&response, bytes, bytes.size + 1, is_bodyless, &whole);
    bool is_kept = response.is_kept;
    bool is_good_in_parts = read_all(&response, bytes, 1 + data[0] / 2, is_bodyless, &parts);
    if (is_good) { /* in parts, what follows the end of a response is never read */
        MN_ASSERT(is_good_in_parts);
        MN_ASSERT(!is_kept || response.is_kept);
        MN_ASSERT(whole.head_hash == parts.head_hash);
        MN_ASSERT(mn_span_equal(mn_buf_span(whole.body.buf), mn_buf_span(parts.body.buf)));
    }
    mn_writer_drop(&whole.body);
    mn_writer_drop(&parts.body);
    fetch_response_done(&response);
    return 0;
}
