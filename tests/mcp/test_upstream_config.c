/* What people may say about a server, what is kept of it, and what is shown. */
#include <check.h>
#include <stdlib.h>

#include "node/mcp/wire/line.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

static struct mn_arena arena;

static void teardown(void)
{
    mn_arena_done(&arena);
}

static struct upstream_config child(const char *name)
{
    static struct mn_span argv[2];

    argv[0] = mn_span_str("npx");
    argv[1] = mn_span_str("-y");
    return (struct upstream_config){.name = mn_span_str(name), .argv = argv, .argv_count = 2};
}

static struct upstream_config url(const char *text)
{
    return (struct upstream_config){.name = mn_span_str("h"), .url = mn_span_str(text)};
}

static void assert_wrong(const struct upstream_config *config, const char *part)
{
    struct mn_span why = {0};

    ck_assert_int_eq(upstream_config_check(config, &arena, &why), MN_CONFIG);
    ck_assert_msg(strstr((const char *)why.data, part) != NULL, "\"%s\" has no \"%s\"",
                  (const char *)why.data, part);
}

static void assert_right(const struct upstream_config *config)
{
    struct mn_span why = {0};

    ck_assert_msg(upstream_config_check(config, &arena, &why) == MN_OK, "%s",
                  (const char *)why.data);
}

START_TEST(names_have_their_alphabet)
{
    static const char *const wrong[] = {
        "",
        "a b",
        "a.b",
        "a/b",
        "\xc3\xa9",
        "a\n",
        "0123456789012345678901234567890123456789012345678901234567890123x"};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct upstream_config config = child(wrong[i]);
        assert_wrong(&config, "1 to 64 characters");
    }
    struct upstream_config config =
        child("0123456789012345678901234567890123456789012345678901234567_-Az09");
    assert_right(&config);
}
END_TEST

START_TEST(exactly_one_of_command_and_url)
{
    struct upstream_config config = child("s");
    assert_right(&config);
    config.url = mn_span_str("http://x/");
    assert_wrong(&config, "not both");
    config = child("s");
    config.argv_count = 0;
    assert_wrong(&config, "a command or a url");
    struct mn_span empty[] = {{0}};
    config = child("s");
    config.argv = empty;
    config.argv_count = 1;
    assert_wrong(&config, "empty");
    config = child("s");
    struct edge_header header = {mn_span_str("a"), mn_span_str("b")};
    config.headers = &header;
    config.headers_count = 1;
    assert_wrong(&config, "headers belong to a url");
    config = url("http://x/");
    config.cwd = mn_span_str("/tmp");
    assert_wrong(&config, "belong to a command");
    config = child("s");
    config.call_timeout = 25 * MN_HOUR;
    assert_wrong(&config, "longer than a day");
}
END_TEST

START_TEST(environment_and_arguments_are_clean)
{
    struct upstream_config config = child("s");
    struct edge_header env = {mn_span_str("A=B"), mn_span_str("c")};

    config.env = &env;
    config.env_count = 1;
    assert_wrong(&config, "env");
    env = (struct edge_header){mn_span_str("A"), mn_span("x\0y", 3)};
    assert_wrong(&config, "the value of A");
    env.value = mn_span_str("two\nlines");
    assert_right(&config);
    struct mn_span argv[] = {mn_span("a\0b", 3)};
    config.argv = argv;
    config.argv_count = 1;
    assert_wrong(&config, "NUL");
}
END_TEST

START_TEST(urls_are_plain)
{
    static const char *const wrong[][2] = {{"ftp://x/", "http://"},
                                           {"x", "http://"},
                                           {"http://", "no host"},
                                           {"http:///a", "no host"},
                                           {"http://:80/", "no host"},
                                           {"https://u:p@x/", "user or password"},
                                           {"http://x/a b", "percent-encode"},
                                           {"http://x/\n", "percent-encode"},
                                           {"http://x/\xc3\xa9", "percent-encode"},
                                           {"http://x:0/", "port"},
                                           {"http://x:65536/", "port"},
                                           {"http://x:080800/", "port"},
                                           {"http://x:/", "port"},
                                           {"http://x:8o", "port"},
                                           {"http://[::1]8080/", "port"},
                                           {"http://x/#a", "fragment"}};
    static const char *const right[] = {"http://x",     "https://x/?a=b@c", "http://[::1]:8080/mcp",
                                        "http://x/a@b", "http://x:65535",   "http://[::1]/",
                                        "http://x/a:b"};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct upstream_config config = url(wrong[i][0]);
        assert_wrong(&config, wrong[i][1]);
    }
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct upstream_config config = url(right[i]);
        assert_right(&config);
    }
}
END_TEST

START_TEST(headers_cannot_replace_ours_or_smuggle)
{
    static const char *const ours[] = {"Content-Type",   "accept", "MCP-Session-Id", "Mcp-Param-X",
                                       "content-length", "Host",   "meshnode-trail"};
    struct upstream_config config = url("http://x/");
    struct edge_header header = {mn_span_str("Authorization"), mn_span_str("Bearer x")};

    config.headers = &header;
    config.headers_count = 1;
    assert_right(&config);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        header.name = mn_span_str(ours[i]);
        assert_wrong(&config, "set by the node itself");
    }
    header.name = mn_span_str("A b");
    assert_wrong(&config, "not a header name");
    header = (struct edge_header){mn_span_str("A"), mn_span_str("x\r\nHost: evil")};
    assert_wrong(&config, "control character");
}
END_TEST

START_TEST(texts_are_bounded)
{
    struct upstream_config config = child("s");
    size_t size = UPSTREAM_CONFIG_MAX;
    char *text = malloc(size);

    memset(text, 'a', size);
    struct mn_span argv[] = {mn_span_str("x"), mn_span(text, size)};
    config.argv = argv;
    assert_wrong(&config, "131072 bytes");
    struct upstream_config long_url = url("http://x/");
    memcpy(text, "http://x/", 9);
    long_url.url = mn_span(text, UPSTREAM_URL_MAX + 1);
    assert_wrong(&long_url, "8192");
    free(text);
}
END_TEST

START_TEST(copy_is_deep_and_equal)
{
    struct mn_span argv[] = {mn_span_str("npx"), mn_span_str("")}, tools[] = {mn_span_str("t")};
    struct edge_header env = {mn_span_str("K"), mn_span_str("v")};
    struct upstream_config config = {.name = mn_span_str("s"),
                                     .argv = argv,
                                     .argv_count = 2,
                                     .env = &env,
                                     .env_count = 1,
                                     .tools = tools,
                                     .tools_count = 1,
                                     .cwd = mn_span_str("/x"),
                                     .era = UPSTREAM_ERA_MODERN};
    struct upstream_config *copy = upstream_config_copy(&config);

    ck_assert(upstream_config_equal(copy, &config));
    ck_assert_ptr_ne(copy->argv[0].data, argv[0].data);
    env.value = mn_span_str("w");
    ck_assert(!upstream_config_equal(copy, &config));
    env.value = mn_span_str("v");
    config.is_replica = true;
    ck_assert(!upstream_config_equal(copy, &config));
    mn_free(copy);
    struct edge_header header = {mn_span_str("X-Y"), mn_span_str("Z")};
    config = url("http://x/");
    config.headers = &header;
    config.headers_count = 1;
    copy = upstream_config_copy(&config);
    ck_assert(mn_span_is(copy->headers[0].name, "x-y"));
    ck_assert(mn_span_is(copy->headers[0].value, "Z"));
    ck_assert(upstream_config_equal(copy, &config));
    mn_free(copy);
}
END_TEST

START_TEST(replicas_share_a_url_or_a_mark)
{
    static const uint8_t zero[CALL_KEY_SIZE];
    uint8_t a[CALL_KEY_SIZE], b[CALL_KEY_SIZE];
    struct upstream_config config = child("s");

    upstream_config_replica_key(&config, a);
    ck_assert_mem_eq(a, zero, sizeof a);
    config.is_replica = true;
    upstream_config_replica_key(&config, a);
    struct upstream_config other = child("t");
    other.is_replica = true;
    upstream_config_replica_key(&other, b);
    ck_assert_mem_ne(a, zero, sizeof a);
    ck_assert_mem_ne(a, b, sizeof a);
    struct upstream_config x = url("http://x/"), y = url("http://y/");
    upstream_config_replica_key(&x, a);
    upstream_config_replica_key(&y, b);
    ck_assert_mem_ne(a, b, sizeof a);
    y = url("http://x/");
    upstream_config_replica_key(&y, b);
    ck_assert_mem_eq(a, b, sizeof a);
    /* One service on several hosts has several URLs: there the mark says it. */
    y = url("http://y/");
    x.is_replica = y.is_replica = true;
    upstream_config_replica_key(&x, a);
    upstream_config_replica_key(&y, b);
    ck_assert_mem_eq(a, b, sizeof a);
}
END_TEST

START_TEST(secrets_are_not_shown)
{
    static const char *const cases[][3] = {
        {"--api-key", "k-1", "npx --api-key ***"},
        {"--api-key=k-1", "x", "npx --api-key=*** x"},
        {"--header", "Authorization: Bearer t", "npx --header ***"},
        {"X-Token:abc", "x", "npx X-Token:*** x"},
        {"postgres://me:pw@db/x", "y", "npx postgres://*** y"},
        {"https://x/@scope", "y", "npx https://*** y"},
        {"-y", "@scope/server-filesystem", "npx -y @scope/server-filesystem"},
        {"/data/dir", "", "npx /data/dir "},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mn_span argv[] = {mn_span_str("npx"), mn_span_str(cases[i][0]),
                                 mn_span_str(cases[i][1])};
        struct upstream_config config = {.name = mn_span_str("s"), .argv = argv, .argv_count = 3};
        ck_assert_str_eq((const char *)upstream_config_target(&config, &arena).data, cases[i][2]);
    }
    struct upstream_config config = url("https://x/mcp?key=secret");
    ck_assert_str_eq((const char *)upstream_config_target(&config, &arena).data, "https://x/mcp");
}
END_TEST

START_TEST(adding_is_idempotent_and_bounded)
{
    static struct world w;

    world_init(&w);
    ck_assert_int_eq(world_add_url(&w, "h", "http://x/", UPSTREAM_ERA_AUTO), MN_OK);
    ck_assert_int_eq(world_add_url(&w, "h", "http://x/", UPSTREAM_ERA_AUTO), MN_OK);
    ck_assert_uint_eq(w.fetches_count, 1);
    ck_assert_int_eq(world_add_url(&w, "h", "http://y/", UPSTREAM_ERA_AUTO), MN_EXISTS);
    ck_assert_ptr_nonnull(strstr((const char *)w.why.data, "server \"h\": there is another"));
    ck_assert_int_eq(world_add_url(&w, "x y", "http://y/", UPSTREAM_ERA_AUTO), MN_CONFIG);
    for (int i = 1; i < UPSTREAMS_MAX; i++)
        ck_assert_int_eq(
            world_add_url(&w, world_format(&w, "h%d", i), "http://x/", UPSTREAM_ERA_AUTO), MN_OK);
    ck_assert_int_eq(world_add_url(&w, "more", "http://x/", UPSTREAM_ERA_AUTO), MN_FULL);
    world_stop(&w);
    ck_assert_int_eq(world_add_url(&w, "late", "http://x/", UPSTREAM_ERA_AUTO), MN_STATE);
    world_done(&w);
}
END_TEST

START_TEST(lines_come_out_whole)
{
    const char *text = "one\r\n\n\r\ntwo\nthree\r";
    struct line line;

    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct mn_span parts[] = {mn_span(text, cut), mn_span(text + cut, strlen(text) - cut)};
        char all[64] = "";
        struct mn_buf *buf;
        line_init(&line, 6);
        for (int i = 0; i < 2; i++)
            while (line_next(&line, &parts[i], &buf) == LINE_READY) {
                strncat(all, (char *)buf->bytes, buf->size);
                strcat(all, "|");
                mn_buf_unref(buf);
            }
        buf = line_last(&line);
        ck_assert_msg(strcmp(all, "one|two|") == 0, "%zu: %s", cut, all);
        ck_assert_uint_eq(buf->size, 5);
        ck_assert_mem_eq(buf->bytes, "three\0", 6);
        mn_buf_unref(buf);
        line_done(&line);
    }
}
END_TEST

START_TEST(long_line_is_told_and_the_next_one_read)
{
    struct line line;
    struct mn_buf *buf;
    struct mn_span bytes = mn_span_str("abcde\nabcdef\nxy\n");

    line_init(&line, 5);
    ck_assert_int_eq(line_next(&line, &bytes, &buf), LINE_READY);
    mn_buf_unref(buf);
    ck_assert_int_eq(line_next(&line, &bytes, &buf), LINE_TOO_LONG);
    ck_assert_int_eq(line_next(&line, &bytes, &buf), LINE_READY);
    ck_assert(mn_span_is(mn_buf_span(buf), "xy"));
    mn_buf_unref(buf);
    bytes = mn_span_str("abcd");
    ck_assert_int_eq(line_next(&line, &bytes, &buf), LINE_MORE);
    bytes = mn_span_str("ef");
    ck_assert_int_eq(line_next(&line, &bytes, &buf), LINE_TOO_LONG);
    line_done(&line);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_config");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, names_have_their_alphabet);
    tcase_add_test(tc, exactly_one_of_command_and_url);
    tcase_add_test(tc, environment_and_arguments_are_clean);
    tcase_add_test(tc, urls_are_plain);
    tcase_add_test(tc, headers_cannot_replace_ours_or_smuggle);
    tcase_add_test(tc, texts_are_bounded);
    tcase_add_test(tc, copy_is_deep_and_equal);
    tcase_add_test(tc, replicas_share_a_url_or_a_mark);
    tcase_add_test(tc, secrets_are_not_shown);
    tcase_add_test(tc, adding_is_idempotent_and_bounded);
    tcase_add_test(tc, lines_come_out_whole);
    tcase_add_test(tc, long_line_is_told_and_the_next_one_read);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
