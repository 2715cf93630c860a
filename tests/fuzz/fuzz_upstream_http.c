/* Whatever an HTTP endpoint answers: heads, bodies and ends of any fetch in any order and pieces.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz_upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"application/json", "text/event-stream", "text/html",
                                    "Application/JSON; charset=utf-8"};
static const uint32_t codes[] = {200, 200, 200, 202, 400, 401, 404, 405, 429, 500, 502, 302};

static void head(struct fuzz_upstream *fuzz, uint8_t which)
{
    const struct edge_header headers[] = {
        {mn_span_str("content-type"), mn_span_str(types[which % 4])},
        {mn_span_str("mcp-session-id"), mn_span_str(which & 0x80 ? "s-1" : "bad id")}};

    fuzz_upstream_edge(fuzz, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                                  .id = fuzz_upstream_fetch(fuzz),
                                                  .code = codes[which / 4 % 12],
                                                  .headers = headers,
                                                  .headers_count = 2});
}

/* A whole answer that fits the request, with [result]. */
static void answer(struct fuzz_upstream *fuzz, const char *result)
{
    struct mn_writer writer = {0};
    uint64_t id = fuzz_upstream_fetch(fuzz);

    mn_writer_format(&writer, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
                     (unsigned long long)fuzz->request_id, result);
    head(fuzz, 0);
    fuzz_upstream_edge(fuzz, &(struct edge_input){.type = EDGE_IN_FETCH_BODY,
                                                  .id = id,
                                                  .bytes = mn_buf_span(writer.buf)});
    fuzz_upstream_edge(fuzz, &(struct edge_input){.type = EDGE_IN_FETCH_DONE, .id = id});
    mn_writer_drop(&writer);
}

static void act(struct fuzz_upstream *fuzz, uint8_t operation, struct mn_span bytes)
{
    static const mn_status statuses[] = {MN_OK, MN_OK, MN_IO, MN_UNREACHABLE};
    uint8_t first = bytes.size == 0 ? 0 : bytes.data[0];

    fuzz->fetch_choice = operation / 16;
    switch (operation % 8) {
    case 0: head(fuzz, first); break;
    case 1:
        fuzz_upstream_edge(fuzz, &(struct edge_input){.type = EDGE_IN_FETCH_DONE,
                                                      .id = fuzz_upstream_fetch(fuzz),
                                                      .status = statuses[first % 4]});
        break;
    case 2: fuzz_upstream_call(fuzz, bytes); break;
    case 3: fuzz_upstream_cancel(fuzz, bytes.size > 0); break;
    case 4: fuzz_upstream_pass(fuzz, first * MN_SEC / 4); break;
    case 5:
        answer(fuzz, first & 1 ? "{\"supportedVersions\":[\"2026-07-28\"],\"tools\":[],"
                                 "\"capabilities\":{\"tools\":{\"listChanged\":true}}}"
                               : "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":"
                                 "{\"tools\":{}},\"serverInfo\":{},\"tools\":[{\"name\":\"x\","
                                 "\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\","
                                 "\"x-mcp-header\":\"A\"}}}}]}");
        break;
    default:
        fuzz_upstream_edge(fuzz, &(struct edge_input){.type = EDGE_IN_FETCH_BODY,
                                                      .id = fuzz_upstream_fetch(fuzz),
                                                      .bytes = bytes});
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_upstream fuzz;
    struct mn_span rest, piece;
    uint8_t operation;

    if (size == 0) return 0;
    fuzz_upstream_init(&fuzz, true, (enum upstream_era)(data[0] % 3));
    rest = mn_span(data + 1, size - 1);
    while (fuzz_upstream_next(&rest, &operation, &piece))
        act(&fuzz, operation, piece);
    fuzz_upstream_done(&fuzz);
    return 0;
}
