/* One table, four sources, and mistakes that are named where they stand. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/config.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define TOKEN "mnt1-agvkvkvkvkvkvkvkvkvkvkvkvkvlxo53xo53xo53xo53xo53xo53wgf7t52a"

static struct options options;
static struct options_error error;
static char directory[64];

static void setup(void)
{
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    error.text[0] = '\0';
    snprintf(directory, sizeof directory, "/tmp/meshnode-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    char command[128];
    options_done(&options);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    ck_assert_int_eq(system(command), 0);
}

static const char *write_file(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static mn_status parse(const char *text)
{
    return config_parse(&options, "f.yaml", mn_span_str(text), &error);
}

static mn_status flags(char *first, char *second, char *third)
{
    static char program[] = "meshnode";
    static char *words[8];
    uint32_t words_count = 0;
    char *argv[] = {program, first, second, third, NULL};
    int argc = 1 + (first != NULL) + (second != NULL) + (third != NULL);
    return options_read_flags(&options, argc, argv, NULL, 0, words, &words_count, &error);
}

#define ARG(text) ((char[]){text})

START_TEST(each_section_of_the_file_is_read)
{
    ck_assert_msg(parse("node: {name: n1, region: eu-central, role: voter}\n"
                        "mesh:\n"
                        "  listen: [\"0.0.0.0:7000\", \"[::]:7000\"]\n"
                        "  join:\n"
                        "    - seed:7000\n"
                        "authority: {grant_ttl: 2d}\n"
                        "http: {listen: 127.0.0.1:0, behind_proxy: true}\n"
                        "dev: false\n") == MN_OK,
                  "%s", error.text);
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_NAME), "n1");
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_ROLE), "voter");
    ck_assert_uint_eq(options.values[CONFIG_MESH_LISTEN].items_count, 2);
    ck_assert_str_eq(options.values[CONFIG_MESH_LISTEN].items[1], "[::]:7000");
    ck_assert_str_eq(options.values[CONFIG_MESH_JOIN].items[0], "seed:7000");
    ck_assert_str_eq(options.values[CONFIG_MESH_JOIN].origin, "f.yaml:5");
    ck_assert_uint_eq(options_duration(&options, CONFIG_AUTHORITY_GRANT_TTL), 2 * MN_DAY);
    ck_assert_uint_eq(options.values[CONFIG_HTTP_LISTEN].items_count, 1);
    ck_assert(options_bool(&options, CONFIG_HTTP_BEHIND_PROXY));
    ck_assert_int_eq(config_check(&options, &error), MN_OK);
}
END_TEST

START_TEST(an_empty_file_and_comments_change_nothing)
{
    ck_assert_int_eq(parse(""), MN_OK);
    ck_assert_int_eq(parse("# nothing\n"), MN_OK);
    ck_assert_int_eq(parse("node: {}\nmesh: {join: []}\nhttp:\n#  auth:\n"), MN_OK);
    ck_assert_str_eq(options_text(&options, CONFIG_LOG_LEVEL), "info");
}
END_TEST

/* Every mistake names file, line, key, and what would be right. */
static const struct {
    const char *text, *message;
} mistakes[] = {
    {"mesh:\n  lisen: 127.0.0.1:1\n",
     "f.yaml:2: unknown key \"mesh.lisen\", did you mean \"mesh.listen\"?"},
    {"mash: {listen: 127.0.0.1:1}\n", "f.yaml:1: unknown key \"mash\", did you mean \"mesh\"?"},
    {"http:\n  auth:\n    bearr: x\n",
     "f.yaml:3: unknown key \"http.auth.bearr\", did you mean \"http.auth.bearer\"?"},
    {"mesh: {listen: {a: b}}\n", "f.yaml:1: mesh.listen: takes a value, not a section"},
    {"mesh: 7000\n", "f.yaml:1: mesh: is a section: keys are expected in it"},
    {"mesh:\n  listen: 7000\n",
     "f.yaml:2: mesh.listen: \"7000\" is not an address such as 127.0.0.1:7000"},
    {"mesh: {listen: \"a:65536\"}\n",
     "f.yaml:1: mesh.listen: \"a:65536\" is not an address such as 127.0.0.1:7000"},
    {"authority: {grant_ttl: 30}\n",
     "f.yaml:1: authority.grant_ttl: \"30\" is not a duration such as 50ms, 5s, 10m, 2h or 7d"},
    {"authority: {grant_ttl: 5 s}\n",
     "f.yaml:1: authority.grant_ttl: \"5 s\" is not a duration such as 50ms, 5s, 10m, 2h or 7d"},
    {"authority: {grant_ttl: 99999999999d}\n", "f.yaml:1: authority.grant_ttl: \"99999999999d\" is "
                                               "not a duration such as 50ms, 5s, 10m, 2h or 7d"},
    {"dev: yes\n", "f.yaml:1: dev: \"yes\" is not true or false"},
    {"node: {role: boss}\n", "f.yaml:1: node.role: \"boss\" is not one of voter|learner|edge|auto"},
    {"node:\n  name:\n", "f.yaml:2: node.name: has no value"},
    {"node: {name: ~}\n", "f.yaml:1: node.name: has no value"},
    {"node: {name: [a, b]}\n", "f.yaml:1: node.name: takes one value, not a list"},
    {"node: {name: a}\nmesh: {join: []}\nnode: {name: b}\n",
     "f.yaml:3: node.name: stands in line 1 already"},
    {"mesh: {join: [[a]]}\n", "f.yaml:1: mesh.join: a list of plain values is expected"},
    {"node: &x {name: a}\nmesh: *x\n", "f.yaml:2: mesh: aliases are not supported"},
    {"- a\n", "f.yaml:1: sections such as \"mesh:\" are expected"},
    {"just text\n", "f.yaml:1: sections such as \"mesh:\" are expected"},
    {"node: {name: a}\n---\nnode: {name: b}\n", "f.yaml:2: a second document; one is read"},
    {"node: {name: a\n", "f.yaml:2: not valid YAML: did not find expected ',' or '}'"},
    {"node: \"\xff\"\n", "f.yaml:1: not valid YAML: not UTF-8 text"},
    {"mesh: {token: " TOKEN "}\n",
     "f.yaml:1: mesh.token: a secret is written as ${env:NAME} or ${file:/path}"},
    {"mesh: {token: \"${env:MN_NO_SUCH}\"}\n",
     "f.yaml:1: mesh.token: ${env:MN_NO_SUCH}: there is no such variable"},
    {"mesh: {token: \"${file:token}\"}\n",
     "f.yaml:1: mesh.token: ${file:token}: give an absolute path"},
    {"mesh: {token: \"${file:/no/such}\"}\n",
     "f.yaml:1: mesh.token: /no/such: No such file or directory"},
    {"node: {name: \"${host}\"}\n",
     "f.yaml:1: node.name: ${host}: write ${env:NAME} or ${file:/path}"},
    {"node: {name: \"a${env:HOME}\"}\n", "f.yaml:1: node.name: ${...} must be the whole value"},
    {"? [a]\n: b\n", "f.yaml:1: a key is expected"},
    {"node: {\"\": b}\n", "f.yaml:1: a key is expected"},
};

START_TEST(a_mistake_is_named_with_file_line_and_key)
{
    ck_assert_int_eq(parse(mistakes[_i].text), MN_CONFIG);
    ck_assert_str_eq(error.text, mistakes[_i].message);
}
END_TEST

START_TEST(a_value_too_many_or_too_long_is_refused)
{
    struct mn_writer writer = {0};
    mn_writer_str(&writer, "mesh: {join: [");
    for (int i = 0; i <= OPTIONS_ITEMS_MAX; i++)
        mn_writer_str(&writer, "\"a:1\",");
    mn_writer_str(&writer, "]}");
    struct mn_buf *text = mn_writer_done(&writer);
    ck_assert_int_eq(config_parse(&options, "f", mn_buf_span(text), &error), MN_CONFIG);
    ck_assert_str_eq(error.text, "f:1: mesh.join: more than 256 values");
    mn_buf_unref(text);
    mn_writer_str(&writer, "node: {name: ");
    memset(mn_writer_take(&writer, OPTIONS_VALUE_MAX + 1), 'a', OPTIONS_VALUE_MAX + 1);
    mn_writer_str(&writer, "}");
    text = mn_writer_done(&writer);
    ck_assert_int_eq(config_parse(&options, "f", mn_buf_span(text), &error), MN_CONFIG);
    ck_assert_str_eq(error.text, "f:1: node.name: longer than 16384 bytes");
    mn_buf_unref(text);
}
END_TEST

START_TEST(references_bring_secrets_from_elsewhere)
{
    char text[512];
    setenv("MN_TEST_NAME", "from-env", 1);
    const char *path = write_file("token", TOKEN "\n");
    snprintf(text, sizeof text,
             "node: {name: \"${env:MN_TEST_NAME}\"}\nmesh: {token: \"${file:%s}\"}", path);
    ck_assert_msg(parse(text) == MN_OK, "%s", error.text);
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_NAME), "from-env");
    ck_assert_str_eq(options_text(&options, CONFIG_MESH_TOKEN), TOKEN);
    ck_assert_int_eq(config_check(&options, &error), MN_OK);
}
END_TEST

START_TEST(flag_beats_environment_beats_file_beats_default)
{
    char *environment[] = {ARG("PATH=/bin"), ARG("MESHNODE_NODE_NAME=from-env"),
                           ARG("MESHNODE_NODE_ZONE=z1"), NULL};
    ck_assert_int_eq(flags(ARG("--name"), ARG("from-flag"), NULL), MN_OK);
    ck_assert_int_eq(parse("node: {name: from-file, zone: z2, region: r2}\n"), MN_OK);
    ck_assert_int_eq(options_read_environment(&options, environment, &error), MN_OK);
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_NAME), "from-flag");
    ck_assert_str_eq(options.values[CONFIG_NODE_NAME].origin, "flag --name");
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_ZONE), "z1");
    ck_assert_str_eq(options.values[CONFIG_NODE_ZONE].origin, "environment MESHNODE_NODE_ZONE");
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_REGION), "r2");
    ck_assert_str_eq(options.values[CONFIG_NODE_REGION].origin, "f.yaml:1");
    ck_assert_str_eq(options.values[CONFIG_LOG_LEVEL].origin, "default");
}
END_TEST

START_TEST(lists_repeat_as_flags_and_split_at_commas_in_the_environment)
{
    char *environment[] = {ARG("MESHNODE_HTTP_HOSTS=a.example,b.example"), NULL};
    ck_assert_int_eq(flags(ARG("--join=a:1"), ARG("--join"), ARG("b:2")), MN_OK);
    ck_assert_uint_eq(options.values[CONFIG_MESH_JOIN].items_count, 2);
    ck_assert_str_eq(options.values[CONFIG_MESH_JOIN].items[1], "b:2");
    ck_assert_int_eq(options_read_environment(&options, environment, &error), MN_OK);
    ck_assert_uint_eq(options.values[CONFIG_HTTP_HOSTS].items_count, 2);
    ck_assert_str_eq(options.values[CONFIG_HTTP_HOSTS].items[1], "b.example");
}
END_TEST

START_TEST(a_server_flag_keeps_its_commas)
{
    ck_assert_int_eq(flags(ARG("--server"), ARG("x=cmd a,b"), NULL), MN_OK);
    ck_assert_uint_eq(options.values[CONFIG_MCP_SERVERS].items_count, 1);
    ck_assert_str_eq(options_text(&options, CONFIG_MCP_SERVERS), "x=cmd a,b");
}
END_TEST

START_TEST(switches_need_no_value_and_take_one)
{
    ck_assert_int_eq(flags(ARG("--dev"), ARG("--bootstrap=false"), NULL), MN_OK);
    ck_assert(options_bool(&options, CONFIG_DEV));
    ck_assert(!options_bool(&options, CONFIG_MESH_BOOTSTRAP));
}
END_TEST

static const struct {
    char first[32], second[32];
    const char *message;
} bad_flags[] = {
    {"--lisen", "a:1", "unknown flag --lisen, did you mean --listen?"},
    {"--lisen=a:1", "", "unknown flag --lisen=a:1, did you mean --listen?"},
    {"-x", "", "unknown flag -x, did you mean --dev?"},
    {"--name", "", "--name needs a value"},
    {"--listen", "nonsense",
     "flag --listen: mesh.listen: \"nonsense\" is not an address such as 127.0.0.1:7000"},
    {"--dev=maybe", "", "flag --dev: dev: \"maybe\" is not true or false"},
    {"--log-level", "loud",
     "flag --log-level: log.level: \"loud\" is not one of debug|info|warn|error"},
};

START_TEST(a_bad_flag_is_named)
{
    char first[32], second[32];
    memcpy(first, bad_flags[_i].first, sizeof first);
    memcpy(second, bad_flags[_i].second, sizeof second);
    ck_assert_int_eq(flags(first, second[0] == '\0' ? NULL : second, NULL), MN_CONFIG);
    ck_assert_str_eq(error.text, bad_flags[_i].message);
}
END_TEST

static const struct {
    char variable[64];
    const char *message;
} bad_variables[] = {
    {"MESHNODE_MESH_LISTN=a:1", "environment: unknown name \"MESHNODE_MESH_LISTN\", did you mean "
                                "\"MESHNODE_MESH_LISTEN\"?"},
    {"MESHNODE_DEV=1", "environment MESHNODE_DEV: dev: \"1\" is not true or false"},
};

START_TEST(a_bad_variable_is_named)
{
    char variable[64];
    memcpy(variable, bad_variables[_i].variable, sizeof variable);
    char *environment[] = {variable, NULL};
    ck_assert_int_eq(options_read_environment(&options, environment, &error), MN_CONFIG);
    ck_assert_str_eq(error.text, bad_variables[_i].message);
}
END_TEST

START_TEST(a_secret_is_in_no_message_and_no_listing)
{
    struct mn_writer writer = {0};
    ck_assert_int_eq(flags(ARG("--token"), ARG("s3cret"), NULL), MN_OK);
    ck_assert_int_eq(config_check(&options, &error), MN_CONFIG);
    ck_assert_str_eq(error.text,
                     "flag --token: mesh.token: not a token (mnt1-...) or pin (mnp1-...)");
    options_write_values(&options, &writer);
    struct mn_buf *text = mn_writer_done(&writer);
    ck_assert_ptr_null(memmem(text->bytes, text->size, "s3cret", 6));
    ck_assert_ptr_nonnull(memmem(text->bytes, text->size, "mesh.token: ***", 15));
    mn_buf_unref(text);
}
END_TEST

/* What each value alone does not show. */
static const struct {
    const char *text, *message;
} contradictions[] = {
    {"node: {name: Upper}",
     "f.yaml:1: node.name: \"Upper\" is not 1 to 63 characters of a-z, 0-9, -"},
    {"node: {region: \"a b\"}",
     "f.yaml:1: node.region: \"a b\" is not up to 32 characters of a-z, 0-9, -"},
    {"node: {weight: 0}", "f.yaml:1: node.weight: \"0\" is not a number from 1 to 1000"},
    {"node: {weight: 1001}", "f.yaml:1: node.weight: \"1001\" is not a number from 1 to 1000"},
    {"node: {weight: 2x}", "f.yaml:1: node.weight: \"2x\" is not a number from 1 to 1000"},
    {"authority: {grant_ttl: 59m}", "f.yaml:1: authority.grant_ttl: not within 1h and 365d"},
    {"authority: {grant_ttl: 366d}", "f.yaml:1: authority.grant_ttl: not within 1h and 365d"},
    {"http: {listen: \"0.0.0.0:80\"}", "f.yaml:1: http.listen: 0.0.0.0:80 is not a loopback "
                                       "address; beyond loopback http.auth.bearer is needed"},
    {"http: {listen: \"1270.0.1:80\"}", "f.yaml:1: http.listen: 1270.0.1:80 is not a loopback "
                                        "address; beyond loopback http.auth.bearer is needed"},
    {"http: {auth: {bearer: \"${env:MN_SHORT}\"}}",
     "f.yaml:1: http.auth.bearer: a secret has less than 32 characters"},
    {"http: {listen: \"10.0.0.1:80\", auth: {bearer: \"${env:MN_LONG}\"}}",
     "f.yaml:1: http.listen: 10.0.0.1:80 is not a loopback address; put a proxy that speaks TLS in "
     "front and set http.behind_proxy: true"},
    {"dev: true\nmesh: {listen: \"0.0.0.0:7000\"}",
     "f.yaml:2: mesh.listen: 0.0.0.0:7000 is not a loopback address; --dev admits every local user "
     "and is for loopback only"},
    {"mesh: {listen: [\"a:1\",\"a:2\",\"a:3\",\"a:4\",\"a:5\"]}",
     "f.yaml:1: mesh.listen: more than 4 values"},
};

START_TEST(what_does_not_fit_together_is_refused)
{
    setenv("MN_SHORT", "short", 1);
    setenv("MN_LONG", "0123456789abcdef0123456789abcdef", 1);
    ck_assert_msg(parse(contradictions[_i].text) == MN_OK, "%s", error.text);
    config_settle(&options);
    ck_assert_int_eq(config_check(&options, &error), MN_CONFIG);
    ck_assert_str_eq(error.text, contradictions[_i].message);
}
END_TEST

START_TEST(a_mistyped_token_is_told_from_nonsense)
{
    char token[] = TOKEN;
    token[20] = token[20] == 'a' ? 'b' : 'a';
    ck_assert_int_eq(flags(ARG("--token"), token, NULL), MN_OK);
    ck_assert_int_eq(config_check(&options, &error), MN_CONFIG);
    ck_assert_str_eq(error.text,
                     "flag --token: mesh.token: mistyped, its check characters are wrong");
}
END_TEST

START_TEST(dev_listens_on_loopback_by_itself)
{
    ck_assert_int_eq(flags(ARG("--dev"), NULL, NULL), MN_OK);
    config_settle(&options);
    ck_assert_int_eq(config_check(&options, &error), MN_OK);
    ck_assert_str_eq(options_text(&options, CONFIG_MESH_LISTEN), "127.0.0.1:7000");
}
END_TEST

START_TEST(conf_d_is_read_after_the_file_in_order_of_names)
{
    char path[256], conf_d[80];
    snprintf(conf_d, sizeof conf_d, "%s/conf.d", directory);
    mkdir(conf_d, 0700);
    write_file("conf.d/20-b.yaml", "node: {name: twenty}\n");
    write_file("conf.d/10-a.yaml", "node: {name: ten, zone: z}\n");
    write_file("conf.d/ignored.txt", "nonsense");
    write_file("conf.d/.hidden.yaml", "nonsense");
    snprintf(path, sizeof path, "%s",
             write_file("meshnode.yaml", "node: {name: main, region: r}\n"));
    ck_assert_msg(config_read(&options, path, &error) == MN_OK, "%s", error.text);
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_NAME), "twenty");
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_ZONE), "z");
    ck_assert_str_eq(options_text(&options, CONFIG_NODE_REGION), "r");
}
END_TEST

START_TEST(a_named_file_must_exist_the_usual_one_need_not)
{
    char *environment[] = {NULL};
    setenv("XDG_CONFIG_HOME", directory, 1);
    ck_assert_int_eq(config_load(&options, "/no/such.yaml", environment, &error), MN_CONFIG);
    ck_assert_str_eq(error.text, "/no/such.yaml: there is no such file");
    ck_assert_msg(config_load(&options, NULL, environment, &error) == MN_OK, "%s", error.text);
}
END_TEST

START_TEST(a_reload_keeps_flags_and_reads_files_again)
{
    struct options fresh;
    char *environment[] = {ARG("MESHNODE_NODE_ZONE=z1"), NULL};
    char path[256];
    snprintf(path, sizeof path, "%s", write_file("a.yaml", "node: {region: r1}\n"));
    ck_assert_int_eq(flags(ARG("--name"), ARG("n1"), NULL), MN_OK);
    ck_assert_int_eq(config_load(&options, path, environment, &error), MN_OK);
    write_file("a.yaml", "node: {region: r2, name: other}\n");
    ck_assert_int_eq(config_reload(&options, path, &fresh, &error), MN_OK);
    ck_assert_str_eq(options_text(&fresh, CONFIG_NODE_NAME), "n1");
    ck_assert_str_eq(options_text(&fresh, CONFIG_NODE_ZONE), "z1");
    ck_assert_str_eq(options_text(&fresh, CONFIG_NODE_REGION), "r2");
    options_done(&fresh);
}
END_TEST

START_TEST(every_option_is_in_help_and_in_the_manual)
{
    struct mn_writer writer = {0};
    options_write_man(&options, NULL, 0, &writer);
    options_write_help(&options, NULL, 0, &writer);
    struct mn_buf *text = mn_writer_done(&writer);
    for (uint32_t i = 0; i < CONFIG_COUNT; i++) {
        const struct option_spec *spec = &config_specs[i];
        char flag[64];
        ck_assert_ptr_nonnull(memmem(text->bytes, text->size, spec->key, strlen(spec->key)));
        ck_assert_ptr_nonnull(memmem(text->bytes, text->size, spec->help, 4));
        snprintf(flag, sizeof flag, "  --%s", spec->flag == NULL ? "" : spec->flag);
        if (spec->flag != NULL)
            ck_assert_ptr_nonnull(memmem(text->bytes, text->size, flag, strlen(flag)));
    }
    mn_buf_unref(text);
}
END_TEST

static const struct {
    const char *text;
    mn_time duration; /* 0: refused */
} durations[] = {
    {"50ms", 50 * MN_MS},
    {"5s", 5 * MN_SEC},
    {"10m", 10 * MN_MINUTE},
    {"2h", 2 * MN_HOUR},
    {"7d", 7 * MN_DAY},
    {"", 0},
    {"5", 0},
    {"s", 0},
    {"5S", 0},
    {"-5s", 0},
    {"1.5s", 0},
    {"5s ", 0},
    {"4294967296d", 0},
    {"5us", 0},
};

START_TEST(durations_are_read_exactly)
{
    mn_time duration = 0;
    mn_status status = options_parse_duration(mn_span_str(durations[_i].text), &duration);
    ck_assert_uint_eq(duration, durations[_i].duration);
    ck_assert_int_eq(status, durations[_i].duration == 0 ? MN_CONFIG : MN_OK);
}
END_TEST

static const struct {
    const char *text;
    bool is_good;
} addresses[] = {
    {"127.0.0.1:7000", true},
    {"[::1]:0", true},
    {"a-b.example:65535", true},
    {"a_b:1", true},
    {":7000", false},
    {"a", false},
    {"a:", false},
    {"a:65536", false},
    {"a:1x", false},
    {"::1:80", false},
    {"[]:80", false},
    {"[a b]:80", false},
    {"a b:80", false},
    {"http://a:1", false},
    {"a:000001", false},
};

START_TEST(addresses_have_a_host_and_a_port)
{
    ck_assert_int_eq(options_is_address(mn_span_str(addresses[_i].text)), addresses[_i].is_good);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

int main(void)
{
    TCase *tcase = tcase_create("config");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_section_of_the_file_is_read);
    tcase_add_test(tcase, an_empty_file_and_comments_change_nothing);
    tcase_add_loop_test(tcase, a_mistake_is_named_with_file_line_and_key, 0, COUNT(mistakes));
    tcase_add_test(tcase, a_value_too_many_or_too_long_is_refused);
    tcase_add_test(tcase, references_bring_secrets_from_elsewhere);
    tcase_add_test(tcase, flag_beats_environment_beats_file_beats_default);
    tcase_add_test(tcase, lists_repeat_as_flags_and_split_at_commas_in_the_environment);
    tcase_add_test(tcase, a_server_flag_keeps_its_commas);
    tcase_add_test(tcase, switches_need_no_value_and_take_one);
    tcase_add_loop_test(tcase, a_bad_flag_is_named, 0, COUNT(bad_flags));
    tcase_add_loop_test(tcase, a_bad_variable_is_named, 0, COUNT(bad_variables));
    tcase_add_test(tcase, a_secret_is_in_no_message_and_no_listing);
    tcase_add_loop_test(tcase, what_does_not_fit_together_is_refused, 0, COUNT(contradictions));
    tcase_add_test(tcase, a_mistyped_token_is_told_from_nonsense);
    tcase_add_test(tcase, dev_listens_on_loopback_by_itself);
    tcase_add_test(tcase, conf_d_is_read_after_the_file_in_order_of_names);
    tcase_add_test(tcase, a_named_file_must_exist_the_usual_one_need_not);
    tcase_add_test(tcase, a_reload_keeps_flags_and_reads_files_again);
    tcase_add_test(tcase, every_option_is_in_help_and_in_the_manual);
    tcase_add_loop_test(tcase, durations_are_read_exactly, 0, COUNT(durations));
    tcase_add_loop_test(tcase, addresses_have_a_host_and_a_port, 0, COUNT(addresses));
    Suite *suite = suite_create("config");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
