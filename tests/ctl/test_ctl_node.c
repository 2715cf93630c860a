/* Commands against a node: what they ask, what they print, how they end. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/ctl/ctl_world.h"
#include "tests/suite.h"

#define NODES                                                                                \
    "{\"api\":\"meshctl/v1\",\"kind\":\"NodeList\",\"items\":["                              \
    "{\"name\":\"n1\",\"id\":\"0123456789abcdef\",\"status\":\"alive\",\"role\":\"auto\","   \
    "\"region\":\"\",\"tools\":12,\"since_ms\":93000.5,\"version\":\"0.1.0\",\"link\":null," \
    "\"incarnation\":1,\"grant_expires\":\"2027-01-15T08:00:00.000Z\"},"                     \
    "{\"name\":\"\\u00e9t\\u00e9\",\"id\":\"fedcba9876543210\",\"status\":\"dead\","         \
    "\"role\":\"voter\",\"region\":\"eu\\u001b[31m\",\"tools\":0,\"since_ms\":266400000,"    \
    "\"version\":null,\"link\":{\"address\":\"10.0.0.2:7000\",\"rtt_ms\":0.417,"             \
    "\"queued_bytes\":7},\"incarnation\":3,\"grant_expires\":\"2027-01-15T08:00:00.000Z\"}"  \
    "],\"missing\":[],\"warnings\":[]}"

/* ---- tables ---- */

START_TEST(a_table_lines_up_and_shows_no_control_characters)
{
    fake_answers("GET", "/v1/nodes", 200, NODES);
    ck_assert_int_eq(meshctl("nodes"), 0);
    assert_out(
        "NAME  ID        STATUS  ROLE   REGION   LINK           RTT      TOOLS  VERSION  UPTIME\n"
        "n1    01234567  alive   auto   -        -              -        12     0.1.0    1m33s\n"
        "\u00e9t\u00e9   fedcba98  dead    voter  eu [31m  10.0.0.2:7000  0.42 ms  0      -        "
        "3d2h\n");
    assert_err("");
}
END_TEST

START_TEST(wide_shows_more_and_quiet_no_header)
{
    fake_answers("GET", "/v1/nodes", 200, NODES);
    ck_assert_int_eq(meshctl("nodes -o wide -q"), 0);
    ck_assert_int_eq(strncmp(out, "n1 ", 3), 0);
    assert_in(out, "  0123456789abcdef  alive");
    assert_in(out, "2027-01-15T08:00:00Z\n");
}
END_TEST

START_TEST(plain_is_for_programs)
{
    fake_answers("GET", "/v1/nodes", 200, NODES);
    ck_assert_int_eq(meshctl("nodes ls -o plain"), 0);
    assert_out("n1\t0123456789abcdef\talive\tauto\t-\t-\t-\t12\t0.1.0\t93000.5\t1\t-\t"
               "2027-01-15T08:00:00.000Z\n"
               "\u00e9t\u00e9\tfedcba9876543210\tdead\tvoter\teu [31m\t10.0.0.2:7000\t0.417\t0\t-\t"
               "266400000\t3\t7\t2027-01-15T08:00:00.000Z\n");
}
END_TEST

START_TEST(json_is_what_the_node_said)
{
    fake_answers("GET", "/v1/nodes", 200, NODES);
    ck_assert_int_eq(meshctl("--json nodes"), 0);
    assert_out(NODES "\n");
    ck_assert_int_eq(meshctl("nodes -o jsonl"), 0);
    ck_assert_int_eq(strncmp(out, "{\"name\":\"n1\"", 12), 0);
    assert_in(out, "}\n{\"name\":\"\\u00e9t\\u00e9\"");
    ck_assert_ptr_null(strstr(out, "NodeList"));
}
END_TEST

START_TEST(states_have_colours_where_there_are_any)
{
    fake_answers("GET", "/v1/nodes", 200, NODES);
    ck_assert_int_eq(
        meshctl_with((struct ctl){.data = fake_data(), .is_terminal = true, .has_colour = true},
                     "nodes"),
        0);
    assert_in(out, "\033[32malive\033[0m ");
    assert_in(out, "\033[31mdead\033[0m  ");
    ck_assert_ptr_null(strstr(out, "\033[0m0123"));
    ck_assert_int_eq(meshctl_with((struct ctl){.data = fake_data(), .is_terminal = true}, "nodes"),
                     0);
    ck_assert_ptr_null(strchr(out, '\033'));
}
END_TEST

START_TEST(an_empty_list_has_its_header)
{
    fake_answers("GET", "/v1/servers", 200, "{\"items\":[],\"missing\":[]}");
    ck_assert_int_eq(meshctl("servers"), 0);
    assert_out("NAME  TRANSPORT  STATE  ERA  TOOLS  IN-FLIGHT  CALLS  STARTS  SINCE  ERROR\n");
}
END_TEST

START_TEST(what_is_missing_is_told_and_the_rest_printed)
{
    fake_answers("GET", "/v1/nodes", 200,
                 "{\"items\":[{\"name\":\"n1\"}],\"missing\":[\"n2\","
                 "\"n3\"]}");
    ck_assert_int_eq(meshctl("nodes -o plain"), CTL_PARTIAL);
    assert_in(out, "n1\t");
    assert_err("meshctl: did not answer: n2, n3\n  try: meshctl nodes\n");
}
END_TEST

START_TEST(columns_stay)
{
    fake_answers("GET", "/v1/tools", 200,
                 "{\"items\":[{\"name\":\"s__t\",\"server\":\"s\","
                 "\"nodes\":2,\"health\":\"degraded\","
                 "\"calls_per_minute\":7,\"p95_ms\":1234.5}]}");
    fake_answers("GET", "/v1/tokens", 200, "{\"items\":[]}");
    ck_assert_int_eq(meshctl("tools"), 0);
    assert_out("NAME  SERVER  NODES  HEALTH    CALLS/M  P95\n"
               "s__t  s       2      degraded  7        1.23 s\n");
    ck_assert_int_eq(meshctl("token ls"), 0);
    assert_out("ID  TYPE  ROLE  USES  USED  EXPIRES  WITHDRAWN\n");
}
END_TEST

/* ---- errors ---- */

START_TEST(statuses_of_http_are_exit_codes)
{
    static const struct {
        int status, code;
    } cases[] = {{400, 2}, {401, 4}, {403, 4}, {404, 5}, {405, 2}, {409, 6},
                 {413, 2}, {415, 2}, {500, 1}, {503, 1}, {504, 7}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_answers("GET", "/v1/nodes", cases[i].status,
                     "{\"error\":{\"code\":\"some_code\",\"message\":\"why\\nso\",\"hint\":\"do "
                     "it\",\"retryable\":false}}");
        ck_assert_int_eq(meshctl("nodes"), cases[i].code);
        assert_err("meshctl: why so\n  try: do it\n");
        assert_out("");
    }
    ck_assert_int_eq(meshctl("nodes --json"), 7);
    assert_err("{\"error\":{\"code\":\"some_code\",\"message\":\"why so\",\"hint\":\"do it\","
               "\"retryable\":true}}\n");
}
END_TEST

START_TEST(answers_that_are_none_are_told)
{
    fake_answers("GET", "/v1/nodes", 200, "<html>");
    ck_assert_int_eq(meshctl("nodes"), CTL_FAILED);
    assert_in(err, "no JSON object");
    fake_answers("GET", "/v1/nodes", 200, "{\"items\":3}");
    ck_assert_int_eq(meshctl("nodes"), CTL_FAILED);
    assert_in(err, "no list");
    fake_answers("GET", "/v1/nodes", 502, "<html>");
    ck_assert_int_eq(meshctl("nodes"), CTL_FAILED);
    assert_in(err, "the node refused (HTTP status 502)");
    fake_answers("GET", "/v1/nodes", 0, "");
    ck_assert_int_eq(meshctl("nodes"), CTL_UNREACHABLE);
}
END_TEST

START_TEST(no_node_is_three_and_json_says_so)
{
    ck_assert_int_eq(meshctl("--socket /nowhere/admin.sock nodes --json"), CTL_UNREACHABLE);
    assert_err("{\"error\":{\"code\":\"unreachable\",\"message\":\"no node answers at "
               "/nowhere/admin.sock\",\"hint\":\"start it (`meshnode`), or name its directory: "
               "meshctl --data DIR ...\",\"retryable\":true}}\n");
    ck_assert_int_eq(meshctl("--server http://127.0.0.1:1 nodes"), CTL_UNREACHABLE);
    assert_in(err, "no node answers at http://127.0.0.1:1: ");
}
END_TEST

START_TEST(a_path_too_long_for_a_socket_says_so)
{
    char line[512] = "nodes --socket /";

    memset(line + strlen(line), 'x', 200);
    ck_assert_int_eq(meshctl(line), CTL_USAGE);
    assert_in(err, "too long for a socket");
}
END_TEST

/* ---- what is asked ---- */

START_TEST(names_are_encoded_in_paths)
{
    fake_answers("GET", "/v1/nodes/a%20b%2Fc%25%C3%A9", 200,
                 "{\"api\":\"x\",\"kind\":\"Node\","
                 "\"name\":\"a b\",\"link\":{\"rtt_ms\":"
                 "1},\"list\":[1],\"none\":{}}");
    ck_assert_int_eq(meshctl("nodes show a\001b/c%\u00e9"), 0);
    assert_out("name: a b\nlink:\n  rtt_ms: 1\nlist: [1]\nnone: {}\n");
}
END_TEST

START_TEST(servers_add_sends_what_a_file_would_have)
{
    fake_answers("POST", "/v1/servers", 200, "{\"api\":\"meshctl/v1\",\"kind\":\"Done\"}");
    ck_assert_int_eq(meshctl("servers add files --cwd /tmp --env A=b=c --env \"=\\ --replica "
                             "--uniform --era legacy -- npx -y \"x\""),
                     0);
    assert_in(fake_heard(), "\r\nContent-Type: application/json\r\n");
    ck_assert_str_eq(strstr(fake_heard(), "\r\n\r\n") + 4,
                     "{\"files\":{\"command\":\"npx\",\"args\":[\"-y\",\"\\\"x\\\"\"],\"env\":{"
                     "\"A\":\"b=c\",\"\\\"\":\"\\\\\"},\"cwd\":\"/tmp\",\"era\":\"legacy\","
                     "\"replica\":true,\"uniform\":true}}");
    assert_out("");
    assert_err("files is attached; is it well? meshctl servers show files\n");
    ck_assert_int_eq(meshctl("servers add web --url http://x/mcp --json"), 0);
    ck_assert_str_eq(strstr(fake_heard(), "\r\n\r\n") + 4, "{\"web\":{\"url\":\"http://x/mcp\"}}");
    assert_out("{\"api\":\"meshctl/v1\",\"kind\":\"Done\"}\n");
    assert_err("");
}
END_TEST

START_TEST(servers_add_takes_headers_also_from_files)
{
    char path[128], line[512];
    FILE *file;

    fake_answers("POST", "/v1/servers", 200, "{\"api\":\"meshctl/v1\",\"kind\":\"Done\"}");
    snprintf(path, sizeof path, "%s/key", fake_data());
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "Bearer s3c\"r3t\n");
    fclose(file);
    snprintf(line, sizeof line,
             "servers add web --url http://x/mcp --header X-Team:a:b --header Authorization:@%s",
             path);
    ck_assert_int_eq(meshctl(line), 0);
    ck_assert_str_eq(strstr(fake_heard(), "\r\n\r\n") + 4,
                     "{\"web\":{\"url\":\"http://x/mcp\",\"headers\":{\"X-Team\":\"a:b\","
                     "\"Authorization\":\"Bearer s3c\\\"r3t\"}}}");
    unlink(path);
}
END_TEST

START_TEST(servers_are_restarted_and_removed)
{
    fake_answers("POST", "/v1/servers/s/restart", 200, "{\"kind\":\"Done\"}");
    fake_answers("DELETE", "/v1/servers/s", 200, "{\"kind\":\"Done\"}");
    ck_assert_int_eq(meshctl("servers restart s"), 0);
    ck_assert_int_eq(meshctl("servers rm s -q"), 0);
    assert_err("");
}
END_TEST

START_TEST(a_view_that_cannot_be_read_says_why)
{
    static const char *const files[][2] = {{"/", "/: Is a directory"},
                                           {"/dev/null", "/dev/null is empty"},
                                           {"/nobody.json", "/nobody.json: No such file"},
                                           {"/proc/self/comm", "not valid JSON (at byte 0)"}};
    char line[64];

    for (uint32_t i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "views apply %s", files[i][0]);
        ck_assert_int_eq(meshctl(line), 2);
        assert_in(err, files[i][1]);
    }
}
END_TEST

START_TEST(a_token_is_the_only_output)
{
    fake_answers("POST", "/v1/tokens", 200,
                 "{\"token\":\"mnt1-abc\",\"id\":\"77\",\"uses\":5,"
                 "\"expires\":\"2027-01-15T08:00:00.000Z\"}");
    fake_answers("DELETE", "/v1/tokens/77", 200, "{\"id\":\"7788\"}");
    ck_assert_int_eq(meshctl("token create --uses 5 --ttl 2h --role edge"), 0);
    assert_out("mnt1-abc\n");
    assert_in(err, "good for 5 nodes until 2027-01-15T08:00:00.000Z");
    ck_assert_str_eq(strstr(fake_heard(), "\r\n\r\n") + 4,
                     "{\"ttl_ms\":7200000,\"uses\":5,\"role\":\"edge\"}");
    ck_assert_int_eq(meshctl("token create -q"), 0);
    assert_err("");
    ck_assert_int_eq(meshctl("token revoke 77"), 0);
    assert_err("7788 is withdrawn: it lets nobody in any more\n");
}
END_TEST

START_TEST(tools_found_by_none_are_not_found)
{
    fake_answers("GET", "/v1/tools?find=a%26b", 200, "{\"items\":[],\"missing\":[]}");
    ck_assert_int_eq(meshctl("tools find a&b"), CTL_NOT_FOUND);
    assert_in(err, "no tool has a&b");
}
END_TEST

START_TEST(a_tool_is_shown_with_its_arguments)
{
    fake_answers("GET", "/v1/tools/s__t", 200,
                 "{\"name\":\"s__t\",\"server\":\"s\",\"tool\":\"t\",\"nodes\":1,\"health\":\"ok\","
                 "\"definition\":{\"description\":\"Does it\",\"inputSchema\":{\"properties\":{"
                 "\"a\":{\"type\":\"string\",\"description\":\"the a\"},\"b\":{\"type\":\"number\"}"
                 "},\"required\":[\"a\"]}}}");
    ck_assert_int_eq(meshctl("tools show s__t"), 0);
    assert_in(out, "s__t: tool t of server s, on 1 node(s), ok\nDoes it\n\narguments:\n");
    assert_in(out, "  a                    string   the a\n");
    assert_in(out, "  b                    number   (optional) \n");
}
END_TEST

START_TEST(a_route_is_explained)
{
    fake_answers("GET", "/v1/route/s__t", 200,
                 "{\"tool\":\"s__t\",\"server\":\"s\",\"items\":["
                 "{\"node\":\"n1\",\"winner\":true,\"reason\":\"ok\",\"score\":300},"
                 "{\"node\":\"n2\",\"winner\":false,\"reason\":\"breaker_open\",\"score\":0},"
                 "{\"node\":\"n3\",\"winner\":false,\"reason\":\"ok\",\"score\":700}]}");
    ck_assert_int_eq(meshctl("route explain s__t"), 0);
    assert_in(out, "NODE  TAKES-IT  REASON        SCORE");
    assert_in(out, "n2 is left out: too many of its calls failed");
    assert_in(out, "n1 scores best");
    fake_answers("GET", "/v1/route/s__t", 200,
                 "{\"tool\":\"s__t\",\"server\":\"s\",\"items\":[{\"node\":\"n1\",\"winner\":false,"
                 "\"reason\":\"no_link\"}]}");
    ck_assert_int_eq(meshctl("route explain s__t"), 0);
    assert_in(out, "n1 is left out: there is no link to it\nnobody can take a call now\n");
}
END_TEST

START_TEST(a_tool_that_is_held_back_has_no_winner)
{
    fake_answers("GET", "/v1/route/s__t", 200,
                 "{\"tool\":\"s__t\",\"server\":\"s\",\"held\":\"quarantined\",\"items\":["
                 "{\"node\":\"n1\",\"winner\":true,\"reason\":\"ok\",\"score\":300}]}");
    ck_assert_int_eq(meshctl("route explain s__t"), 0);
    assert_in(out, "no call of it is taken: it is in quarantine. Look at it: meshctl tools pins\n");
    ck_assert_ptr_null(strstr(out, "takes it"));
    fake_answers("GET", "/v1/tools/s__t", 200,
                 "{\"name\":\"s__t\",\"server\":\"s\",\"tool\":\"t\",\"nodes\":1,\"health\":\"ok\","
                 "\"held\":\"changed\",\"definition\":{}}");
    ck_assert_int_eq(meshctl("tools show s__t"), 0);
    assert_in(out, "on 1 node(s), changed\n");
}
END_TEST

START_TEST(a_tool_that_some_are_not_shown_says_so)
{
    fake_answers("GET", "/v1/tools", 200,
                 "{\"items\":[{\"name\":\"s__t\",\"needs\":\"sampling or roots\"}]}");
    ck_assert_int_eq(meshctl("tools ls -o wide"), 0);
    assert_in(out, "NEEDS");
    assert_in(out, "sampling or roots");
    fake_answers("GET", "/v1/tools/s__t", 200,
                 "{\"name\":\"s__t\",\"server\":\"s\",\"tool\":\"t\",\"nodes\":1,\"health\":\"ok\","
                 "\"needs\":\"sampling or roots\",\"definition\":{}}");
    ck_assert_int_eq(meshctl("tools show s__t"), 0);
    assert_in(out, "needs: sampling or roots (of the client; others are not shown it)\n");
}
END_TEST

/* ---- status, check ---- */

#define FINDINGS(level)                                                                     \
    "\"level\":\"" level "\",\"findings\":[{\"level\":\"info\",\"code\":\"x\",\"message\":" \
    "\"only told\",\"next\":\"do a\"},{\"level\":\"" level "\",\"code\":\"y\",\"message\":" \
    "\"it is so\",\"next\":\"do b\"}]"
#define MESH                                      \
    "\"mesh\":{\"id\":\"m\",\"words\":\"ant bee " \
    "cow\",\"alive\":3,\"suspect\":1,\"dead\":2,\"links\":2}"

START_TEST(status_is_one_screen)
{
    fake_answers("GET", "/v1/status", 200,
                 "{\"node\":{\"name\":\"n1\",\"id\":\"0123\",\"state\":\"member\",\"ready\":true,"
                 "\"issuer\":true,\"region\":\"eu\",\"version\":\"0.1.0\",\"uptime_ms\":5000,"
                 "\"http\":\"127.0.0.1:7080\",\"http_auth\":\"bearer\"}," MESH
                 ",\"leader\":{\"id\":\"4567\",\"name\":\"n2\"},"
                 "\"tools\":7,\"servers\":{\"total\":2,\"ready\":1},\"calls\":{\"finished\":9},"
                 "\"level\":\"ok\",\"findings\":[]}");
    ck_assert_int_eq(meshctl("status"), 0);
    assert_out("node     n1  ready, member, up 5s, meshnode 0.1.0, region eu, issuer\n"
               "         0123\n"
               "mesh     m\n"
               "         in words: ant bee cow\n"
               "members  3 alive, 1 suspect, 2 dead; 2 link(s)\n"
               "leader   n2\n"
               "grant    none yet\n"
               "tools    7 in the mesh; 1 of 2 server(s) here ready\n"
               "calls    9 finished, 0 failed, 0 open; 0 failed over, 0 with unknown outcome\n"
               "clients  http://127.0.0.1:7080/mcp (bearer); how: meshctl client json\n"
               "\n"
               "ok       all is well\n");
}
END_TEST

START_TEST(a_group_without_a_quorum_is_critical)
{
    fake_answers("GET", "/v1/consensus", 200,
                 "{\"quorum\":true,\"term\":3,\"commit\":9,\"diagnosis\":\"well\",\"items\":[]}");
    ck_assert_int_eq(meshctl("check consensus"), 0);
    assert_out("CONSENSUS OK - well | term=3 commit=9\n");
    fake_answers("GET", "/v1/consensus", 200,
                 "{\"quorum\":true,\"term\":3,\"commit\":9,\"diagnosis\":\"has a quorum; missing: "
                 "n3\",\"items\":[]}");
    ck_assert_int_eq(meshctl("check consensus"), 1);
    assert_out("CONSENSUS WARNING - has a quorum; missing: n3 | term=3 commit=9\n");
    fake_answers(
        "GET", "/v1/consensus", 200,
        "{\"quorum\":false,\"term\":3,\"commit\":9,\"diagnosis\":\"no quorum: weight 1 of 3 "
        "is here; missing: n2, n3\",\"items\":[]}");
    ck_assert_int_eq(meshctl("check consensus"), 2);
    assert_in(out, "CONSENSUS CRITICAL - no quorum: weight 1 of 3 is here; missing: n2, n3 | ");
    ck_assert_int_eq(meshctl("check consensus --json"), 2);
    assert_in(out, "\"quorum\":false");
}
END_TEST

/* ---- consensus, state ---- */

/* Runs [words] and the name of a file with that text. */
static int meshctl_file(const char *words, const char *text)
{
    char path[256], line[512];
    FILE *file;
    int status;

    snprintf(path, sizeof path, "%s/file.json", fake_data());
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    snprintf(line, sizeof line, "%s %s", words, path);
    status = meshctl(line);
    unlink(path);
    return status;
}

START_TEST(a_file_that_is_no_decision_is_not_shown)
{
    static const char *const others[] = {"{}", "junk", "{\"kind\":\"EvidenceList\"}", ""};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(meshctl_file("consensus show --verify", others[i]), CTL_FAILED);
        assert_out("");
        assert_in(err,
                  "is no JSON of kind Decision\n  try: meshctl consensus show ID --json > FILE");
    }
    ck_assert_int_eq(meshctl_file("consensus evidence", "{}"), CTL_FAILED);
    assert_in(err, "is no JSON of kind EvidenceList\n  try: meshctl consensus evidence --json");
    ck_assert_int_eq(meshctl("consensus show ./nothing.json"), CTL_NOT_FOUND);
    assert_in(err, "there is no file ./nothing.json");
}
END_TEST

START_TEST(who_gets_no_quorum_hears_what_to_do)
{
    static const char answer[] =
        "{\"id\":\"ab\",\"topic\":\"t\",\"value\":\"v\",\"outcome\":\"no-quorum\","
        "\"quorum_num\":3,\"quorum_den\":4,\"total\":4}";

    fake_answers("POST", "/v1/decisions", 200, answer);
    fake_answers("GET", "/v1/decisions/ab", 200, answer);
    ck_assert_int_eq(meshctl("consensus propose t v"), CTL_TIMEOUT);
    assert_in(out, "ab  t = v: no-quorum\n");
    assert_in(err, "meshctl consensus vote ID yes, on each");
    ck_assert_int_eq(meshctl("consensus propose t v --json"), CTL_TIMEOUT);
    assert_err("");
}
END_TEST

START_TEST(a_number_may_be_less_than_none)
{
    fake_answers("POST", "/v1/state/k/incr?timeout_ms=5000", 200, "{\"number\":-5}");
    ck_assert_int_eq(meshctl("state incr k -5"), 0);
    assert_out("-5\n");
    assert_in(fake_heard(), "{\"by\":-5}");
    fake_answers("PUT", "/v1/state/-k?timeout_ms=5000", 200, "{\"rev\":7}");
    ck_assert_int_eq(meshctl("state put -- -k -v"), 0);
    assert_in(fake_heard(), "{\"value\":\"-v\"}");
}
END_TEST

START_TEST(check_speaks_to_monitors)
{
    fake_answers("GET", "/v1/check?of=mesh", 200, "{" MESH "," FINDINGS("warning") "}");
    fake_answers("GET", "/v1/check?of=node", 200, "{" MESH "," FINDINGS("critical") "}");
    ck_assert_int_eq(meshctl("check mesh"), 1);
    assert_out("MESH WARNING - it is so | alive=3 suspect=1 dead=2 links=2\n"
               "info     only told\n         next: do a\n"
               "warning  it is so\n         next: do b\n");
    ck_assert_int_eq(meshctl("check node -q"), 2);
    assert_out("NODE CRITICAL - it is so | alive=3 suspect=1 dead=2 links=2\n");
    fake_answers("GET", "/v1/check?of=node", 200, "{" MESH ",\"level\":\"ok\",\"findings\":[]}");
    ck_assert_int_eq(meshctl("check node"), 0);
    assert_out("NODE OK - all is well | alive=3 suspect=1 dead=2 links=2\n");
    ck_assert_int_eq(meshctl("check node --json"), 0);
}
END_TEST

START_TEST(a_node_that_does_not_answer_is_critical_and_one_that_refuses_unknown)
{
    ck_assert_int_eq(meshctl("check mesh --socket /nowhere"), 2);
    assert_out("MESH CRITICAL - the node does not answer\n");
    fake_answers("GET", "/v1/check?of=mesh", 401, "{}");
    ck_assert_int_eq(meshctl("check mesh"), 3);
    assert_out("MESH UNKNOWN - the node cannot be asked\n");
}
END_TEST

START_TEST(version_needs_no_node)
{
    ck_assert_int_eq(meshctl("version --socket /nowhere"), 0);
    assert_out("meshctl (meshnode) " MN_VERSION "\n");
    assert_err("");
    ck_assert_int_eq(meshctl("version --socket /nowhere --json"), 0);
    assert_out("{\"api\":\"meshctl/v1\",\"kind\":\"Version\",\"meshctl\":\"" MN_VERSION
               "\",\"node\":null}\n");
    fake_answers("GET", "/v1/version", 200, "{\"node\":\"9.9\"}");
    ck_assert_int_eq(meshctl("version"), 0);
    assert_out("meshctl (meshnode) " MN_VERSION "\nnode 9.9\n");
}
END_TEST

/* ---- waiting ---- */

START_TEST(waiting_ends_when_the_mesh_is_there)
{
    fake_answers("GET", "/v1/status", 200, "{\"mesh\":{\"alive\":3},\"node\":{\"ready\":true}}");
    ck_assert_int_eq(meshctl("nodes wait --count 3 --ready"), 0);
    assert_out("");
    assert_in(err, "3 member(s) alive, this node is ready, after ");
    ck_assert_int_eq(meshctl("nodes wait --json"), 0);
    assert_in(out, "{\"api\":\"meshctl/v1\",\"kind\":\"Wait\",\"alive\":3,\"ready\":true,"
                   "\"waited_ms\":");
}
END_TEST

START_TEST(waiting_in_vain_says_what_was_missing)
{
    fake_answers("GET", "/v1/status", 200, "{\"mesh\":{\"alive\":1},\"node\":{\"ready\":false}}");
    ck_assert_int_eq(meshctl("nodes wait --count 3 --ready --timeout 200ms"), CTL_TIMEOUT);
    assert_in(err, " ms, 1 of 3 member(s) alive; this node is not ready\n  try: meshctl status\n");
    ck_assert_uint_gt(fake_heard_count(), 1);
    ck_assert_int_eq(meshctl("nodes wait --count 3 --timeout 60ms"), CTL_TIMEOUT);
    ck_assert_ptr_null(strstr(err, "ready"));
    ck_assert_int_eq(meshctl("nodes wait --timeout 60ms --socket /nowhere"), CTL_TIMEOUT);
    ck_assert_ptr_null(strstr(strchr(err, '\n') + 1, "meshctl: ")); /* said once */
    fake_answers("GET", "/v1/status", 401, "{}");
    ck_assert_int_eq(meshctl("nodes wait --timeout 60s"), CTL_DENIED); /* waiting would not help */
}
END_TEST

/* ---- streams ---- */

START_TEST(events_come_line_by_line)
{
    fake_answers("GET", "/v1/events", 200,
                 "{\"time\":\"T\",\"level\":\"warn\",\"event\":\"server.failed\",\"id\":"
                 "\"0123456789\",\"text\":\"a\\u001bb\",\"exit_status\":3}\nnot json\n");
    ck_assert_int_eq(meshctl("events"), 0);
    assert_out("T warn  server.failed          id=01234567 text=a b exit_status=3\n");
    ck_assert_int_eq(meshctl("events --json"), 0);
    assert_out("{\"time\":\"T\",\"level\":\"warn\",\"event\":\"server.failed\",\"id\":"
               "\"0123456789\",\"text\":\"a\\u001bb\",\"exit_status\":3}\n");
}
END_TEST

START_TEST(following_asks_for_more_and_tells_when_it_is_cut)
{
    fake_cuts("GET", "/v1/servers/s%20x/logs?follow=1",
              "{\"sequence\":1,\"time\":\"T\",\"text\":\"hello\"}\n");
    ck_assert_int_eq(meshctl("servers logs s\001x -f"), CTL_UNREACHABLE);
    assert_out("T hello\n");
    assert_in(err, "the node cut the stream");
}
END_TEST

START_TEST(a_log_that_is_none_is_told_in_the_nodes_words)
{
    fake_answers("GET", "/v1/servers/s/logs", 404,
                 "{\"error\":{\"code\":\"not_found\",\"message\":\"no such server\",\"hint\":"
                 "\"meshctl servers\"}}\n");
    ck_assert_int_eq(meshctl("servers logs s"), CTL_NOT_FOUND);
    assert_err("meshctl: no such server\n  try: meshctl servers\n");
}
END_TEST

/* ---- clients ---- */

START_TEST(client_prints_what_to_paste_and_nothing_else)
{
    static const char open[] = "{\"node\":{\"http\":\"127.0.0.1:7080\",\"http_auth\":\"none\"}}";
    static const char guarded[] = "{\"node\":{\"http\":\"127.0.0.1:7080\",\"http_auth\":"
                                  "\"bearer\"}}";

    fake_answers("GET", "/v1/status", 200, open);
    ck_assert_int_eq(meshctl("client claude-code"), 0);
    assert_out("claude mcp add --transport http meshnode http://127.0.0.1:7080/mcp\n");
    assert_err("");
    ck_assert_int_eq(meshctl("client cursor"), 0);
    assert_out("{\"mcpServers\": {\"meshnode\": {\"url\": \"http://127.0.0.1:7080/mcp\"}}}\n");
    assert_err("into ~/.cursor/mcp.json:\n");
    fake_answers("GET", "/v1/status", 200, guarded);
    ck_assert_int_eq(meshctl("client claude-code"), 0);
    assert_in(out, " --header \"Authorization: Bearer SECRET\"\n");
    assert_in(err, "wants a bearer token");
    ck_assert_int_eq(meshctl("client vscode"), 0);
    assert_in(out, "\"Authorization\": \"Bearer ${input:mesh}\"");
    ck_assert_int_eq(meshctl("client json"), 0);
    assert_in(err, "only runs commands, on this host:\n{\"mcpServers\": {\"meshnode\": "
                   "{\"command\": \"meshnode\", \"args\": [\"mcp\", \"--data\", \"/");
    ck_assert_int_eq(meshctl("client json --json"), 0);
    assert_in(out, "\"kind\":\"Client\",\"client\":\"json\",\"url\":\"http://127.0.0.1:7080/mcp\","
                   "\"auth\":\"bearer\",\"file\":");
    assert_err("");
    fake_answers("GET", "/v1/status", 200, "{\"node\":{\"http\":\"\"}}");
    ck_assert_int_eq(meshctl("client json"), CTL_CONFLICT);
}
END_TEST

/* ---- calls ---- */

#define RESULT(members) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{" members "}}"
#define ERROR(members) "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{" members "}}"

START_TEST(a_call_is_one_stateless_request)
{
    fake_answers("POST", "/mcp", 200,
                 RESULT("\"content\":[{\"type\":\"text\",\"text\":\"one\\ntwo\"},"
                        "{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"AAAAAAAA\"},"
                        "{\"type\":\"resource_link\",\"uri\":\"x\"}]"));
    ck_assert_int_eq(meshctl("call s__t {\"a\":1e400}"), 0);
    assert_out("one\ntwo\n[image image/png, 6 bytes; --json has it]\n"
               "{\"type\":\"resource_link\",\"uri\":\"x\"}\n");
    ck_assert_uint_eq(fake_heard_count(), 1);
    assert_in(fake_heard(), "MCP-Protocol-Version: 2026-07-28\r\n");
    assert_in(fake_heard(), "Mcp-Method: tools/call\r\n");
    assert_in(fake_heard(), "Mcp-Name: s__t\r\n");
    assert_in(fake_heard(), "\"name\":\"s__t\",\"arguments\":{\"a\":1e400}}}");
    ck_assert_int_eq(meshctl("tools call s__t --json"), 0);
    ck_assert_int_eq(strncmp(out, "{\"content\":[", 12), 0);
    assert_in(fake_heard(), "\"arguments\":{}}}");
}
END_TEST

START_TEST(progress_is_told_beside_the_result)
{
    fake_answers("POST", "/mcp", 200,
                 ": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                 "\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":0.5,"
                 "\"total\":2,\"message\":\"half\"}}\n\ndata: " RESULT("\"content\":[]") "\n\n");
    ck_assert_int_eq(meshctl("call s__t"), 0);
    assert_out("");
    assert_err("progress 0.5/2 half\n");
    ck_assert_int_eq(meshctl("call s__t -q"), 0);
    assert_err("");
}
END_TEST

START_TEST(an_error_of_the_tool_is_one_and_its_result_printed)
{
    fake_answers("POST", "/mcp", 200,
                 RESULT("\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"no\"}]"));
    ck_assert_int_eq(meshctl("call s__t"), CTL_FAILED);
    assert_out("no\n");
    assert_err("");
}
END_TEST

START_TEST(errors_of_the_mesh_have_their_exit_codes)
{
    static const struct {
        const char *reason, *body;
        int code;
    } cases[] = {
        {"not_found",
         ERROR("\"code\":-32602,\"message\":\"m\",\"data\":{\"reason\":\"not_found\"}"),
         CTL_NOT_FOUND},
        {"conflict", ERROR("\"code\":-32602,\"message\":\"m\",\"data\":{\"reason\":\"conflict\"}"),
         CTL_CONFLICT},
        {"timed_out",
         ERROR("\"code\":-32603,\"message\":\"m\",\"data\":{\"reason\":\"timed_out\"}"),
         CTL_TIMEOUT},
        {"outcome_unknown",
         ERROR("\"code\":-32603,\"message\":\"m\",\"data\":{\"reason\":\"outcome_unknown\"}"),
         CTL_TIMEOUT},
        {"tool_error", ERROR("\"code\":-32603,\"message\":\"m\""), CTL_FAILED}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_answers("POST", "/mcp", 200, cases[i].body);
        ck_assert_int_eq(meshctl("--json call s__t"), cases[i].code);
        assert_in(err, cases[i].reason);
        assert_in(err, "\"message\":\"m\"");
        assert_in(err, "\"retryable\":false"); /* it may have run */
    }
    for (int i = 0; i < 2; i++) { /* as when its node dies: before its answer, or in the middle */
        if (i == 0)
            fake_answers("POST", "/mcp", 0, "");
        else
            fake_cuts("POST", "/mcp", ": \n\n");
        ck_assert_int_eq(meshctl("--json call s__t"), CTL_TIMEOUT);
        assert_in(err, "\"code\":\"unknown\"");
        assert_in(err, "\"retryable\":false");
    }
    fake_answers("POST", "/mcp", 200, ERROR("\"code\":-7,\"message\":\"\""));
    ck_assert_int_eq(meshctl("call s__t"), CTL_FAILED);
    assert_in(err, "error -7, of which its server says nothing");
    fake_answers("POST", "/mcp", 401, ERROR("\"code\":-32600,\"message\":\"send a bearer\""));
    ck_assert_int_eq(meshctl("call s__t"), CTL_DENIED);
    assert_in(err, "--token-file");
    fake_answers("POST", "/mcp", 200, "");
    ck_assert_int_eq(meshctl("call s__t"), CTL_FAILED);
    assert_in(err, "without an answer");
}
END_TEST

/* The older revision asks for nothing in headers, which only who knows the schema could give. */
START_TEST(arguments_in_headers_are_avoided_by_a_session)
{
    fake_answers_with("POST", "/mcp", 400, "Mcp-Session-Id: abc\r\n",
                      ERROR("\"code\":-32020,\"message\":\"an Mcp-Param header is missing\""));
    fake_answers("DELETE", "/mcp", 200, "");
    ck_assert_int_eq(meshctl("call s__t"), CTL_FAILED);
    ck_assert_uint_eq(fake_heard_count(), 4); /* stateless, initialize, call, end of session */
    assert_in(fake_heard(), "DELETE /mcp");
    assert_in(fake_heard(), "Mcp-Session-Id: abc\r\n");
}
END_TEST

#define ROUTES                                                                   \
    "{\"items\":[{\"node\":\"n1\",\"id\":\"aaaa1111\"},{\"node\":\"n2\",\"id\":" \
    "\"aaaa2222\"},{\"node\":\"aaaa1\",\"id\":\"bbbb3333\"}]}"

START_TEST(a_node_that_is_named_serves_under_its_own_name)
{
    static const struct {
        const char *node, *path;
    } cases[] = {{"n2", "/mcp/servers/s.n2"},
                 {"aaaa2", "/mcp/servers/s.n2"},
                 {"aaaa1", "/mcp/servers/s.aaaa1"}, /* a name before an id */
                 {"bbbb3333", "/mcp/servers/s.aaaa1"}};

    fake_answers("GET", "/v1/tools/s__t", 200, "{\"server\":\"s.n9\",\"tool\":\"own\\tname\"}");
    fake_answers("GET", "/v1/tools/s__u", 200, "{\"server\":\"s\",\"tool\":\"own\"}");
    fake_answers("GET", "/v1/route/s__u", 200, ROUTES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64];
        fake_answers("POST", cases[i].path, 200, RESULT("\"content\":[]"));
        snprintf(line, sizeof line, "call s__u --node %s", cases[i].node);
        ck_assert_int_eq(meshctl(line), 0);
        assert_in(fake_heard(), "\"name\":\"own\"");
    }
    ck_assert_int_eq(meshctl("call s__u --node n7"), CTL_NOT_FOUND);
    assert_in(err, "n7 does not have it; these do: n1 (aaaa1111), n2 (aaaa2222), aaaa1 (bbbb3333)");
    ck_assert_int_eq(meshctl("call s__u --node aaaa"), CTL_CONFLICT);
    assert_in(err, "aaaa may be 2 of these: ");
}
END_TEST

/* ---- HTTP, with a secret ---- */

START_TEST(a_secret_comes_from_a_file_and_goes_to_servers_only)
{
    char path[128], line[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/token", fake_data());
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "  \n");
    fclose(file);
    snprintf(line, sizeof line, "nodes --server http://127.0.0.1:1 --token-file %s", path);
    ck_assert_int_eq(meshctl(line), CTL_USAGE);
    assert_in(err, "no token can be read from");
    file = fopen(path, "w");
    fprintf(file, "s3cr3t\n");
    fclose(file);
    snprintf(line, sizeof line, "nodes --server http://mesh.invalid:1 --timeout 1s --token-file %s",
             path);
    (void)meshctl(line);
    assert_in(err, "the token goes to http://mesh.invalid:1 unencrypted");
    ck_assert_ptr_null(strstr(err, "s3cr3t"));
    fake_answers("GET", "/v1/nodes", 200, NODES);
    snprintf(line, sizeof line, "nodes --token-file %s", path);
    ck_assert_int_eq(meshctl(line), 0);
    ck_assert_ptr_null(strstr(fake_heard(), "s3cr3t"));
    unlink(path);
    ck_assert_int_eq(
        meshctl_with((struct ctl){.server = "http://127.0.0.1:1", .token_file = path}, "nodes"),
        CTL_USAGE);
}
END_TEST

START_TEST(a_named_socket_is_stronger_than_a_server_of_the_environment)
{
    char line[256];

    fake_answers("GET", "/v1/nodes", 200, NODES);
    snprintf(line, sizeof line, "nodes --socket %s", fake_socket());
    ck_assert_int_eq(meshctl_with((struct ctl){.server = "http://127.0.0.1:1"}, line), 0);
}
END_TEST

/* ---- doctor ---- */

START_TEST(doctor_finds_what_is_wrong_here_and_there)
{
    char path[128];

    fake_answers("GET", "/v1/version", 200, "{\"node\":\"" MN_VERSION "\"}");
    fake_answers("GET", "/v1/status", 200, "{\"node\":{\"http\":\"127.0.0.1:1\"}}");
    fake_answers("GET", "/v1/check", 200, "{" MESH "," FINDINGS("warning") "}");
    ck_assert_int_eq(meshctl("doctor"), 0);
    assert_in(out, "ok       admin socket ");
    assert_in(out, "ok       the node answers\n");
    assert_in(out, "warning  clients cannot reach http://127.0.0.1:1: ");
    assert_in(out, "warning  it is so\n         next: do b\n");
    ck_assert_ptr_null(strstr(out, "only told"));
    ck_assert_int_eq(chmod(fake_socket(), 0666), 0);
    snprintf(path, sizeof path, "%s/identity.key", fake_data());
    fclose(fopen(path, "w"));
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(meshctl("doctor --json"), 0);
    assert_in(out, "{\"api\":\"meshctl/v1\",\"kind\":\"Check\",\"level\":\"warning\",");
    assert_in(out, "\"code\":\"open_socket\"");
    assert_in(out, "\"code\":\"open_file\"");
    assert_in(out, "\"code\":\"disk\"");
    unlink(path);
}
END_TEST

START_TEST(doctor_fails_without_a_node)
{
    ck_assert_int_eq(meshctl("doctor --socket /nowhere/admin.sock"), CTL_FAILED);
    assert_out("critical there is no admin socket at /nowhere/admin.sock\n"
               "         next: start the node (`meshnode`), or name its directory: meshctl --data "
               "DIR doctor\n");
    fake_answers("GET", "/v1/version", 0, "");
    ck_assert_int_eq(meshctl("doctor"), CTL_FAILED);
    assert_in(out, "critical no node answers at ");
}
END_TEST

static void add_tables(Suite *suite)
{
    TCase *tcase = tcase_create("tables");

    tcase_add_checked_fixture(tcase, fake_begin, fake_end);
    tcase_add_test(tcase, a_table_lines_up_and_shows_no_control_characters);
    tcase_add_test(tcase, wide_shows_more_and_quiet_no_header);
    tcase_add_test(tcase, plain_is_for_programs);
    tcase_add_test(tcase, a_view_that_cannot_be_read_says_why);
    tcase_add_test(tcase, json_is_what_the_node_said);
    tcase_add_test(tcase, states_have_colours_where_there_are_any);
    tcase_add_test(tcase, an_empty_list_has_its_header);
    tcase_add_test(tcase, what_is_missing_is_told_and_the_rest_printed);
    tcase_add_test(tcase, columns_stay);
    tcase_add_test(tcase, statuses_of_http_are_exit_codes);
    tcase_add_test(tcase, answers_that_are_none_are_told);
    tcase_add_test(tcase, no_node_is_three_and_json_says_so);
    tcase_add_test(tcase, a_path_too_long_for_a_socket_says_so);
    suite_add_tcase(suite, tcase);
}

static void add_commands(Suite *suite)
{
    TCase *tcase = tcase_create("commands");

    tcase_add_checked_fixture(tcase, fake_begin, fake_end);
    tcase_add_test(tcase, names_are_encoded_in_paths);
    tcase_add_test(tcase, servers_add_sends_what_a_file_would_have);
    tcase_add_test(tcase, servers_add_takes_headers_also_from_files);
    tcase_add_test(tcase, servers_are_restarted_and_removed);
    tcase_add_test(tcase, a_token_is_the_only_output);
    tcase_add_test(tcase, tools_found_by_none_are_not_found);
    tcase_add_test(tcase, a_tool_is_shown_with_its_arguments);
    tcase_add_test(tcase, a_route_is_explained);
    tcase_add_test(tcase, a_tool_that_is_held_back_has_no_winner);
    tcase_add_test(tcase, a_tool_that_some_are_not_shown_says_so);
    tcase_add_test(tcase, status_is_one_screen);
    tcase_add_test(tcase, check_speaks_to_monitors);
    tcase_add_test(tcase, a_group_without_a_quorum_is_critical);
    tcase_add_test(tcase, a_file_that_is_no_decision_is_not_shown);
    tcase_add_test(tcase, who_gets_no_quorum_hears_what_to_do);
    tcase_add_test(tcase, a_number_may_be_less_than_none);
    tcase_add_test(tcase, a_node_that_does_not_answer_is_critical_and_one_that_refuses_unknown);
    tcase_add_test(tcase, version_needs_no_node);
    tcase_add_test(tcase, waiting_ends_when_the_mesh_is_there);
    tcase_add_test(tcase, waiting_in_vain_says_what_was_missing);
    tcase_add_test(tcase, events_come_line_by_line);
    tcase_add_test(tcase, following_asks_for_more_and_tells_when_it_is_cut);
    tcase_add_test(tcase, a_log_that_is_none_is_told_in_the_nodes_words);
    tcase_add_test(tcase, client_prints_what_to_paste_and_nothing_else);
    tcase_add_test(tcase, doctor_finds_what_is_wrong_here_and_there);
    tcase_add_test(tcase, doctor_fails_without_a_node);
    suite_add_tcase(suite, tcase);
}

static void add_calls(Suite *suite)
{
    TCase *tcase = tcase_create("calls");

    tcase_add_checked_fixture(tcase, fake_begin, fake_end);
    tcase_add_test(tcase, a_call_is_one_stateless_request);
    tcase_add_test(tcase, progress_is_told_beside_the_result);
    tcase_add_test(tcase, an_error_of_the_tool_is_one_and_its_result_printed);
    tcase_add_test(tcase, errors_of_the_mesh_have_their_exit_codes);
    tcase_add_test(tcase, arguments_in_headers_are_avoided_by_a_session);
    tcase_add_test(tcase, a_node_that_is_named_serves_under_its_own_name);
    tcase_add_test(tcase, a_secret_comes_from_a_file_and_goes_to_servers_only);
    tcase_add_test(tcase, a_named_socket_is_stronger_than_a_server_of_the_environment);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("ctl_node");

    add_tables(suite);
    add_commands(suite);
    add_calls(suite);
    return suite_run(suite);
}
