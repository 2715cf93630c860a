/* Log lines: two formats, nothing that breaks a line, and a limit per kind of event and node. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/io/log.h"
#include "tests/suite.h"

/* 2023-11-14T22:13:20.123Z */
static const struct mn_now now = {.mono = 100 * MN_SEC, .wall = 1700000000123000};

static int pipes[2];
static char got[65536];

static void setup(void)
{
    ck_assert_int_eq(pipe2(pipes, O_NONBLOCK), 0);
}

static void teardown(void)
{
    close(pipes[0]);
    close(pipes[1]);
}

static struct log *make(enum mn_level level, enum log_format format)
{
    const struct log_config config = {level, format, pipes[1]};
    return log_new(&config);
}

static const char *written(void)
{
    ssize_t size = read(pipes[0], got, sizeof got - 1);
    got[size < 0 ? 0 : size] = '\0';
    return got;
}

static struct mn_trace_event event_of(enum mn_event event, const char *text)
{
    struct mn_trace_event made = {.mono = now.mono, .event = event};
    snprintf(made.text, sizeof made.text, "%s", text);
    return made;
}

START_TEST(text_has_keys_and_quotes_only_where_needed)
{
    struct log *log = make(MN_LEVEL_INFO, LOG_TEXT);
    struct mn_trace_event event = event_of(MN_EV_SERVER_FAILED, "my server");
    event.a = 3;
    event.b = 500;
    memset(event.id.bytes, 0xab, sizeof event.id.bytes);
    log_event(log, now, &event);
    ck_assert_str_eq(written(), "time=2023-11-14T22:13:20.123Z level=warn event=server.failed "
                                "id=abababab-abab-abab-abab-abababababab about=\"my server\" "
                                "exit_status=3 next_try_in_ms=500\n");
    log_free(log);
}
END_TEST

START_TEST(json_is_json)
{
    struct log *log = make(MN_LEVEL_INFO, LOG_JSON);
    struct mn_trace_event event = event_of(MN_EV_NODE_READY, "n1");
    event.a = 3;
    log_event(log, now, &event);
    ck_assert_str_eq(written(), "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\","
                                "\"event\":\"node.ready\",\"about\":\"n1\",\"members\":3}\n");
    log_free(log);
}
END_TEST

START_TEST(a_status_is_named)
{
    struct log *log = make(MN_LEVEL_INFO, LOG_TEXT);
    struct mn_trace_event event = event_of(MN_EV_LINK_DOWN, "");
    event.a = (uint64_t)(int64_t)MN_TIMEOUT;
    log_event(log, now, &event);
    ck_assert_ptr_nonnull(strstr(written(), " status=TIMEOUT\n"));
    log_free(log);
}
END_TEST

START_TEST(no_text_breaks_a_line)
{
    struct log *log = make(MN_LEVEL_INFO, _i == 0 ? LOG_TEXT : LOG_JSON);
    struct mn_trace_event event = event_of(MN_EV_NODE_READY, "a\n\"b\"\x01\xff=");
    log_event(log, now, &event);
    const char *line = written();
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    ck_assert_ptr_null(strchr(line, '\x01'));
    ck_assert_ptr_null(strchr(line, '\xff'));
    ck_assert_ptr_nonnull(strstr(line, "a\\n\\\"b\\\"\\u0001"));
    log_free(log);
}
END_TEST

START_TEST(lower_levels_are_dropped)
{
    struct log *log = make(MN_LEVEL_WARN, LOG_TEXT);
    struct mn_trace_event event = event_of(MN_EV_NODE_READY, "n1");
    log_event(log, now, &event);
    log_line(log, now, MN_LEVEL_INFO, "x.y", "text");
    ck_assert_str_eq(written(), "");
    log_line(log, now, MN_LEVEL_ERROR, "x.y", "two words %d", 7);
    ck_assert_str_eq(written(), "time=2023-11-14T22:13:20.123Z level=error event=x.y "
                                "text=\"two words 7\"\n");
    log_free(log);
}
END_TEST

static uint32_t count_lines(const char *text)
{
    uint32_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

START_TEST(a_flood_of_one_kind_about_one_node_is_cut_and_counted)
{
    struct log *log = make(MN_LEVEL_INFO, LOG_TEXT);
    struct mn_trace_event event = event_of(MN_EV_HANDSHAKE_FAILED, "1.2.3.4:5");
    for (int i = 0; i < 100; i++)
        log_event(log, now, &event);
    ck_assert_uint_eq(count_lines(written()), 10);
    event.event = MN_EV_LINK_UP; /* another kind goes through */
    log_event(log, now, &event);
    ck_assert_uint_eq(count_lines(written()), 1);
    event.event = MN_EV_HANDSHAKE_FAILED;
    event.mono += MN_SEC;
    log_event(log, now, &event);
    ck_assert_ptr_nonnull(strstr(written(), " left_out=90\n"));
    log_event(log, now, &event);
    ck_assert_str_eq(written(), "");
    log_free(log);
}
END_TEST

START_TEST(a_log_that_nobody_reads_stops_nothing)
{
    struct log *log = make(MN_LEVEL_INFO, LOG_TEXT);
    fcntl(pipes[1], F_SETFL, 0);   /* blocking, as standard error is */
    for (int i = 0; i < 5000; i++) /* far more than the pipe takes */
        log_line(log, now, MN_LEVEL_INFO, "x.y", "some text to fill the pipe with");
    while (written()[0] != '\0')
        continue;
    log_line(log, now, MN_LEVEL_INFO, "x.y", "again");
    ck_assert_ptr_nonnull(strstr(written(), "text=again lost_lines="));
    log_line(log, now, MN_LEVEL_INFO, "x.y", "again");
    ck_assert_ptr_null(strstr(written(), "lost_lines"));
    log_free(log);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, text_has_keys_and_quotes_only_where_needed);
    tcase_add_test(tcase, json_is_json);
    tcase_add_test(tcase, a_status_is_named);
    tcase_add_loop_test(tcase, no_text_breaks_a_line, 0, 2);
    tcase_add_test(tcase, lower_levels_are_dropped);
    tcase_add_test(tcase, a_flood_of_one_kind_about_one_node_is_cut_and_counted);
    tcase_add_test(tcase, a_log_that_nobody_reads_stops_nothing);
    Suite *suite = suite_create("log");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
