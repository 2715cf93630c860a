/* JSON-RPC messages and server-sent events. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/jsonrpc_skim.h"
#include "node/mcp/wire/sse.h"
#include "tests/suite.h"

static struct json_parser *parser;
static struct mn_arena arena;

static void setup(void)
{
    parser = json_parser_new();
}

static void teardown(void)
{
    json_parser_free(parser);
    mn_arena_done(&arena);
}

static mn_status decode(const char *text, struct jsonrpc_message *ret)
{
    const struct json *value;

    ck_assert_int_eq(json_parse_copy(parser, mn_span_str(text), JSONRPC_LIMITS, &arena, &value),
                     MN_OK);
    return jsonrpc_decode(value, ret);
}

static const struct {
    const char *text, *id;
} skimmed[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":17,\"result\":{}}", "17"},
    {" {\"result\":{\"id\":1,\"x\":[{\"id\":2}]},\"id\" :\t18 ,\"jsonrpc\":\"2.0\"}", "18"},
    {"{\"error\":\"\\\\\\\",\\\"id\\\":3\",\"id\":\"a\\\"b\"}", "\"a\\\"b\""},
    {"{\"x\":\"id\",\"y\":5,\"id\":-19}", "-19"},
    {"{\"id\":null,\"error\":{}}", "null"},
    {"{\"id\":20,\"method\":\"ping\"}", ""},
    {"{\"method\":\"ping\",\"id\":20}", ""},
    {"{\"result\":{\"method\":\"m\"},\"id\":21}", "21"},
    {"{\"result\":{\"id\":22}}", ""},
    {"[{\"id\":23}]", ""},
    {"\"id\"", ""},
    {"{\"id\":\"", "\""},
    {"{\"id\":\"\\", "\"\\"},
    {"]}{\"id", ""},
    {"", ""},
};

START_TEST(who_is_answered_is_skimmed_without_parsing)
{
    struct mn_span id = jsonrpc_skim_answered(mn_span_str(skimmed[_i].text));

    ck_assert_msg(mn_span_is(id, skimmed[_i].id), "%s: %.*s", skimmed[_i].text, (int)id.size,
                  (const char *)id.data);
}
END_TEST

#define J "{\"jsonrpc\":\"2.0\","

START_TEST(messages_are_told_apart)
{
    struct jsonrpc_message message;

    ck_assert_int_eq(
        decode(J "\"id\":\"a\\u0062\",\"method\":\"m\",\"params\":{\"x\":1}}", &message), MN_OK);
    ck_assert_int_eq(message.kind, JSONRPC_REQUEST);
    ck_assert(mn_span_is(message.id, "\"a\\u0062\"")); /* verbatim */
    ck_assert(mn_span_is(message.method, "m"));
    ck_assert(mn_span_is(json_find_str(message.params, "x")->raw, "1"));
    ck_assert_int_eq(decode(J "\"id\":1.50e1,\"method\":\"m\"}", &message), MN_OK);
    ck_assert(mn_span_is(message.id, "1.50e1")); /* an integer by value: verbatim, too */
    ck_assert_int_eq(decode(J "\"method\":\"m\"}", &message), MN_OK);
    ck_assert_int_eq(message.kind, JSONRPC_NOTIFICATION);
    ck_assert_ptr_null(message.params);
    ck_assert_int_eq(decode(J "\"id\":-5,\"result\":{\"r\":{}},\"extra\":0}", &message), MN_OK);
    ck_assert_int_eq(message.kind, JSONRPC_RESULT);
    ck_assert_uint_eq(message.result->count, 1);
    ck_assert_int_eq(
        decode(J "\"id\":null,\"error\":{\"code\":-32603,\"message\":\"m\",\"data\":[1e400]}}",
               &message),
        MN_OK);
    ck_assert_int_eq(message.kind, JSONRPC_ERROR);
    ck_assert_int_eq(message.code, -32603);
    ck_assert(mn_span_is(message.message, "m"));
    ck_assert(mn_span_is(message.data, "[1e400]"));
    ck_assert_uint_eq(message.id.size, 0);
}
END_TEST

static const char *const bad[] = {
    "[]",
    "1",
    "{}",
    "{\"id\":1,\"method\":\"m\"}",
    "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}",
    "{\"jsonrpc\":\"2\",\"id\":1,\"method\":\"m\"}",
    J "\"id\":1}",
    J "\"id\":1,\"method\":2}",
    J "\"id\":1,\"method\":\"m\",\"params\":null}",
    J "\"id\":1,\"method\":\"m\",\"params\":[]}",
    J "\"id\":null,\"method\":\"m\"}",
    J "\"id\":1.5,\"method\":\"m\"}",
    J "\"id\":1e-2,\"method\":\"m\"}",
    J "\"id\":true,\"method\":\"m\"}",
    J "\"id\":{},\"method\":\"m\"}",
    J "\"id\":1,\"id\":1,\"method\":\"m\"}",
    J "\"id\":1,\"method\":\"m\",\"method\":\"m\"}",
    J "\"id\":1,\"method\":\"m\",\"result\":{}}",
    J "\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"m\"}}",
    J "\"result\":{}}",
    J "\"id\":1,\"result\":[]}",
    J "\"id\":1,\"result\":null}",
    J "\"id\":1,\"error\":1}",
    J "\"id\":1,\"error\":{\"message\":\"m\"}}",
    J "\"id\":1,\"error\":{\"code\":1}}",
    J "\"id\":1,\"error\":{\"code\":1.5,\"message\":\"m\"}}",
    J "\"id\":1,\"error\":{\"code\":1,\"code\":1,\"message\":\"m\"}}",
    J "\"id\":true,\"error\":{\"code\":1,\"message\":\"m\"}}",
};

START_TEST(everything_else_is_refused)
{
    struct jsonrpc_message message;
    ck_assert_msg(decode(bad[_i], &message) == MN_MALFORMED, "%s", bad[_i]);
}
END_TEST

START_TEST(a_readable_id_survives_a_refusal)
{
    struct jsonrpc_message message;
    char text[JSONRPC_ID_SIZE_MAX + 64] = J "\"id\":\"";

    ck_assert_int_eq(decode(J "\"id\":7,\"method\":2}", &message), MN_MALFORMED);
    ck_assert(mn_span_is(message.id, "7"));
    memset(text + strlen(text), 'x', JSONRPC_ID_SIZE_MAX);
    strcat(text, "\",\"method\":\"m\"}");
    ck_assert_int_eq(decode(text, &message), MN_MALFORMED); /* an id is echoed, so it is bounded */
    ck_assert_uint_eq(message.id.size, 0);
}
END_TEST

START_TEST(own_ids_are_read_back_strictly)
{
    static const char *const wrong[] = {"",   "-1",    "01",    "1.5", "1.",
                                        ".0", "1.0.0", "\"1\"", "1 ",  "99999999999999999999"};
    uint64_t number;

    ck_assert_int_eq(jsonrpc_id_number(mn_span_str("0"), &number), MN_OK);
    ck_assert_int_eq(jsonrpc_id_number(mn_span_str("1234567890123456789"), &number), MN_OK);
    ck_assert_uint_eq(number, 1234567890123456789U);
    ck_assert_int_eq(jsonrpc_id_number(mn_span_str("100.00"), &number), MN_OK);
    ck_assert_uint_eq(number, 100);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_int_eq(jsonrpc_id_number(mn_span_str(wrong[i]), &number), MN_MALFORMED);
}
END_TEST

#define ck_assert_written(writer, expected)                         \
    do {                                                            \
        ck_assert(mn_span_is(mn_buf_span((writer).buf), expected)); \
        mn_writer_drop(&(writer));                                  \
    } while (0)

START_TEST(messages_are_written)
{
    struct mn_writer writer = {0};
    struct mn_span none = {0};

    jsonrpc_write_request(&writer, mn_span_str("1"), "a/b", mn_span_str("{}"));
    ck_assert_written(writer, J "\"id\":1,\"method\":\"a/b\",\"params\":{}}");
    jsonrpc_write_notification(&writer, "n", none);
    ck_assert_written(writer, J "\"method\":\"n\"}");
    jsonrpc_write_result(&writer, mn_span_str("\"x\""), mn_span_str("{ }"));
    ck_assert_written(writer, J "\"id\":\"x\",\"result\":{ }}");
    jsonrpc_write_error(&writer, none, -32700, mn_span_str("a\"b"), none);
    ck_assert_written(writer, J "\"error\":{\"code\":-32700,\"message\":\"a\\\"b\"}}");
    jsonrpc_write_error(&writer, mn_span_str("1"), 5, mn_span_str("m"), mn_span_str("[1]"));
    ck_assert_written(writer, J "\"id\":1,\"error\":{\"code\":5,\"message\":\"m\",\"data\":[1]}}");
}
END_TEST

START_TEST(events_are_written_on_one_line)
{
    struct mn_writer writer = {0};

    sse_write_message(&writer, mn_span(NULL, 0), mn_span_str("{\n\"a\":\r1}"));
    ck_assert_written(writer, "event: message\ndata: { \"a\": 1}\n\n");
    sse_write_message(&writer, mn_span_str("s-1"), mn_span_str("{}"));
    ck_assert_written(writer, "event: message\nid: s-1\ndata: {}\n\n");
}
END_TEST

/* What the standard allows, and how it reads: "type|id|data;" per event. */
static const struct {
    const char *stream, *events;
} streams[] = {
    {"data: a\n\n", "message||a;"},
    {"data:a\r\n\r\n", "message||a;"},
    {"data:  a\r\r", "message|| a;"},
    {"data: a\ndata\ndata: b\n\n", "message||a\n\nb;"},
    {"event: x\nid: 7\ndata: a\n\ndata: b\n\n", "x|7|a;message|7|b;"},
    {": comment\n\ndata: a\n: more\n\n", "message||a;"},
    {"id: 1\ndata:\n\n", "message|1|;"},
    {"id: 1\n\ndata: b\n\n", "message|1|b;"},
    {"event: x\n\ndata: b\n\n", "message||b;"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "message||a;"},
    {"data: \xef\xbb\xbf\n\n", "message||\xef\xbb\xbf;"},
    {"data: a", ""},
    {"data: a\n", ""},
    {"\n\n\ndata: a\r\n\n", "message||a;"},
    {"dat: x\ndatax: y\nretry: 5\nretry: x\ndata: {\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}\n\n",
     "message||{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"};"},
};

static void read_stream(struct sse_reader *reader, struct mn_span bytes, struct mn_writer *events)
{
    struct sse_event event;

    while (sse_reader_next(reader, &bytes, &event)) {
        mn_writer_add(events, event.type);
        mn_writer_str(events, "|");
        mn_writer_add(events, event.id);
        mn_writer_str(events, "|");
        mn_writer_add(events, mn_buf_span(event.data));
        mn_writer_str(events, ";");
    }
    ck_assert_uint_eq(bytes.size, 0);
}

/* Split in two at every byte, and into single bytes: the same events. */
START_TEST(streams_are_read_wherever_they_are_split)
{
    struct mn_span whole = mn_span_str(streams[_i].stream);

    for (size_t cut = 0; cut <= whole.size + 1; cut++) {
        struct sse_reader reader;
        struct mn_writer events = {0};
        sse_reader_init(&reader, 1024);
        if (cut <= whole.size) {
            read_stream(&reader, mn_span(whole.data, cut), &events);
            read_stream(&reader, mn_span(whole.data + cut, whole.size - cut), &events);
        } else {
            for (size_t i = 0; i < whole.size; i++)
                read_stream(&reader, mn_span(whole.data + i, 1), &events);
        }
        mn_writer_str(&events, "");
        ck_assert_msg(mn_span_is(mn_buf_span(events.buf), streams[_i].events), "%d/%zu: %.*s", _i,
                      cut, (int)events.buf->size, events.buf->bytes);
        ck_assert_int_eq(sse_reader_status(&reader), MN_OK);
        mn_writer_drop(&events);
        sse_reader_done(&reader);
    }
}
END_TEST

START_TEST(retry_and_the_last_id_are_kept)
{
    struct sse_reader reader;
    struct mn_writer events = {0};

    sse_reader_init(&reader, 1024);
    read_stream(&reader, mn_span_str("retry: 250\nid: a\n\nretry: 12345678901\nid: b\n\n"),
                &events);
    ck_assert_uint_eq(reader.retry_ms, 250);
    ck_assert(mn_span_is(sse_reader_id(&reader), "b"));
    sse_reader_done(&reader);
    mn_writer_drop(&events);
}
END_TEST

START_TEST(lines_and_events_are_bounded)
{
    static const char *const too_big[] = {"data: 0123456789abcdef\n", "0123456789012345678901234",
                                          "data: 012345\ndata: 0123456\ndata: 0123456\n"};

    for (size_t i = 0; i < sizeof too_big / sizeof *too_big; i++) {
        struct sse_reader reader;
        struct mn_writer events = {0};
        sse_reader_init(&reader, 15);
        read_stream(&reader, mn_span_str(too_big[i]), &events);
        ck_assert_int_eq(sse_reader_status(&reader), MN_TOO_BIG);
        read_stream(&reader, mn_span_str("\n\ndata: a\n\n"), &events);
        ck_assert_uint_eq(mn_writer_size(&events), 0);
        sse_reader_done(&reader);
        mn_writer_drop(&events);
    }
}
END_TEST

/* The bound is of the data, wherever its line was cut. */
START_TEST(as_much_as_may_be_is_taken_however_it_is_split)
{
    static const char text[] = "\xef\xbb\xbf"
                               "data: 0123456789abcde\n\n";

    for (size_t step = 1; step < sizeof text; step++) {
        struct sse_reader reader;
        struct mn_writer events = {0};
        sse_reader_init(&reader, 15);
        for (size_t at = 0; at < sizeof text - 1; at += step) {
            size_t left = sizeof text - 1 - at;
            read_stream(&reader, mn_span(text + at, left < step ? left : step), &events);
        }
        ck_assert_written(events, "message||0123456789abcde;");
        sse_reader_done(&reader);
    }
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    struct mn_writer writer = {0}, events = {0};
    struct sse_reader reader;

    sse_reader_init(&reader, 1024);
    sse_write_keepalive(&writer);
    sse_write_message(&writer, mn_span_str("9"), mn_span_str("{\"a\":\"\\n\"}"));
    read_stream(&reader, mn_buf_span(writer.buf), &events);
    ck_assert_written(events, "message|9|{\"a\":\"\\n\"};");
    mn_writer_drop(&writer);
    sse_reader_done(&reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jsonrpc");
    TCase *tcase = tcase_create("jsonrpc");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, who_is_answered_is_skimmed_without_parsing, 0,
                        (int)(sizeof skimmed / sizeof *skimmed));
    tcase_add_test(tcase, messages_are_told_apart);
    tcase_add_loop_test(tcase, everything_else_is_refused, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tcase, a_readable_id_survives_a_refusal);
    tcase_add_test(tcase, own_ids_are_read_back_strictly);
    tcase_add_test(tcase, messages_are_written);
    tcase_add_test(tcase, events_are_written_on_one_line);
    tcase_add_loop_test(tcase, streams_are_read_wherever_they_are_split, 0,
                        (int)(sizeof streams / sizeof *streams));
    tcase_add_test(tcase, retry_and_the_last_id_are_kept);
    tcase_add_test(tcase, lines_and_events_are_bounded);
    tcase_add_test(tcase, as_much_as_may_be_is_taken_however_it_is_split);
    tcase_add_test(tcase, what_is_written_is_read_back);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
