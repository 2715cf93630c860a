/* Files and options that name MCP servers: what is read, and what is said about what is not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/serverfile.h"
#include "tests/suite.h"

static struct mn_arena arena;

static void teardown(void)
{
    mn_arena_done(&arena);
}

static mn_status try(const char *text, struct serverfile *file, struct mn_span *why)
{
    return serverfile_read(mn_span_str("mcp.json"), mn_span_str(text), &arena, file, why);
}

static struct serverfile read_file(const char *text)
{
    struct serverfile file = {0};
    struct mn_span why = {0};
    ck_assert_msg(try(text, &file, &why) == MN_OK, "%.*s", (int)why.size, why.data);
    return file;
}

#define ck_assert_span(span, expected) ck_assert(mn_span_is(span, expected))

START_TEST(commands_urls_and_all_keys_are_read)
{
    struct serverfile file =
        read_file("{\"mcpServers\":{\"fs\":{\"command\":\"npx\",\"args\":[\"-y\",\"a "
                  "b\"],\"env\":{\"K\":\"v\","
                  "\"N\":1.50,\"B\":true},\"cwd\":\"/"
                  "tmp\",\"era\":\"legacy\",\"timeout\":30,\"replica\":true,\"uniform\":true,"
                  "\"tools\":[\"read\"],\"alwaysAllow\":[1]},"
                  "\"web\":{\"type\":\"streamable-http\",\"url\":\"https://x.example/mcp\","
                  "\"headers\":{\"Authorization\":\"Bearer "
                  "${env:TOKEN}\"},\"era\":\"modern\"}},\"inputs\":[]}");
    const struct upstream_config *fs = &file.servers[0], *web = &file.servers[1];

    ck_assert_uint_eq(file.servers_count, 2);
    ck_assert_span(fs->name, "fs");
    ck_assert_uint_eq(fs->argv_count, 3);
    ck_assert_span(fs->argv[0], "npx");
    ck_assert_span(fs->argv[2], "a b");
    ck_assert_uint_eq(fs->env_count, 3);
    ck_assert_span(fs->env[1].value, "1.50");
    ck_assert_span(fs->env[2].value, "true");
    ck_assert_span(fs->cwd, "/tmp");
    ck_assert_int_eq(fs->era, UPSTREAM_ERA_LEGACY);
    ck_assert_uint_eq(fs->call_timeout, 30 * MN_SEC);
    ck_assert(fs->is_replica && fs->is_uniform);
    ck_assert_span(fs->tools[0], "read");
    ck_assert_span(web->url, "https://x.example/mcp");
    ck_assert_span(web->headers[0].value, "Bearer ${env:TOKEN}");
    ck_assert_int_eq(web->era, UPSTREAM_ERA_MODERN);
    ck_assert_uint_eq(web->argv_count, 0);
}
END_TEST

START_TEST(the_other_style_and_odd_entries_are_read)
{
    struct serverfile file =
        read_file("{\"servers\":{\"a\":{\"type\":\"stdio\",\"command\":\"x\",\"tools\":[\"*\"]},"
                  "\"b\":{\"disabled\":true,\"command\":7},\"c\":{\"type\":\"http\",\"url\":\"http:"
                  "//h/\"}}}");

    ck_assert_uint_eq(file.servers_count, 2);
    ck_assert_uint_eq(file.servers[0].argv_count, 1);
    ck_assert_uint_eq(file.servers[0].tools_count, 0);
    ck_assert_span(file.servers[1].name, "c");
    ck_assert_uint_eq(read_file("{\"mcpServers\":{}}").servers_count, 0);
}
END_TEST

#define ENTRY(text) "{\"mcpServers\":{\"s\":" text "}}"

static const struct {
    const char *text, *why;
} faults[] = {
    {"", "mcp.json: line 1: not JSON"},
    {"{\n\"mcpServers\": {\n// x\n}}", "mcp.json: line 3: not JSON"},
    {"{\"mcpServers\":{},}", "mcp.json: line 1: not JSON"},
    {"[]", "mcp.json: must be {\"mcpServers\""},
    {"{}", "mcp.json: must be {\"mcpServers\""},
    {"{\"mcpServers\":{},\"servers\":{}}", "mcp.json: has both"},
    {"{\"mcpServers\":[]}", "mcp.json: mcpServers: must be an object"},
    {"{\"servers\":1}", "mcp.json: servers: must be an object"},
    {ENTRY("1"), "mcp.json: server s: must be an object"},
    {ENTRY("{}"), "mcp.json: server s: must have either a command or a url"},
    {ENTRY("{\"command\":\"x\",\"url\":\"http://h/\"}"), "mcp.json: server s: must have either"},
    {ENTRY("{\"command\":[\"x\"]}"), "mcp.json: server s: command: must be a string"},
    {ENTRY("{\"command\":\"\"}"), "mcp.json: server s: the command is empty"},
    {ENTRY("{\"command\":\"x\",\"args\":\"y\"}"), "mcp.json: server s: args: must be an array"},
    {ENTRY("{\"command\":\"x\",\"args\":[1]}"), "mcp.json: server s: args: must be an array"},
    {ENTRY("{\"command\":\"x\",\"env\":[]}"), "mcp.json: server s: env: must be an object"},
    {ENTRY("{\"command\":\"x\",\"env\":{\"a\":null}}"),
     "mcp.json: server s: env: must be an object"},
    {ENTRY("{\"command\":\"x\",\"env\":{\"a=b\":\"c\"}}"), "mcp.json: server s: env: "},
    {ENTRY("{\"command\":\"x\",\"cwd\":1}"), "mcp.json: server s: cwd: must be a string"},
    {ENTRY("{\"command\":\"x\",\"era\":\"new\"}"), "mcp.json: server s: era: must be \"auto\""},
    {ENTRY("{\"command\":\"x\",\"era\":1}"), "mcp.json: server s: era: must be a string"},
    {ENTRY("{\"command\":\"x\",\"timeout\":0}"), "mcp.json: server s: timeout: must be a number"},
    {ENTRY("{\"command\":\"x\",\"timeout\":1.5}"), "mcp.json: server s: timeout: must be a number"},
    {ENTRY("{\"command\":\"x\",\"uniform\":\"yes\"}"),
     "mcp.json: server s: uniform: must be true or false"},
    {ENTRY("{\"command\":\"x\",\"replica\":1}"),
     "mcp.json: server s: replica: must be true or false"},
    {ENTRY("{\"command\":\"x\",\"disabled\":0}"), "mcp.json: server s: disabled: must be"},
    {ENTRY("{\"command\":\"x\",\"type\":\"http\"}"),
     "mcp.json: server s: type is http, but there is no"},
    {ENTRY("{\"url\":\"http://h/\",\"type\":\"stdio\"}"), "mcp.json: server s: type is stdio, but"},
    {ENTRY("{\"url\":\"http://h/\",\"type\":\"sse\"}"),
     "mcp.json: server s: type: the sse transport"},
    {ENTRY("{\"url\":\"http://h/\",\"type\":\"ws\"}"), "mcp.json: server s: type: must be"},
    {ENTRY("{\"url\":\"ftp://h/\"}"), "mcp.json: server s: the url must begin with"},
    {ENTRY("{\"url\":\"http://h/\",\"headers\":{\"a b\":\"c\"}}"), "mcp.json: server s: "},
    {"{\"mcpServers\":{\"a.b\":{\"command\":\"x\"}}}", "mcp.json: server a.b: "},
    {"{\"mcpServers\":{\"\":{\"command\":\"x\"}}}", "mcp.json: a server has an empty name"},
    {"{\"mcpServers\":{\"a\":{\"command\":\"x\"},\"a\":{\"command\":\"y\"}}}",
     "mcp.json: server a: the name stands twice"},
};

START_TEST(each_fault_names_file_server_and_key)
{
    struct serverfile file;
    struct mn_span why = {0};
    size_t size = strlen(faults[_i].why);

    ck_assert_int_eq(try(faults[_i].text, &file, &why), MN_CONFIG);
    ck_assert_msg(why.size >= size && memcmp(why.data, faults[_i].why, size) == 0, "%d: %.*s", _i,
                  (int)why.size, why.data);
}
END_TEST

START_TEST(large_files_are_refused)
{
    struct serverfile file;
    struct mn_span why = {0};
    uint8_t *text = mn_alloc(SERVERFILE_SIZE_MAX + 1);

    ck_assert_int_eq(serverfile_read(mn_span_str("f"), mn_span(text, SERVERFILE_SIZE_MAX + 1),
                                     &arena, &file, &why),
                     MN_CONFIG);
    ck_assert_span(why, "f: is over 1 MiB");
    mn_free(text);
}
END_TEST

START_TEST(options_name_a_command_or_a_url)
{
    struct upstream_config config = {0};
    struct mn_span why = {0};

    ck_assert_int_eq(serverfile_read_option(mn_span_str("fs=npx  -y 'a b' \"c='d'\" e'f'g ''"),
                                            &arena, &config, &why),
                     MN_OK);
    ck_assert_span(config.name, "fs");
    ck_assert_uint_eq(config.argv_count, 6);
    ck_assert_span(config.argv[2], "a b");
    ck_assert_span(config.argv[3], "c='d'");
    ck_assert_span(config.argv[4], "efg");
    ck_assert_uint_eq(config.argv[5].size, 0);
    ck_assert_int_eq(
        serverfile_read_option(mn_span_str("w=http://h:1/mcp?a=b"), &arena, &config, &why), MN_OK);
    ck_assert_span(config.url, "http://h:1/mcp?a=b");
}
END_TEST

START_TEST(wrong_options_say_how_to_write_them)
{
    static const char *const pairs[][2] = {
        {"", "write NAME=COMMAND ARGS or NAME=URL"},
        {"x", "server x: write NAME=COMMAND ARGS or NAME=URL"},
        {"=x", "write NAME=COMMAND ARGS or NAME=URL"},
        {"a=", "server a: the command is empty"},
        {"a=  ", "server a: the command is empty"},
        {"a='x", "server a: a quote in the command is not closed"},
        {"a=htp://h/", "server a: the url must begin with http:// or https://"},
        {"a=http://", "server a: the url names no host"},
    };
    struct upstream_config config;
    struct mn_span why;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        ck_assert_int_eq(serverfile_read_option(mn_span_str(pairs[i][0]), &arena, &config, &why),
                         MN_CONFIG);
        ck_assert_span(why, pairs[i][1]);
    }
    ck_assert_int_eq(serverfile_read_option(mn_span_str("a b=x"), &arena, &config, &why),
                     MN_CONFIG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serverfile");
    TCase *tcase = tcase_create("serverfile");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, commands_urls_and_all_keys_are_read);
    tcase_add_test(tcase, the_other_style_and_odd_entries_are_read);
    tcase_add_loop_test(tcase, each_fault_names_file_server_and_key, 0,
                        (int)(sizeof faults / sizeof *faults));
    tcase_add_test(tcase, large_files_are_refused);
    tcase_add_test(tcase, options_name_a_command_or_a_url);
    tcase_add_test(tcase, wrong_options_say_how_to_write_them);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
