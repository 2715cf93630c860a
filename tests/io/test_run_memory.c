/* When memory goes back to the system: after a busy time, once, and not in its middle. */
#include <check.h>
#include <stdlib.h>

#include "node/io/run_internal.h"
#include "tests/io/world.h"
#include "tests/suite.h"

#define LOOK_MS 50

static uint32_t trims_count;

/* In place of the C library's. */
int malloc_trim(size_t pad);
int malloc_trim(size_t pad)
{
    (void)pad;
    trims_count++;
    return 1;
}

static struct world world;
static uv_prepare_t turn;
static bool is_busy;
static struct run node_run;

/* In each turn of the loop, and so between any two looks, however late they are. */
static void on_turn(uv_prepare_t *handle)
{
    (void)handle;
    if (is_busy) node_run.turns_count += RUN_MEMORY_BUSY_TURNS + 1;
}

static void set_up(void)
{
    world_init(&world);
    uv_prepare_init(io_uv(world.io), &turn);
    uv_prepare_start(&turn, on_turn);
    node_run.io = world.io;
    run_watch_memory(&node_run, LOOK_MS);
}

static void tear_down(void)
{
    uv_close((uv_handle_t *)&turn, NULL);
    run_unwatch_memory(&node_run);
    world_done(&world);
}

static bool has_trimmed(struct world *w, void *context)
{
    (void)w;
    return trims_count >= *(const uint32_t *)context;
}

static void wait_for_trim(uint32_t count)
{
    world_run(&world, has_trimmed, &count);
    ck_assert_uint_eq(trims_count, count);
    world_idle(&world, 5 * LOOK_MS); /* who does little keeps what it has */
    ck_assert_uint_eq(trims_count, count);
}

static void be_busy(void)
{
    is_busy = true;
    world_idle(&world, 4 * LOOK_MS);
    is_busy = false;
}

START_TEST(memory_goes_back_after_each_busy_time)
{
    wait_for_trim(1); /* the start was one */
    for (uint32_t i = 2; i < 5; i++) {
        be_busy();
        ck_assert_uint_eq(trims_count, i - 1); /* not while it lasts */
        wait_for_trim(i);
    }
}
END_TEST

START_TEST(who_is_never_busy_gives_nothing_back)
{
    wait_for_trim(1);
    for (int i = 0; i < 5; i++) {
        node_run.turns_count += RUN_MEMORY_BUSY_TURNS / 8;
        world_idle(&world, 2 * LOOK_MS);
    }
    ck_assert_uint_eq(trims_count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_memory");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, memory_goes_back_after_each_busy_time);
    tcase_add_test(all, who_is_never_busy_gives_nothing_back);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
