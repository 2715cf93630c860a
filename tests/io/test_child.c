/* Child processes: what goes in and out, how they end, and that nothing is left of them. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/child.h"
#include "tests/io/world.h"
#include "tests/suite.h"

static struct world world;
static struct child *child;
static uint64_t next_id;

static void carry_out(void *wrapper, const struct edge_output *output)
{
    child_do(wrapper, output);
}

static void set_up(void)
{
    struct child_config config;
    child_config_default(&config);
    config.term_delay = 100 * MN_MS;
    config.kill_delay = 3 * MN_SEC; /* a loaded machine must not turn a TERM into a KILL */
    world_init(&world);
    child = child_new(world.io, &config);
    world.wrapper = child;
    world.carry_out = carry_out;
    next_id = 2;
}

static void tear_down(void)
{
    child_close(child);
    world_done(&world);
}

#define ARGUMENTS_MAX 8

static uint64_t start_with(const char *const *argv, const struct edge_header *env,
                           uint32_t env_count, const char *cwd)
{
    struct mn_span spans[ARGUMENTS_MAX];
    struct edge_child what = {.argv = spans, .env = env, .env_count = env_count};
    what.cwd = mn_span_str(cwd);
    for (; argv[what.argv_count] != NULL; what.argv_count++)
        spans[what.argv_count] = mn_span_str(argv[what.argv_count]);
    uint64_t id = next_id;
    next_id += 2;
    world_do(&world,
             &(struct edge_output){.type = EDGE_OUT_CHILD_START, .id = id, .child_start = &what});
    return id;
}

static uint64_t start_shell(const char *script)
{
    return start_with((const char *const[]){"sh", "-c", script, NULL}, NULL, 0, NULL);
}

static const struct edge_input *wait_exit(uint64_t id)
{
    return world_wait(&world, EDGE_IN_CHILD_EXIT, id, 1);
}

static const char *out(uint64_t id)
{
    return world_text(&world, EDGE_IN_CHILD_OUT, id, 1);
}

static const char *err(uint64_t id)
{
    return world_text(&world, EDGE_IN_CHILD_OUT, id, 2);
}

/* Processes whose environment carries [mark]; our own way to see what is left, zombies excepted. */
static int count_marked(const char *mark)
{
    int count = 0;
    DIR *all = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        char path[300], text[65536];
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
        FILE *file = fopen(path, "rb");
        size_t size = file == NULL ? 0 : fread(text, 1, sizeof text, file);
        if (file != NULL) fclose(file);
        count += memmem(text, size, mark, strlen(mark)) != NULL;
    }
    closedir(all);
    return count;
}

static int count_zombies(void)
{
    char command[128];
    snprintf(command, sizeof command, "ps -o stat= --ppid %d | grep -c Z", (int)getpid());
    FILE *pipe = popen(command, "r");
    int count = -1;
    ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static bool is_mark_gone(struct world *w, void *mark)
{
    (void)w;
    return count_marked(mark) == 0;
}

static bool is_mark_there(struct world *w, void *mark)
{
    (void)w;
    return count_marked(mark) >= 2; /* the helper, and the program or what it became */
}

START_TEST(echo_comes_back)
{
    uint64_t id = start_with((const char *const[]){"cat", NULL}, NULL, 0, NULL);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "one\n", false);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "two\n", false);
    world_wait(&world, EDGE_IN_CHILD_OUT, id, 1);
    ck_assert_str_eq(out(id), "one\ntwo\n");
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, id, false); /* the end of stdin is enough for it */
    const struct edge_input *exit = wait_exit(id);
    ck_assert_uint_eq(exit->code, 0);
    ck_assert_int_eq(exit->status, MN_OK);
    ck_assert_int_eq(count_zombies(), 0);
}
END_TEST

START_TEST(exit_code_and_signal_are_told_apart_from_start_failure)
{
    uint64_t three = start_shell("exit 3"), killed = start_shell("kill -9 $$");
    uint64_t missing = start_shell("exit 127");
    ck_assert_uint_eq(wait_exit(three)->code, 3);
    ck_assert_uint_eq(wait_exit(killed)->code, 128 + SIGKILL);
    ck_assert_uint_eq(wait_exit(missing)->code, 127);
    ck_assert_int_eq(wait_exit(missing)->status, MN_OK);
}
END_TEST

START_TEST(what_cannot_start_says_why)
{
    uint64_t unknown = start_with((const char *const[]){"no-such-tool", "x", NULL}, NULL, 0, NULL);
    uint64_t folder = start_with((const char *const[]){"/tmp", NULL}, NULL, 0, NULL);
    uint64_t lost = start_with((const char *const[]){"true", NULL}, NULL, 0, "/no/such/folder");
    const struct edge_input *exit = wait_exit(unknown);
    ck_assert_int_eq(exit->status, MN_IO);
    ck_assert_uint_eq(exit->code, 127);
    ck_assert(mn_span_is(exit->text, "command not found: no-such-tool"));
    exit = wait_exit(folder);
    ck_assert_int_eq(exit->status, MN_IO);
    ck_assert_uint_eq(exit->code, 126);
    ck_assert(mn_span_is(exit->text, "/tmp: Permission denied"));
    exit = wait_exit(lost);
    ck_assert_int_eq(exit->status, MN_IO);
    ck_assert(mn_span_is(exit->text, "/no/such/folder: No such file or directory"));
}
END_TEST

START_TEST(missing_helper_is_an_error_not_a_crash)
{
    struct child_config config;
    child_close(child);
    child_config_default(&config);
    config.helper = "/no/such/meshnode-child";
    child = child_new(world.io, &config);
    world.wrapper = child;
    const struct edge_input *exit = wait_exit(start_shell("true"));
    ck_assert_int_eq(exit->status, MN_IO);
    ck_assert(mn_span_is(exit->text, "/no/such/meshnode-child: no such file or directory"));
}
END_TEST

START_TEST(both_outputs_are_complete_before_exit)
{
    uint64_t id = start_shell("head -c 300000 /dev/zero | tr '\\0' a; echo oops > /dev/stderr");
    wait_exit(id);
    ck_assert_uint_eq(strlen(out(id)), 300000);
    ck_assert_str_eq(err(id), "oops\n");
    ck_assert_int_eq(world.seen[world.seen_count - 1]->input.type, EDGE_IN_CHILD_EXIT);
}
END_TEST

START_TEST(environment_is_small_and_given_values_win)
{
    const struct edge_header env[] = {{mn_span_str("KEY"), mn_span_str("a value")},
                                      {mn_span_str("LANG"), mn_span_str("xx")}};
    setenv("MESHNODE_SECRET", "hidden", 1);
    setenv("LANG", "C", 1);
    uint64_t id = start_with((const char *const[]){"env", NULL}, env, 2, NULL);
    wait_exit(id);
    ck_assert_ptr_nonnull(strstr(out(id), "KEY=a value\n"));
    ck_assert_ptr_nonnull(strstr(out(id), "LANG=xx\n"));
    ck_assert_ptr_nonnull(strstr(out(id), "PATH="));
    ck_assert_ptr_null(strstr(out(id), "LANG=C\n"));
    ck_assert_ptr_null(strstr(out(id), "hidden"));
}
END_TEST

START_TEST(no_descriptor_and_no_blocked_signal_is_inherited)
{
    int leaked = dup(1); /* not close-on-exec */
    ck_assert_int_gt(leaked, 2);
    uint64_t id = start_shell("ls /proc/self/fd; grep SigBlk /proc/self/status;"
                              "grep SigIgn /proc/self/status");
    wait_exit(id);
    ck_assert_str_eq(out(id), "0\n1\n2\n3\n" /* 3: ls reads the folder */
                              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    close(leaked);
}
END_TEST

START_TEST(cwd_is_taken)
{
    uint64_t id = start_with((const char *const[]){"pwd", NULL}, NULL, 0, "/usr/bin/..");
    wait_exit(id);
    ck_assert_str_eq(out(id), "/usr\n");
}
END_TEST

START_TEST(stop_closes_stdin_then_terms_then_kills)
{
    uint64_t polite = start_shell("trap 'echo term; exit 7' TERM; echo ready; "
                                  "while :; do sleep 0.01; done");
    uint64_t stubborn = start_shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    world_wait(&world, EDGE_IN_CHILD_OUT, polite, 1);
    world_wait(&world, EDGE_IN_CHILD_OUT, stubborn, 1);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, polite, false);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, stubborn, false);
    ck_assert_uint_eq(wait_exit(polite)->code, 7);
    ck_assert_str_eq(out(polite), "ready\nterm\n");
    ck_assert_uint_eq(wait_exit(stubborn)->code, 128 + SIGKILL);
}
END_TEST

START_TEST(stop_lets_queued_input_out_first)
{
    uint64_t id = start_with((const char *const[]){"wc", "-c", NULL}, NULL, 0, NULL);
    world_do_bytes(&world, EDGE_OUT_CHILD_WRITE, id, 500000, false);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, id, false);
    wait_exit(id);
    ck_assert_str_eq(out(id), "500000\n");
}
END_TEST

/* sh -> sh -> sleep, one in a session of its own, one whose parent is gone: none is left. */
START_TEST(grandchildren_end_with_their_parent)
{
    const struct edge_header env = {mn_span_str("MARK"), mn_span_str("grandchildren-end")};
    const char *const argv[] = {"sh", "-c",
                                "setsid sh -c 'sleep 1000 & sleep 1000' & (sh -c 'sleep 1000' &) ; "
                                "sh -c 'sleep 1000; true' & echo ready; read line",
                                NULL};
    uint64_t id = start_with(argv, &env, 1, NULL);
    world_wait(&world, EDGE_IN_CHILD_OUT, id, 1);
    ck_assert_int_ge(count_marked("grandchildren-end"), 4);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "go\n", false);
    ck_assert_uint_eq(wait_exit(id)->code, 0);
    ck_assert_int_eq(count_marked("grandchildren-end"), 0);
    ck_assert_int_eq(count_zombies(), 0);
}
END_TEST

/* A process of its own has the wrapper and is killed without a chance to say goodbye. */
START_TEST(death_of_the_node_leaves_nothing)
{
    pid_t node = fork();
    if (node == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        set_up(); /* a loop of its own: the one of the parent is not to be used after a fork */
        const struct edge_header env = {mn_span_str("MARK"), mn_span_str("death-of-the-node")};
        const char *const argv[] = {
            "sh", "-c", "trap '' TERM HUP; setsid sleep 1000 & sh -c 'sleep 1000'; true", NULL};
        start_with(argv, &env, 1, NULL);
        for (;;)
            uv_run(io_uv(world.io), UV_RUN_DEFAULT);
    }
    char mark[] = "death-of-the-node";
    world_run(&world, is_mark_there, mark);
    kill(node, SIGKILL);
    waitpid(node, NULL, 0);
    world_run(&world, is_mark_gone, mark);
}
END_TEST

START_TEST(closing_the_wrapper_leaves_nothing)
{
    const struct edge_header env = {mn_span_str("MARK"), mn_span_str("closing-the-wrapper")};
    char mark[] = "closing-the-wrapper";
    start_with((const char *const[]){"sh", "-c", "trap '' TERM; sleep 1000; true", NULL}, &env, 1,
               NULL);
    world_run(&world, is_mark_there, mark);
    tear_down();
    set_up();
    world_run(&world, is_mark_gone, mark);
}
END_TEST

START_TEST(babbling_child_waits_while_paused)
{
    uint64_t id = start_with((const char *const[]){"yes", NULL}, NULL, 0, NULL);
    world_wait(&world, EDGE_IN_CHILD_OUT, id, 1);
    world_do_flag(&world, EDGE_OUT_CHILD_PAUSE, id, true);
    uint32_t count = world_count(&world, EDGE_IN_CHILD_OUT, id);
    world_idle(&world, 100);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_CHILD_OUT, id), count);
    world_do_flag(&world, EDGE_OUT_CHILD_PAUSE, id, false);
    world_wait(&world, EDGE_IN_CHILD_OUT, id, count + 1);
    world_do_flag(&world, EDGE_OUT_CHILD_PAUSE, id, true);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, id, false); /* TERM ends it, paused or not */
    ck_assert_uint_eq(wait_exit(id)->code, 128 + SIGTERM);
}
END_TEST

START_TEST(paused_output_of_an_ended_child_is_kept)
{
    uint64_t id = start_shell("echo first; read line; echo second");
    world_wait(&world, EDGE_IN_CHILD_OUT, id, 1);
    world_do_flag(&world, EDGE_OUT_CHILD_PAUSE, id, true);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "go\n", false);
    world_idle(&world, 100);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_CHILD_EXIT, id), 0);
    world_do_flag(&world, EDGE_OUT_CHILD_PAUSE, id, false);
    wait_exit(id);
    ck_assert_str_eq(out(id), "first\nsecond\n");
}
END_TEST

START_TEST(full_stdin_is_told_of_when_it_drains)
{
    uint64_t id = start_shell("read line; cat > /dev/null");
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "x", false);
    for (int i = 0; i < 8; i++)
        world_do_bytes(&world, EDGE_OUT_CHILD_WRITE, id, 100000, false);
    world_idle(&world, 50);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_CHILD_WRITABLE, id), 0);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "\n", false);
    world_wait(&world, EDGE_IN_CHILD_WRITABLE, id, 1);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, id, false);
    wait_exit(id); /* by itself, or by TERM where the machine is slow */
    ck_assert_uint_eq(world_count(&world, EDGE_IN_CHILD_WRITABLE, id), 1);
}
END_TEST

START_TEST(overfull_stdin_kills)
{
    uint64_t id = start_with((const char *const[]){"sleep", "1000", NULL}, NULL, 0, NULL);
    for (int i = 0; i < 5; i++)
        world_do_bytes(&world, EDGE_OUT_CHILD_WRITE, id, CHILD_QUEUE_MAX / 4, false);
    ck_assert_uint_eq(wait_exit(id)->code, 128 + SIGKILL);
}
END_TEST

START_TEST(writing_to_a_closed_stdin_is_harmless)
{
    uint64_t id = start_shell("exec <&-; echo closed; sleep 0.1");
    world_wait(&world, EDGE_IN_CHILD_OUT, id, 1);
    for (int i = 0; i < 3; i++) {
        world_do_bytes(&world, EDGE_OUT_CHILD_WRITE, id, 100000, false);
        world_idle(&world, 5);
    }
    ck_assert_uint_eq(wait_exit(id)->code, 0);
    world_do_buf(&world, EDGE_OUT_CHILD_WRITE, id, "late", false);
    world_do_flag(&world, EDGE_OUT_CHILD_STOP, id, false);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_CHILD_EXIT, id), 1);
}
END_TEST

START_TEST(many_children_come_and_go_without_a_trace)
{
    uint64_t first = next_id;
    for (int i = 0; i < 100; i++)
        start_shell("sleep 1000 & exit 5");
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(wait_exit(first + 2 * (uint64_t)i)->code, 5);
    ck_assert_int_eq(count_zombies(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("child");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, echo_comes_back);
    tcase_add_test(all, exit_code_and_signal_are_told_apart_from_start_failure);
    tcase_add_test(all, what_cannot_start_says_why);
    tcase_add_test(all, missing_helper_is_an_error_not_a_crash);
    tcase_add_test(all, both_outputs_are_complete_before_exit);
    tcase_add_test(all, environment_is_small_and_given_values_win);
    tcase_add_test(all, no_descriptor_and_no_blocked_signal_is_inherited);
    tcase_add_test(all, cwd_is_taken);
    tcase_add_test(all, stop_closes_stdin_then_terms_then_kills);
    tcase_add_test(all, stop_lets_queued_input_out_first);
    tcase_add_test(all, grandchildren_end_with_their_parent);
    tcase_add_test(all, death_of_the_node_leaves_nothing);
    tcase_add_test(all, closing_the_wrapper_leaves_nothing);
    tcase_add_test(all, babbling_child_waits_while_paused);
    tcase_add_test(all, paused_output_of_an_ended_child_is_kept);
    tcase_add_test(all, full_stdin_is_told_of_when_it_drains);
    tcase_add_test(all, overfull_stdin_kills);
    tcase_add_test(all, writing_to_a_closed_stdin_is_harmless);
    tcase_add_test(all, many_children_come_and_go_without_a_trace);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
