/* The command line, and what is made from its table. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/ctl/ctl_world.h"
#include "tests/suite.h"

static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* ---- values ---- */

START_TEST(durations_have_a_unit)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0s", 0},       {"1500ms", 1500},
                {"5s", 5000},    {"2m", 120000},
                {"1h", 3600000}, {"7d", 604800000},
                {"007s", 7000},  {"18446744073709551ms", 18446744073709551}};
    static const char *const bad[] = {
        "", "5", "s", "-5s", "5 s", "5sec", "1.5s", "5S", "99999999999999999999s", "213503982335d"};
    uint64_t ms;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(ctl_parse_duration(good[i].text, &ms), "%s", good[i].text);
        ck_assert_uint_eq(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!ctl_parse_duration(bad[i], &ms), "%s", bad[i]);
}
END_TEST

START_TEST(numbers_are_digits_within_bounds)
{
    uint64_t number;

    ck_assert(ctl_parse_number("10", 1, 10, &number) && number == 10);
    ck_assert(!ctl_parse_number("0", 1, 10, &number));
    ck_assert(!ctl_parse_number("11", 1, 10, &number));
    ck_assert(!ctl_parse_number("5x", 1, 10, &number));
    ck_assert(!ctl_parse_number("", 0, 10, &number));
    ck_assert(!ctl_parse_number("+5", 0, 10, &number));
    ck_assert(!ctl_parse_number("18446744073709551616", 0, UINT64_MAX, &number));
}
END_TEST

/* ---- lines ---- */

START_TEST(wrong_lines_say_what_is_right)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"nonsense", "there is no command nonsense"},
        {"nodes foo",
         "there is no nodes foo, only: ls, show, revoke, remove, wait, pending, approve, deny"},
        {"token", "token what? one of: create, ls, revoke"},
        {"route", "route what? one of: explain"},
        {"nodes show", "it goes: meshctl nodes show ID|NAME"},
        {"nodes show a b", "it goes: meshctl nodes show ID|NAME"},
        {"status x", "it goes: meshctl status"},
        {"status --bogus", "status has no option --bogus"},
        {"nodes --count 3", "nodes has no option --count"},
        {"nodes wait --count", "--count needs a value: N"},
        {"nodes wait --ready=yes", "--ready takes no value"},
        {"nodes wait --count 0", "--count 0: a number from 1"},
        {"nodes wait --count three", "--count three: a number from 1"},
        {"nodes --timeout 5", "--timeout 5: not a time"},
        {"nodes --timeout 2d", "--timeout 2d: not a time"},
        {"nodes -o xml", "-o xml: one of table, wide, json, jsonl, plain"},
        {"nodes -f", "nodes cannot be followed"},
        {"call x -w", "call cannot be watched"},
        {"nodes --server localhost:7080", "--server localhost:7080: not a URL"},
        {"nodes -- x", "it goes: meshctl nodes\n"},
        {"nodes ls extra", "it goes: meshctl nodes ls\n"},
        {"consensus log extra", "it goes: meshctl consensus log\n"},
        {"consensus foo",
         "there is no consensus foo, only: propose, vote, policy, show, evidence, log, status, "
         "weights, voters, transfer, verify, recover"},
        {"consensus weights foo", "there is no consensus weights foo, only: auto, set"},
        {"state lease", "state lease what? one of: grant, keepalive, ls, revoke"},
        {"state lease foo", "there is no state lease foo, only: grant, keepalive, ls, revoke"},
        {"state put k \xff\xfe", "an argument of state put is no UTF-8 text"},
        {"state ls --after \xc3", "an argument of state ls is no UTF-8 text"},
        {"servers add x -- y \xff", "an argument of servers add is no UTF-8 text"},
        {"state incr k -", "-: a whole number is needed"},
        {"state incr k -5x", "-5x: a whole number is needed"},
        {"token create --uses many", "--uses many: a number from 0"},
        {"token create --ttl soon", "--ttl soon: not a time"},
        {"servers add x", "give a command after `--`, or --url, not both"},
        {"servers add x --url http://x -- y", "give a command after `--`, or --url, not both"},
        {"servers add x --", "give a command after `--`, or --url, not both"},
        {"servers add x --env A -- y", "--env A: not K=V"},
        {"servers add x --env =A -- y", "--env =A: not K=V"},
        {"servers add x --url http://x --env A=b", "--env is for commands, not for URLs"},
        {"servers add x --header A:b -- y", "--header is for URLs, not for commands"},
        {"servers add x --url http://x --header hidden", "--header: not NAME: VALUE"},
        {"servers add x --url http://x --header :b", "--header: not NAME: VALUE"},
        {"servers add x --url http://x --header A:", "--header: not NAME: VALUE"},
        {"servers add x --url http://x --header A:@/nowhere",
         "--header A: /nowhere: No such file or directory"},
        {"servers add x --url http://x --header A:@/dev/null",
         "--header A: /dev/null: it should be one line"},
        {"servers add x --url http://x --header A:@/", "--header A: /: Is a directory"},
        {"call x [1]", "the arguments are no JSON object"},
        {"client emacs", "no such client emacs"},
        {"completion tcsh", "no completion for tcsh"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(meshctl(cases[i].line) == CTL_USAGE, "%s", cases[i].line);
        assert_out("");
        ck_assert_msg(strncmp(err, "meshctl: ", 9) == 0, "%s", err);
        assert_in(err, cases[i].says);
        assert_in(err, "\n  try: ");
    }
}
END_TEST

/* Not all there is to know, which would hide what is wrong. */
START_TEST(options_alone_are_an_error_of_one_line)
{
    static const char *const cases[][2] = {{"--data /", "a command is missing"},
                                           {"--socket nodes", "a command is missing"},
                                           {"-q --data", "a command is missing"},
                                           {"--colour", "there is no option --colour"},
                                           {"-q -z --data /", "there is no option -z"}};

    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(meshctl_with((struct ctl){0}, cases[i][0]), CTL_USAGE);
        assert_out("");
        assert_in(err, cases[i][1]);
        assert_in(err, "try: meshctl --help");
        ck_assert_ptr_null(strstr(err, "commands:"));
    }
}
END_TEST

START_TEST(nothing_is_help_and_an_error)
{
    ck_assert_int_eq(meshctl_with((struct ctl){.data = "/"}, ""), CTL_USAGE);
    assert_out("");
    assert_in(err, "usage: meshctl");
}
END_TEST

START_TEST(errors_of_the_line_are_json_wherever_json_stands)
{
    static const char *const lines[] = {"--json nodes foo", "nodes foo --json", "nodes -o json foo",
                                        "nodes foo -o jsonl"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        ck_assert_int_eq(meshctl(lines[i]), CTL_USAGE);
        assert_err("{\"error\":{\"code\":\"usage\",\"message\":\"there is no nodes foo, only: ls, "
                   "show, revoke, remove, wait, pending, approve, deny\",\"hint\":\"meshctl nodes "
                   "--help\",\"retryable\":false}}\n");
    }
}
END_TEST

START_TEST(global_options_stand_anywhere)
{
    static const char *const lines[] = {"--socket S nodes show n1", "nodes --socket S show n1",
                                        "nodes show --socket=S n1", "nodes show n1 --socket S"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        ck_assert_int_eq(meshctl(lines[i]), CTL_UNREACHABLE);
        assert_in(err, "no node answers at S\n");
    }
}
END_TEST

START_TEST(a_check_that_is_misspelt_is_unknown_to_monitors)
{
    ck_assert_int_eq(meshctl("check disk"), 3);
    ck_assert_int_eq(meshctl("check"), 3);
    ck_assert_int_eq(meshctl("check mesh --bogus"), 3);
}
END_TEST

START_TEST(the_version_is_ours)
{
    ck_assert_int_eq(meshctl("--version"), 0);
    assert_out("meshctl (meshnode) " MN_VERSION "\n");
    ck_assert_int_eq(meshctl("nodes -V"), 0);
    assert_out("meshctl (meshnode) " MN_VERSION "\n");
}
END_TEST

/* ---- what comes from the table ---- */

START_TEST(help_names_every_command_and_option)
{
    ck_assert_int_eq(meshctl("--help"), 0);
    assert_err("");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        assert_in(out, command->words);
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        assert_in(out, option->name);
}
END_TEST

START_TEST(help_of_a_group_names_its_commands)
{
    static const char *const lines[] = {"nodes --help", "-h nodes", "help nodes"};

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(meshctl(lines[i]), 0);
        assert_in(out, "usage: meshctl nodes\n");
        assert_in(out, "meshctl nodes wait\n");
        assert_in(out, "--count N");
        ck_assert_ptr_null(strstr(out, "servers"));
    }
    ck_assert_int_eq(meshctl("token --help"), 0);
    assert_in(out, "meshctl token create");
    ck_assert_int_eq(meshctl("servers add --help"), 0);
    assert_in(out, "--replica");
    ck_assert_ptr_null(strstr(out, "servers rm"));
}
END_TEST

START_TEST(the_manual_names_every_command_and_option)
{
    ck_assert_int_eq(meshctl("--help-man"), 0);
    ck_assert_int_eq(strncmp(out, ".TH MESHCTL 1 ", 14), 0);
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        assert_in(out, command->words);
        for (const struct ctl_option *option = command->options; option->name != NULL; option++)
            assert_in(out, option->name);
    }
}
END_TEST

/* Scripts are longer than what check may say of a failure. */
#define assert_script_has(part) \
    ck_assert_msg(strstr(out, part) != NULL, "the script lacks %s", part)

START_TEST(completion_knows_every_command_and_option)
{
    static const char *const shells[] = {"completion bash", "completion zsh", "completion fish"};

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(meshctl(shells[i]), 0);
        for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
            const char *blank = strrchr(command->words, ' ');
            assert_script_has(blank == NULL ? command->words : blank + 1);
            for (const struct ctl_option *option = command->options; option->name != NULL; option++)
                assert_script_has(option->name + 2);
        }
        for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
            assert_script_has(option->name + 2);
        assert_script_has("claude-code cursor vscode json");
    }
}
END_TEST

/* What a shell offers for the last word of a line, as the script says. */
START_TEST(a_shell_completes_word_by_word)
{
    static const struct {
        const char *line, *offers;
    } cases[] = {{"sta", "status state"},
                 {"check ''", "node mesh consensus"},
                 {"consensus weights ''", "auto set"},
                 {"consensus weights auto ''", "on off"},
                 {"--json state lease ''", "grant keepalive ls revoke"},
                 {"state l", "ls lease"},
                 {"nodes show ''", ""},
                 {"--data /tmp check ''", "node mesh consensus"},
                 {"-o json state --timeout 5s l", "ls lease"},
                 {"nodes wait --count 3 --rea", "--ready"},
                 {"nodes --data ''", ""},
                 /* as bash takes --data=/tmp and URLs apart */
                 {"--data = /tmp check ''", "node mesh consensus"},
                 {"--data = ''", ""},
                 {"--server http : //h : 70 check ''", "node mesh consensus"},
                 {"--server http : ''", ""},
                 {"consensus propose topic --b", "--byzantine"},
                 {"nodes wait --rea", "--ready"},
                 {"consensus l", "log"}};
    char command[1024], script[256], said[256];

    snprintf(script, sizeof script, "%s/completion", fake_data());
    ck_assert_int_eq(meshctl("completion bash"), 0);
    file_write(script, out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *shell;
        snprintf(command, sizeof command,
                 "bash -c '. %s; COMP_WORDS=(meshctl \"$@\"); COMP_CWORD=$#; _meshctl; "
                 "echo \"${COMPREPLY[*]}\"' bash %s",
                 script, cases[i].line);
        shell = popen(command, "r");
        ck_assert_ptr_nonnull(shell);
        ck_assert_ptr_nonnull(fgets(said, sizeof said, shell));
        ck_assert_int_eq(pclose(shell), 0);
        said[strcspn(said, "\n")] = '\0';
        ck_assert_str_eq(said, cases[i].offers);
    }
    unlink(script);
}
END_TEST

/* ---- the table itself ---- */

START_TEST(commands_of_one_first_word_stand_together)
{
    for (const struct ctl_command *a = ctl_commands; a->words != NULL; a++) {
        size_t size = strcspn(a->words, " ") + 1;
        bool has_left = false;
        for (const struct ctl_command *b = a + 1; b->words != NULL; b++) {
            bool is_same =
                strncmp(a->words, b->words, size - 1) == 0 && strcspn(b->words, " ") == size - 1;
            ck_assert_msg(!is_same || !has_left, "%s and %s", a->words, b->words);
            has_left = has_left || !is_same;
        }
    }
}
END_TEST

START_TEST(an_option_takes_a_value_everywhere_or_nowhere)
{
    for (const struct ctl_command *a = ctl_commands; a->words != NULL; a++)
        for (const struct ctl_option *own = a->options; own->name != NULL; own++) {
            for (const struct ctl_option *all = ctl_global_options; all->name != NULL; all++)
                ck_assert_str_ne(own->name, all->name);
            for (const struct ctl_command *b = ctl_commands; b->words != NULL; b++)
                for (const struct ctl_option *other = b->options; other->name != NULL; other++)
                    if (strcmp(own->name, other->name) == 0)
                        ck_assert((own->value == NULL) == (other->value == NULL));
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_parse");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, fake_begin, fake_end);
    tcase_add_test(all, durations_have_a_unit);
    tcase_add_test(all, numbers_are_digits_within_bounds);
    tcase_add_test(all, wrong_lines_say_what_is_right);
    tcase_add_test(all, nothing_is_help_and_an_error);
    tcase_add_test(all, options_alone_are_an_error_of_one_line);
    tcase_add_test(all, errors_of_the_line_are_json_wherever_json_stands);
    tcase_add_test(all, global_options_stand_anywhere);
    tcase_add_test(all, a_check_that_is_misspelt_is_unknown_to_monitors);
    tcase_add_test(all, the_version_is_ours);
    tcase_add_test(all, help_names_every_command_and_option);
    tcase_add_test(all, help_of_a_group_names_its_commands);
    tcase_add_test(all, the_manual_names_every_command_and_option);
    tcase_add_test(all, completion_knows_every_command_and_option);
    tcase_add_test(all, a_shell_completes_word_by_word);
    tcase_add_test(all, commands_of_one_first_word_stand_together);
    tcase_add_test(all, an_option_takes_a_value_everywhere_or_nowhere);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
