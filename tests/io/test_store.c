/* What DURABLE says is there after kill -9; what is damaged or in use is said. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/store.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define WRITES_MAX 100000
#define TEST_LIMIT_MS 30000

struct world {
    struct io *io;
    struct store *store;
    uv_timer_t limit;
    uint64_t writes_count, durable;
    uint32_t recovered_count;
    bool is_recovered, has_failed;
    enum store_failure failure;
    char failure_text[1024];
    char last_key[64], values[8][64];
    int report; /* pipe: each durable number is written to it; -1: none */
    uint64_t writes_max;
    uint32_t writes_per_turn;
};

static char directory[64];

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/meshnode-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    ck_assert_int_eq(system(command), 0);
}

static struct mn_span value_of(uint64_t number, char text[64])
{
    snprintf(text, 64, "value of %llu", (unsigned long long)number);
    return mn_span_str(text);
}

static void write_some(struct world *world, struct edge_outbox *outbox)
{
    char key[32], value[64];
    for (uint32_t i = 0; i < world->writes_per_turn; i++) {
        if (world->writes_count == world->writes_max) break;
        uint64_t number = ++world->writes_count;
        struct edge_output *output = edge_emit(outbox, EDGE_OUT_WRITE, number);
        snprintf(key, sizeof key, "key %08llu", (unsigned long long)number);
        output->key = mn_arena_copy(outbox->arena, mn_span_str(key));
        output->bytes = mn_arena_copy(outbox->arena, value_of(number, value));
    }
}

static void on_recover(struct world *world, const struct edge_input *input)
{
    char key[64];
    ck_assert(!world->is_recovered);
    snprintf(key, sizeof key, "%.*s", (int)input->key.size, (const char *)input->key.data);
    ck_assert_str_gt(key, world->last_key); /* in key order */
    memcpy(world->last_key, key, sizeof key);
    if (world->recovered_count < 8)
        snprintf(world->values[world->recovered_count], 64, "%.*s", (int)input->bytes.size,
                 (const char *)input->bytes.data);
    world->recovered_count++;
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    struct world *world = owner;
    (void)now;
    if (input->type == EDGE_IN_RECOVER) {
        on_recover(world, input);
    } else if (input->type == EDGE_IN_RECOVERED) {
        world->is_recovered = true;
        write_some(world, outbox);
    } else if (input->type == EDGE_IN_DURABLE) {
        ck_assert_uint_gt(input->id, world->durable);
        ck_assert_uint_le(input->id, world->writes_count);
        world->durable = input->id;
        if (world->report >= 0) ck_assert_int_eq(write(world->report, &world->durable, 8), 8);
        write_some(world, outbox);
    }
    if (world->is_recovered && world->durable == world->writes_max) io_stop(world->io);
}

static mn_time deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER;
}

static void carry_out(void *owner, const struct edge_output *output)
{
    store_do(((struct world *)owner)->store, output);
}

static void turn_end(void *owner)
{
    store_flush(((struct world *)owner)->store);
}

static void failed(void *owner, enum store_failure failure, const char *text)
{
    struct world *world = owner;
    ck_assert(!world->has_failed);
    world->has_failed = true;
    world->failure = failure;
    snprintf(world->failure_text, sizeof world->failure_text, "%s", text);
    io_stop(world->io);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    ck_abort_msg("the test takes too long");
}

static void world_open(struct world *world)
{
    const struct io_config config = {world, step, deadline, carry_out, NULL, turn_end};
    const struct store_config store_config = {directory, world, failed};
    *world = (struct world){.report = -1, .writes_per_turn = 10};
    world->io = io_new(&config);
    uv_timer_init(io_uv(world->io), &world->limit);
    uv_timer_start(&world->limit, on_limit, TEST_LIMIT_MS, 0);
    world->store = store_new(world->io, &store_config);
}

static void world_close(struct world *world)
{
    uv_close((uv_handle_t *)&world->limit, NULL);
    store_close(world->store);
    io_free(world->io);
}

START_TEST(a_new_store_is_empty_and_says_so)
{
    struct world world;
    world_open(&world);
    io_run(world.io);
    ck_assert(world.is_recovered);
    ck_assert_uint_eq(world.recovered_count, 0);
    world_close(&world);
}
END_TEST

START_TEST(what_was_written_comes_back_in_key_order)
{
    struct world world;
    world_open(&world);
    world.writes_max = 5000;
    world.writes_per_turn = 700;
    io_run(world.io);
    world_close(&world);
    world_open(&world);
    io_run(world.io);
    ck_assert_uint_eq(world.recovered_count, 5000);
    ck_assert_str_eq(world.values[0], "value of 1");
    ck_assert_str_eq(world.last_key, "key 00005000");
    world_close(&world);
}
END_TEST

static void put(struct world *world, uint64_t number, const char *key, const char *value)
{
    const struct edge_output output = {
        .type = EDGE_OUT_WRITE, .id = number, .key = mn_span_str(key), .bytes = mn_span_str(value)};
    store_do(world->store, &output);
}

START_TEST(deletes_empty_values_and_the_last_write_of_a_turn_win)
{
    struct world world;
    world_open(&world);
    put(&world, 1, "a", "1");
    put(&world, 2, "b", "1");
    put(&world, 3, "c", "");
    put(&world, 4, "a", NULL);
    put(&world, 5, "b", "2");
    world_close(&world); /* commits what was handed over */
    world_open(&world);
    io_run(world.io);
    ck_assert_uint_eq(world.recovered_count, 2);
    ck_assert_str_eq(world.values[0], "2");
    ck_assert_str_eq(world.values[1], "");
    ck_assert_str_eq(world.last_key, "c");
    world_close(&world);
}
END_TEST

static void serve_until_killed(int report)
{
    struct world world;
    world_open(&world);
    world.report = report;
    world.writes_max = WRITES_MAX;
    io_run(world.io);
    _exit(EXIT_SUCCESS);
}

/* The newest number that the child had called durable when it was killed. */
static uint64_t kill_after(uint32_t reports)
{
    int pipes[2];
    uint64_t durable = 0;
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) serve_until_killed(pipes[1]);
    close(pipes[1]);
    for (uint32_t i = 0; i < reports; i++)
        ck_assert_int_eq(read(pipes[0], &durable, 8), 8);
    kill(child, SIGKILL);
    while (read(pipes[0], &durable, 8) == 8)
        continue;
    waitpid(child, NULL, 0);
    close(pipes[0]);
    return durable;
}

START_TEST(what_was_called_durable_survives_kill_9)
{
    struct world world;
    uint64_t durable = kill_after(1 + 7 * (uint32_t)_i);
    ck_assert_uint_gt(durable, 0);
    world_open(&world);
    io_run(world.io);
    ck_assert(world.is_recovered);
    ck_assert_uint_ge(world.recovered_count, durable);
    ck_assert_str_eq(world.values[0], "value of 1");
    world_close(&world);
}
END_TEST

START_TEST(a_store_in_use_names_the_process_that_holds_it)
{
    int pipes[2];
    struct world world;
    uint64_t durable;
    char expected[64];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) serve_until_killed(pipes[1]);
    ck_assert_int_eq(read(pipes[0], &durable, 8), 8);
    world_open(&world);
    io_run(world.io);
    ck_assert(world.has_failed);
    ck_assert_int_eq(world.failure, STORE_UNAVAILABLE);
    snprintf(expected, sizeof expected, "in use by process %d", (int)child);
    ck_assert_ptr_nonnull(strstr(world.failure_text, expected));
    ck_assert_ptr_nonnull(strstr(world.failure_text, directory));
    world_close(&world);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
END_TEST

START_TEST(a_damaged_store_is_refused)
{
    struct world world;
    char command[200];
    world_open(&world);
    world.writes_max = 10;
    io_run(world.io);
    world_close(&world);
    snprintf(command, sizeof command, "for f in %s/MANIFEST-*; do echo garbage >$f; done",
             directory);
    ck_assert_int_eq(system(command), 0);
    world_open(&world);
    io_run(world.io);
    ck_assert(world.has_failed);
    ck_assert_int_eq(world.failure, STORE_UNAVAILABLE);
    ck_assert(!world.is_recovered);
    world_close(&world);
}
END_TEST

START_TEST(closing_while_it_opens_ends_cleanly)
{
    struct world world;
    world_open(&world);
    world_close(&world);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("store");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_new_store_is_empty_and_says_so);
    tcase_add_test(tcase, what_was_written_comes_back_in_key_order);
    tcase_add_test(tcase, deletes_empty_values_and_the_last_write_of_a_turn_win);
    tcase_add_loop_test(tcase, what_was_called_durable_survives_kill_9, 0, 5);
    tcase_add_test(tcase, a_store_in_use_names_the_process_that_holds_it);
    tcase_add_test(tcase, a_damaged_store_is_refused);
    tcase_add_test(tcase, closing_while_it_opens_ends_cleanly);
    Suite *suite = suite_create("store");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
