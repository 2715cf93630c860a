/* MCP servers as child processes: handshake, supervision, and everything a child does wrong. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "node/mcp/upstream/upstream.h"
#include "tests/mcp/upstream_checks.h"
#include "tests/suite.h"

/* Handshakes. */

START_TEST(legacy_child_is_initialized_listed_and_offered)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    ck_assert_str_eq(world_child(&w)->command, "tool");
    assert_state("s", UPSTREAM_STARTING);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    assert_has(line, "\"protocolVersion\":\"2025-11-25\"");
    assert_has(line, "\"capabilities\":{}");
    ck_assert_ptr_null(world_line(&w));
    world_answer(&w, line, WORLD_LEGACY);
    assert_state("s", UPSTREAM_PROBING);
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    line = world_line(&w);
    assert_has(line, "\"method\":\"tools/list\",\"params\":{}");
    ck_assert_ptr_null(world_offer(&w));
    world_answer(&w, line, world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    ck_assert_str_eq(world_offer(&w)->name, "s");
    ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
    ck_assert_str_eq(world_offer(&w)->instructions, "be nice");
    ck_assert_str_eq(world_offer(&w)->server_info, "{\"name\":\"s\",\"version\":\"1\"}");
    ck_assert_uint_eq(w.offers_count, 1);
    struct upstream_info info = world_info(&w, "s");
    ck_assert(!info.is_modern && info.is_offered);
    ck_assert_uint_eq(info.tools_count, 2);
    ck_assert_uint_eq(info.starts_count, 1);
    ck_assert(mn_span_is(info.target, "tool --stdio"));
    ck_assert(mn_span_is(info.version, "2025-11-25"));
}
END_TEST

START_TEST(modern_child_is_discovered_and_offered)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"server/discover\"");
    assert_has(line, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    assert_has(line, "\"io.modelcontextprotocol/clientCapabilities\":{}");
    world_answer(&w, line, WORLD_MODERN);
    line = world_line(&w);
    assert_has(line, "\"method\":\"tools/list\"");
    assert_has(line, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    world_answer(&w, line, world_tools_result(&w, WORLD_TOOLS));
    ck_assert_ptr_null(world_line(&w)); /* no initialize, and nothing to listen to */
    assert_state("s", UPSTREAM_READY);
    ck_assert(world_info(&w, "s").is_modern);
    ck_assert_str_eq(world_offer(&w)->server_info, "{\"name\":\"m\",\"version\":\"2\"}");
}
END_TEST

static const struct {
    int code;
    const char *data;
    bool is_legacy;
} probe_errors[] = {
    {-32601, "", true},
    {-32602, "", true},
    {-32600, "", true},
    {-32000, "", true},
    {-1, "", true},
    {-32022, "{\"supported\":[\"2025-06-18\"]}", true},
    {-32022, "{\"supported\":[\"2031-01-01\"]}", false},
    {-32022, "{\"supported\":[\"2026-07-28\"]}", false},
    {-32021, "{\"requiredCapabilities\":{\"sampling\":{}}}", false},
};

START_TEST(probe_error_decides_the_era)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_error(&w, world_line(&w), probe_errors[_i].code, probe_errors[_i].data);
    if (probe_errors[_i].is_legacy) {
        assert_has(world_line(&w), "\"method\":\"initialize\"");
        ck_assert_uint_eq(w.children_count, 1); /* the same process */
    } else {
        ck_assert(world_child(&w)->is_stopped);
        assert_state("s", UPSTREAM_BACKOFF);
        ck_assert_uint_gt(world_info(&w, "s").error.size, 0);
    }
}
END_TEST

START_TEST(discover_result_with_older_versions_only_means_legacy)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"supportedVersions\":[\"2025-11-25\",\"2025-06-18\"],\"capabilities\":{}}");
    assert_has(world_line(&w), "\"method\":\"initialize\"");
}
END_TEST

START_TEST(modern_setting_never_falls_back)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_error(&w, world_line(&w), -32601, "");
    ck_assert_ptr_null(world_line(&w));
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "era is set to modern");
}
END_TEST

START_TEST(silence_after_the_probe_means_legacy)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_line(&w);
    world_pass(&w, 1999 * MN_MS);
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, 2 * MN_MS);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    world_answer(&w, line, WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    ck_assert(!world_info(&w, "s").is_modern);
}
END_TEST

/* Asked for both eras, because npx had to download it, and it has the modern one. */
static const char *slow_child(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    const char *probe = world_line(&w);
    world_pass(&w, 5 * MN_SEC);
    const char *initialize = world_line(&w);
    assert_has(initialize, "\"method\":\"initialize\"");
    world_answer(&w, probe, WORLD_MODERN);
    ck_assert_ptr_null(world_line(&w)); /* perhaps it goes on in the session that was asked for */
    return initialize;
}

static void assert_modern(void)
{
    world_answer(&w, world_line(&w), WORLD_MODERN);
    assert_has(world_line(&w), "\"method\":\"tools/list\"");
    ck_assert(!world_child(&w)->is_stopped);
    ck_assert(world_info(&w, "s").is_modern);
}

START_TEST(slow_modern_child_is_still_modern)
{
    const char *initialize = slow_child();

    if (_i == 0)
        world_error(&w, initialize, -32601, "");
    else
        world_pass(&w, 30 * MN_SEC);
    ck_assert_uint_eq(w.children_count, 1);
    assert_modern();
}
END_TEST

START_TEST(slow_child_of_both_eras_is_started_again_for_the_modern_one)
{
    world_answer(&w, slow_child(), WORLD_LEGACY);
    ck_assert(world_child(&w)->is_stopped);
    world_exit(&w, 0);
    ck_assert_uint_eq(w.children_count, 2);
    world_pass(&w, 5 * MN_SEC); /* as slow as before, but asked only once */
    assert_modern();
}
END_TEST

/* As after an update of its package. */
START_TEST(child_that_is_not_modern_any_more_is_asked_as_any_other)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    world_exit(&w, 1);
    world_pass(&w, MN_SEC);
    world_error(&w, world_line(&w), -32601, "");
    const char *initialize = world_line(&w);
    assert_has(initialize, "\"method\":\"initialize\"");
    world_answer(&w, initialize, WORLD_LEGACY);
    ck_assert(!world_child(&w)->is_stopped);
    assert_has(world_line(&w), "\"method\":\"notifications/initialized\"");
}
END_TEST

START_TEST(exit_during_the_probe_means_legacy_and_an_immediate_restart)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_line(&w);
    world_exit(&w, 1);
    ck_assert_uint_eq(w.children_count, 2);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    world_answer(&w, line, WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    world_exit(&w, 1); /* a crash: the era is remembered */
    world_pass(&w, MN_SEC);
    ck_assert_uint_eq(w.children_count, 3);
    assert_has(world_line(&w), "\"method\":\"initialize\"");
}
END_TEST

START_TEST(guess_from_an_exit_is_forgotten_when_it_does_not_help)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_exit(&w, 1);
    world_exit(&w, 1);
    assert_state("s", UPSTREAM_BACKOFF);
    world_pass(&w, MN_SEC);
    assert_has(world_line(&w), "\"method\":\"server/discover\"");
}
END_TEST

START_TEST(unknown_legacy_version_is_refused)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2019-01-01\",\"capabilities\":{},\"serverInfo\":{}}");
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "2019-01-01");
}
END_TEST

START_TEST(hung_handshake_is_stopped_and_repeated)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_pass(&w, 29 * MN_SEC);
    ck_assert(!world_child(&w)->is_stopped);
    world_pass(&w, 2 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
    assert_has((const char *)world_info(&w, "s").error.data, "does not answer initialize");
    world_pass(&w, 5 * MN_SEC); /* it ignores TERM; the next one waits for its end */
    ck_assert_uint_eq(w.children_count, 1);
    world_exit(&w, 137);
    ck_assert_uint_eq(w.children_count, 2);
}
END_TEST

START_TEST(hung_list_is_a_break)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_pass(&w, 31 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
    assert_has((const char *)world_info(&w, "s").error.data, "does not answer tools/list");
}
END_TEST

START_TEST(server_without_tools_is_offered_empty)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{},\"serverInfo\":{}}");
    assert_state("s", UPSTREAM_READY);
    ck_assert_uint_eq(world_offer(&w)->tools_count, 0);
}
END_TEST

/* What children do. */

START_TEST(server_requests_are_answered)
{
    world_up_legacy(&w, "s");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"method\":\"ping\"}\n");
    ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"result\":{}}");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"roots/list\",\"params\":{}}\n");
    const char *line = world_line(&w);
    assert_has(line, "\"id\":3,\"error\":{\"code\":-32601");
}
END_TEST

START_TEST(messages_may_be_cut_anywhere)
{
    const char *text = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\r\n"
                       "\r\n\n{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa9\",\"method\":\"ping\"}\n";
    size_t size = strlen(text);

    world_up_legacy(&w, "s");
    for (size_t cut = 0; cut <= size; cut++) {
        world_say_bytes(&w, 1, mn_span(text, cut));
        world_say_bytes(&w, 1, mn_span(text + cut, size - cut));
        ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa9\",\"result\":{}}");
    }
    for (size_t i = 0; i < size; i++)
        world_say_bytes(&w, 1, mn_span(text + i, 1));
    ck_assert_ptr_nonnull(world_line(&w));
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 0);
}
END_TEST

/* Programs for Windows begin their output with it. */
START_TEST(a_mark_before_a_message_is_passed_over)
{
    world_up_legacy(&w, "s");
    world_say(&w, "\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n");
    ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
    world_say(&w, "\xef\xbb\xbf\n");
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 1);
}
END_TEST

/* Nothing better comes for that call, so its client does not wait for it. */
START_TEST(an_answer_that_is_none_ends_its_call)
{
    static const char *const bad[] = {"\"result\":null", "\"result\":[]", "\"error\":{\"code\":1}",
                                      "\"error\":\"no\"",
                                      "\"error\":{\"code\":1.5,\"message\":\"m\"}"};

    world_up_legacy(&w, "s");
    for (uint64_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct world_event *event;
        world_call_echo(&w, 10 + i, "s");
        world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",%s}\n",
                                   world_id(world_line(&w)), bad[i]));
        event = world_event(&w);
        ck_assert_uint_eq(event->ticket, 10 + i);
        ck_assert_int_eq(event->code, -32603);
    }
    world_call_echo(&w, 1, "s");
    world_answer(&w, world_line(&w), "{\"text\":\"cut: \\ud83d\"}");
    ck_assert_str_eq(world_event(&w)->json, "{\"text\":\"cut: \\ud83d\"}");
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 0);
}
END_TEST

/* 280,000 values in it, or 200 levels: it came, and its call hears why it cannot have it. */
START_TEST(an_answer_beyond_the_limits_ends_its_call)
{
    struct world_event *event;
    uint64_t id;

    world_up_modern(&w, "s");
    world_call_echo(&w, 1, "s");
    id = world_id(world_line(&w));
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"result\":{\"x\":0");
    for (int i = 0; i < 140000 && _i == 0; i++)
        world_say(&w, ",\"m\":1");
    world_say(&w, ",\"id\":0,\"method\":0,\"y\":");
    for (int i = 0; i < 200; i++)
        world_say(&w, _i == 0 ? "" : "[");
    for (int i = 0; i < 200; i++)
        world_say(&w, _i == 0 ? "" : "]");
    world_say(&w, world_format(&w, "%s},\"id\":%" PRIu64 "}\n", _i == 0 ? "0" : "", id));
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 1);
    ck_assert_int_eq(event->failure, CALL_TOO_BIG);
    assert_has(event->text, "its answer has more than 262144 values, or more than 128 levels");
    world_call_echo(&w, 2, "s");
    world_answer(&w, world_line(&w), "{}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 0);
}
END_TEST

START_TEST(noise_is_counted_and_told_once_and_never_fatal)
{
    static const char *const noise[] = {"Server listening...\n",
                                        "{\"jsonrpc\":\"1.0\",\"id\":1}\n",
                                        "[]\n",
                                        "{\n",
                                        "\x1b[31mred\n",
                                        "\xff\xfe\n",
                                        "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}\n",
                                        "null\n",
                                        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]\n"};
    uint32_t told = 0;

    world_up_legacy(&w, "s");
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        world_say(&w, noise[i]);
    ck_assert_uint_eq(world_info(&w, "s").noise_count, sizeof noise / sizeof noise[0]);
    assert_state("s", UPSTREAM_READY);
    for (const struct mn_trace_event *event; (event = mn_trace_take(&w.trace)) != NULL;)
        if (event->event == MN_EV_SERVER_NOISE) told++;
    ck_assert_uint_eq(told, 1);
    assert_has(world_log(&w, "s"), "stdout, not MCP: Server listening...");
    assert_has(world_log(&w, "s"), "not MCP:  [31mred"); /* no escape gets to a terminal */
    world_call_echo(&w, 1, "s");
    world_answer(&w, world_line(&w), "{}");
    ck_assert_ptr_nonnull(world_event(&w));
}
END_TEST

START_TEST(endless_noise_is_a_break_in_the_end)
{
    char noise[2000];

    memset(noise, '\n', sizeof noise);
    for (size_t i = 0; i < sizeof noise; i += 2)
        noise[i] = 'x';
    world_up_legacy(&w, "s");
    for (int i = 0; i < 99; i++)
        world_say_bytes(&w, 1, mn_span(noise, sizeof noise));
    ck_assert(!world_child(&w)->is_stopped);
    world_say_bytes(&w, 1, mn_span(noise, sizeof noise));
    ck_assert(world_child(&w)->is_stopped);
}
END_TEST

START_TEST(message_over_32_mib_is_a_break)
{
    size_t size = 1 << 20;
    char *block = malloc(size);

    memset(block, 'x', size);
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    for (int i = 0; i < 32; i++)
        world_say_bytes(&w, 1, mn_span(block, size));
    ck_assert(!world_child(&w)->is_stopped);
    world_say_bytes(&w, 1, mn_span(block, size));
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_say_bytes(&w, 1, mn_span(block, size)); /* nobody listens any more */
    free(block);
}
END_TEST

START_TEST(batches_are_accepted_where_the_revision_has_them)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2025-03-26\",\"capabilities\":{\"tools\":{}},"
                 "\"serverInfo\":{}}");
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_call_echo(&w, 1, "s");
    world_call_echo(&w, 2, "s");
    uint64_t a = world_id(world_line(&w)), b = world_id(world_line(&w));
    world_say(&w, world_format(&w,
                               "[{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                               ",\"result\":{\"content\":[]}},{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                               ",\"result\":{\"content\":[{}]}}]\n",
                               b, a));
    ck_assert_uint_eq(world_event(&w)->ticket, 2);
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
}
END_TEST

START_TEST(stderr_is_kept_in_numbered_lines_of_bounded_size)
{
    struct upstream_log_line line = {0};

    world_up_legacy(&w, "s");
    world_say_bytes(&w, 2, mn_span_str("one\r\ntw"));
    world_say_bytes(&w, 2,
                    mn_span_str("o\n\nthr\x1b"
                                "ee \xc3\xa9 \xff"));
    ck_assert_str_eq(world_log(&w, "s"), "one\ntwo\n");
    world_exit(&w, 0); /* its last words come without a newline */
    assert_has(world_log(&w, "s"), "one\ntwo\nthr ee \xc3\xa9 ?\n");
    ck_assert(upstreams_log_next(w.upstreams, mn_span_str("s"), 1, &line));
    ck_assert_uint_eq(line.sequence, 2);
    ck_assert(mn_span_is(line.text, "two"));
    world_pass(&w, MN_SEC);
    for (int i = 0; i < 3000; i++)
        world_say_bytes(&w, 2, mn_span_str("0123456789012345678901234567890123456789\n"));
    ck_assert(upstreams_log_next(w.upstreams, mn_span_str("s"), 0, &line));
    ck_assert_uint_gt(line.sequence, 1000);
    ck_assert_uint_lt(strlen(world_log(&w, "s")), UPSTREAM_LOG_SIZE);
    ck_assert(!upstreams_log_next(w.upstreams, mn_span_str("s"), 1u << 20, &line));
    ck_assert(!upstreams_log_next(w.upstreams, mn_span_str("x"), 0, &line));
}
END_TEST

/* Supervision. */

static void come_up_as(const char *name, const char *session)
{
    world_answer(&w, world_line(&w), session);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state(name, UPSTREAM_READY);
}

static void come_up_again(const char *name)
{
    come_up_as(name, WORLD_LEGACY);
}

START_TEST(crash_fails_calls_as_unknown_and_a_quick_restart_does_not_show)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_exit(&w, 139);
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->failure, CALL_OUTCOME_UNKNOWN);
    assert_has(event->text, "server s: was killed by signal 11");
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "was killed by signal 11");
    world_call_echo(&w, 2, "s"); /* waits */
    ck_assert_ptr_null(world_event(&w));
    ck_assert_uint_eq(w.children_count, 1);
    world_pass(&w, 500 * MN_MS);
    ck_assert_uint_eq(w.children_count, 2);
    come_up_again("s");
    assert_has(world_line(&w), "tools/call");
    ck_assert_uint_eq(w.offers_count, 1); /* neither withdrawn nor offered again */
    world_pass(&w, 10 * MN_SEC);
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_uint_eq(world_info(&w, "s").starts_count, 2);
    ck_assert_uint_eq(world_info(&w, "s").error.size, 0); /* nothing keeps it from running */
}
END_TEST

START_TEST(offer_is_withdrawn_when_it_does_not_come_back_in_time)
{
    world_up_legacy(&w, "s");
    world_exit(&w, 1);
    world_call_echo(&w, 1, "s");
    world_pass(&w, 1900 * MN_MS);
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 200 * MN_MS);
    ck_assert_uint_eq(w.offers_count, 2);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert_int_eq(world_event(&w)->failure, CALL_UNAVAILABLE);
    come_up_again("s");
    ck_assert_uint_eq(w.offers_count, 3);
    ck_assert_ptr_nonnull(world_offer(&w)->body);
}
END_TEST

START_TEST(backoff_doubles_to_a_minute_and_starts_over_after_health)
{
    mn_time expected = 500 * MN_MS;

    world_up_legacy(&w, "s");
    for (int i = 0; i < 10; i++) {
        world_exit(&w, 1);
        mn_time next = world_info(&w, "s").next_start - w.now.mono;
        ck_assert_uint_le(next, expected);
        ck_assert_uint_ge(next, expected - expected / 4 - 1);
        assert_state("s", i < 4 ? UPSTREAM_BACKOFF : UPSTREAM_FAILED);
        world_pass(&w, expected);
        expected = mn_time_min(2 * expected, 60 * MN_SEC);
    }
    come_up_again("s");
    world_pass(&w, 61 * MN_SEC);
    world_exit(&w, 1);
    ck_assert_uint_le(world_info(&w, "s").next_start - w.now.mono, 500 * MN_MS);
}
END_TEST

START_TEST(server_that_is_long_away_refuses_calls_at_once)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    for (int i = 0; i < 4; i++) {
        world_exit(&w, 3);
        world_pass(&w, i < 3 ? 10 * MN_SEC : 0);
    }
    world_call_echo(&w, 1, "s");
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
    assert_has(event->text, "exited with status 3");
}
END_TEST

START_TEST(command_that_cannot_be_started_says_why)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_child(&w)->is_gone = true;
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT,
                                        .id = world_child(&w)->id,
                                        .code = 127,
                                        .status = MN_IO,
                                        .text = mn_span_str("command not found: tool")});
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "command not found: tool");
    world_pass(&w, MN_SEC);
    assert_has(world_line(&w), "server/discover"); /* it says nothing about the era */
}
END_TEST

START_TEST(removed_server_is_withdrawn_stopped_and_forgotten)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    ck_assert_uint_eq(upstreams_count(w.upstreams), 0);
    ck_assert(!upstreams_is_idle(w.upstreams));
    uint64_t old = world_child(&w)->id;
    world_up_legacy(&w, "s"); /* a new one may use the name at once */
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_OUT,
                                        .id = old,
                                        .code = 1,
                                        .bytes = mn_span_str("{\"late\":1}\n")});
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = old});
    assert_state("s", UPSTREAM_READY);
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("x"), &w.outbox, &w.why),
                     MN_NOT_FOUND);
    assert_has((const char *)w.why.data, "\"x\"");
}
END_TEST

START_TEST(restart_waits_for_the_exit)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    ck_assert_int_eq(upstreams_restart(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_call_echo(&w, 2, "s"); /* waits */
    ck_assert_ptr_null(world_event(&w));
    ck_assert_uint_eq(w.children_count, 1);
    world_exit(&w, 0);
    ck_assert_uint_eq(w.children_count, 2);
    come_up_again("s");
    assert_has(world_line(&w), "tools/call");
    ck_assert_uint_eq(w.offers_count, 1);
}
END_TEST

START_TEST(stop_drains_calls_and_then_stops_children)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_stop(&w);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert(!world_child(&w)->is_stopped);
    world_call_echo(&w, 2, "s");
    ck_assert_int_eq(world_event(&w)->failure, CALL_NOT_FOUND);
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    ck_assert_int_eq(world_event(&w)->kind, CALL_EVENT_RESULT);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert(!upstreams_is_idle(w.upstreams));
    world_exit(&w, 0);
    ck_assert(upstreams_is_idle(w.upstreams));
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), MN_TIME_NEVER);
}
END_TEST

START_TEST(stop_does_not_wait_for_ever)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_stop(&w);
    world_pass(&w, UPSTREAMS_DRAIN + 1);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_exit(&w, 143);
    ck_assert(upstreams_is_idle(w.upstreams));
    world_pass(&w, 100 * MN_SEC);
    ck_assert_uint_eq(w.children_count, 1); /* nothing is started any more */
}
END_TEST

START_TEST(servers_do_not_disturb_each_other)
{
    world_up_legacy(&w, "b");
    uint64_t b = world_child(&w)->id;
    world_up_legacy(&w, "a");
    world_call_echo(&w, 1, "b");
    world_call_echo(&w, 2, "a");
    /* One child cannot answer what another one was asked. */
    world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":{}}\n",
                               world_id(world_line(&w)) - 1));
    ck_assert_ptr_null(world_event(&w));
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = b, .code = 1});
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
    assert_state("a", UPSTREAM_READY);
    struct upstream_info info;
    upstreams_info(w.upstreams, 0, &info);
    ck_assert(mn_span_is(info.name, "a"));
    upstreams_info(w.upstreams, 1, &info);
    ck_assert(mn_span_is(info.name, "b"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_stdio");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, legacy_child_is_initialized_listed_and_offered);
    tcase_add_test(tc, modern_child_is_discovered_and_offered);
    tcase_add_loop_test(tc, probe_error_decides_the_era, 0,
                        sizeof probe_errors / sizeof probe_errors[0]);
    tcase_add_test(tc, discover_result_with_older_versions_only_means_legacy);
    tcase_add_test(tc, modern_setting_never_falls_back);
    tcase_add_test(tc, silence_after_the_probe_means_legacy);
    tcase_add_loop_test(tc, slow_modern_child_is_still_modern, 0, 2);
    tcase_add_test(tc, slow_child_of_both_eras_is_started_again_for_the_modern_one);
    tcase_add_test(tc, child_that_is_not_modern_any_more_is_asked_as_any_other);
    tcase_add_test(tc, exit_during_the_probe_means_legacy_and_an_immediate_restart);
    tcase_add_test(tc, guess_from_an_exit_is_forgotten_when_it_does_not_help);
    tcase_add_test(tc, unknown_legacy_version_is_refused);
    tcase_add_test(tc, hung_handshake_is_stopped_and_repeated);
    tcase_add_test(tc, hung_list_is_a_break);
    tcase_add_test(tc, server_without_tools_is_offered_empty);
    tcase_add_test(tc, server_requests_are_answered);
    tcase_add_test(tc, messages_may_be_cut_anywhere);
    tcase_add_test(tc, an_answer_that_is_none_ends_its_call);
    tcase_add_test(tc, a_mark_before_a_message_is_passed_over);
    tcase_add_loop_test(tc, an_answer_beyond_the_limits_ends_its_call, 0, 2);
    tcase_add_test(tc, noise_is_counted_and_told_once_and_never_fatal);
    tcase_add_test(tc, endless_noise_is_a_break_in_the_end);
    tcase_add_test(tc, message_over_32_mib_is_a_break);
    tcase_add_test(tc, batches_are_accepted_where_the_revision_has_them);
    tcase_add_test(tc, stderr_is_kept_in_numbered_lines_of_bounded_size);
    tcase_add_test(tc, crash_fails_calls_as_unknown_and_a_quick_restart_does_not_show);
    tcase_add_test(tc, offer_is_withdrawn_when_it_does_not_come_back_in_time);
    tcase_add_test(tc, backoff_doubles_to_a_minute_and_starts_over_after_health);
    tcase_add_test(tc, server_that_is_long_away_refuses_calls_at_once);
    tcase_add_test(tc, command_that_cannot_be_started_says_why);
    tcase_add_test(tc, removed_server_is_withdrawn_stopped_and_forgotten);
    tcase_add_test(tc, restart_waits_for_the_exit);
    tcase_add_test(tc, stop_drains_calls_and_then_stops_children);
    tcase_add_test(tc, stop_does_not_wait_for_ever);
    tcase_add_test(tc, servers_do_not_disturb_each_other);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
