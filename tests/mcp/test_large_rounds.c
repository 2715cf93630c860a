/* Large questions of servers, and large answers of clients to them: no step of either half handles
 * much of one. Counted in bytes (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define ANSWER ((size_t)15 << 20)
#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"sampling\":{}}}"
#define ASKED \
    "\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\",\"params\":{\"n\":1}}}"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};

static void front_setup(void)
{
    client_setup();
    client_service("srv", true, tools);
}

static void front_teardown(void)
{
    client_teardown();
    large_done();
}

/* Posts [bytes] as they come; [path] of a modern client's call, unless [line] names a session. */
static uint64_t posted(const char *path, const char *line, const char *bytes)
{
    const char *const modern[] = {"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call",
                                  "mcp-name: t", NULL};
    const char *const legacy[] = {line, NULL};
    uint64_t id = client_open("POST", path, line == NULL ? modern : legacy);

    work_reset();
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        client_body(id, bytes, size, size == left);
    }
    return id;
}

/* What stands in a response as requestState. */
static const char *state_of(const struct client_response *response, char to[4096])
{
    const char *begin = strstr(response->body, "\"requestState\":\"");

    ck_assert_ptr_nonnull(begin);
    snprintf(to, 4096, "%.*s", (int)strcspn(begin + 16, "\""), begin + 16);
    return to;
}

/* ---- answers, at the node of the client ---- */

START_TEST(next_round_is_copied_in_slices)
{
    static const char begin[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
        "{\"name\":\"t\",\"arguments\":{\"a\":1}," META;
    static const char *const units[] = {"A", "\\n\\u00e9\xc3\xa9"};
    char state[4096], head[8192], first[1024], *answers;
    uint64_t id;

    snprintf(first, sizeof first, "%s}}", begin);
    id = posted("/mcp/servers/srv", NULL, first);
    client_result(1, "{\"resultType\":\"input_required\",\"requestState\":\"mine\"," ASKED "}");
    snprintf(head, sizeof head, "%s,\"requestState\":\"%s\",\"inputResponses\":{\"k\":{\"data\":\"",
             begin, state_of(client_response(id), state));
    id = posted("/mcp/servers/srv", NULL, large_made(head, units[_i], ANSWER, "\"}}}}"));
    ck_assert_uint_eq(client_calls_count, 1);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_uint_eq(client_calls[1].node.bytes[0], 9);
    ck_assert(!client_calls[1].is_idempotent);
    answers = strstr(large_text(), ",\"inputResponses\"");
    answers[strlen(answers) - 1] = '\0'; /* the end of the message */
    head[snprintf(head, sizeof head,
                  "{\"name\":\"t\",\"arguments\":{\"a\":1},\"requestState\":\"mine\"")] = '\0';
    ck_assert_int_eq(strncmp(client_calls[1].params, head, strlen(head)), 0);
    ck_assert_str_eq(client_calls[1].params + strlen(head), answers);
    /* It is a round as any: the server may ask again. */
    work_reset();
    client_result(client_calls[1].ticket,
                  "{\"resultType\":\"input_required\",\"requestState\":\"more\"," ASKED "}");
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, "\"requestState\":\""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large rounds");
    TCase *entry = tcase_create("at the client's node");

    tcase_set_timeout(entry, 60);
    tcase_add_checked_fixture(entry, front_setup, front_teardown);
    tcase_add_loop_test(entry, next_round_is_copied_in_slices, 0, 2);
    suite_add_tcase(suite, entry);
    return suite_run(suite);
}
