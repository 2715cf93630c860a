/* The log in real files: what LOG_DURABLE says is there after kill -9; damage, a log in use and a
 * full disk are said. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/seglog.h"
#include "node/raftlog.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define TEST_LIMIT_MS 30000
#define SEGMENT ((uint32_t)4 << 20)

struct world {
    struct io *io;
    struct seglog *seglog;
    uv_timer_t limit;
    uint64_t writes_count, writes_max, durable, reports_count;
    uint64_t last[4], first[4]; /* entries found, per group */
    enum edge_log_damage damage[4];
    bool is_recovered, has_failed, is_full, had_room_again;
    enum seglog_failure failure;
    char text[1024];
    uint32_t writes_per_turn, entry_size, groups_count;
    uint64_t compact_every;            /* entries; 0: never */
    int report;                        /* pipe: each durable number is written to it; -1: none */
    struct raftlog_recovery *recovery; /* NULL: nobody wants it */
    void (*on_recovered)(struct world *world, struct edge_outbox *outbox);
};

static char directory[64];

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/meshnode-seglog-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    ck_assert_int_eq(system(command), 0);
}

static struct mn_span value_of(struct mn_arena *arena, uint64_t index, uint32_t size)
{
    uint8_t *bytes = mn_arena_alloc(arena, size + 1);
    memset(bytes, (int)(index % 251), size);
    return mn_span(bytes, size);
}

static void write_one(struct world *world, struct edge_outbox *outbox)
{
    struct edge_output *output = edge_emit(outbox, EDGE_OUT_LOG, ++world->writes_count);
    uint64_t group = world->writes_count % world->groups_count;
    struct edge_log *log = mn_arena_alloc(outbox->arena, sizeof *log);
    struct edge_log_entry *entry = mn_arena_alloc(outbox->arena, sizeof *entry);
    uint64_t index = ++world->last[group];

    *log = (struct edge_log){.group = group + 1, .term = 1, .entries = entry, .entries_count = 1};
    *entry =
        (struct edge_log_entry){index, 1, 1, value_of(outbox->arena, index, world->entry_size)};
    if (world->compact_every > 0 && index % world->compact_every == 0) {
        struct edge_log_snapshot *snapshot = mn_arena_alloc(outbox->arena, sizeof *snapshot);
        *snapshot = (struct edge_log_snapshot){.index = index - 1, .term = 1};
        log->snapshot = snapshot;
    }
    output->log = log;
}

static void write_some(struct world *world, struct edge_outbox *outbox)
{
    for (uint32_t i = 0; i < world->writes_per_turn && world->writes_count < world->writes_max; i++)
        write_one(world, outbox);
}

static void on_recover(struct world *world, const struct edge_input *input)
{
    const struct edge_log *log = input->log;
    struct mn_arena arena = {0};
    uint64_t *last;

    ck_assert(!world->is_recovered);
    if (world->recovery != NULL) ck_assert_int_eq(raftlog_recover(world->recovery, input), MN_OK);
    if (log->group == 0) return;
    ck_assert_uint_le(log->group, 4);
    last = &world->last[log->group - 1];
    world->damage[log->group - 1] = (enum edge_log_damage)input->code;
    if (log->snapshot != NULL) *last = log->snapshot->index;
    for (uint32_t i = 0; i < log->entries_count; i++) {
        ck_assert_uint_eq(log->entries[i].index, *last + 1);
        ck_assert(mn_span_equal(log->entries[i].data,
                                value_of(&arena, *last + 1, (uint32_t)log->entries[i].data.size)));
        ++*last;
    }
    mn_arena_done(&arena);
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    struct world *world = owner;
    (void)now;
    if (input->type == EDGE_IN_LOG_RECOVER) {
        on_recover(world, input);
    } else if (input->type == EDGE_IN_RECOVERED) {
        world->is_recovered = true;
        memcpy(world->first, world->last, sizeof world->first);
        if (world->on_recovered != NULL)
            world->on_recovered(world, outbox);
        else
            write_some(world, outbox);
    } else if (input->type == EDGE_IN_LOG_DURABLE) {
        ck_assert_uint_gt(input->id, world->durable);
        ck_assert_uint_le(input->id, world->writes_count);
        world->durable = input->id;
        world->reports_count++;
        if (world->report >= 0) ck_assert_int_eq(write(world->report, &world->durable, 8), 8);
        write_some(world, outbox);
    } else if (input->type == EDGE_IN_LOG_ROOM) {
        if (world->is_full && input->code == 1) world->had_room_again = true;
        world->is_full = input->code == 0;
        snprintf(world->text, sizeof world->text, "%.*s", (int)input->text.size,
                 (const char *)input->text.data);
        io_stop(world->io);
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
    seglog_do(((struct world *)owner)->seglog, output);
}

static void turn_end(void *owner)
{
    seglog_flush(((struct world *)owner)->seglog);
}

static void recovered(void *owner)
{
    struct world *world = owner;
    io_input(world->io, &(struct edge_input){.type = EDGE_IN_RECOVERED});
}

static void failed(void *owner, enum seglog_failure failure, const char *text)
{
    struct world *world = owner;
    ck_assert(!world->has_failed);
    world->has_failed = true;
    world->failure = failure;
    snprintf(world->text, sizeof world->text, "%s", text);
    io_stop(world->io);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    ck_abort_msg("nothing happened for too long");
}

static void world_open(struct world *world)
{
    const struct io_config config = {world, step, deadline, carry_out, NULL, turn_end};
    struct seglog_config log = {.path = directory, .segment_size = SEGMENT, .owner = world};

    *world =
        (struct world){.report = -1, .writes_per_turn = 10, .entry_size = 200, .groups_count = 3};
    world->io = io_new(&config);
    log.recovered = recovered;
    log.failed = failed;
    log.size_max = (uint64_t)SEGMENT * 4;
    world->seglog = seglog_new(world->io, &log);
    uv_timer_init(io_uv(world->io), &world->limit);
    uv_timer_start(&world->limit, on_limit, TEST_LIMIT_MS, 0);
}

static void world_close(struct world *world)
{
    seglog_close(world->seglog);
    uv_close((uv_handle_t *)&world->limit, NULL);
    io_free(world->io);
}

static void run_writes(uint64_t count)
{
    struct world world;
    world_open(&world);
    world.writes_max = count;
    io_run(world.io);
    ck_assert(!world.has_failed);
    ck_assert_uint_eq(world.durable, count);
    world_close(&world);
}

static void name_of(uint32_t slot, char name[128])
{
    snprintf(name, 128, "%s/%03u.seg", directory, slot);
}

START_TEST(a_new_log_is_empty_and_makes_no_file_before_it_is_used)
{
    struct world world;
    struct stat stat_of;
    char name[128];
    world_open(&world);
    io_run(world.io);
    ck_assert(world.is_recovered && !world.has_failed);
    world_close(&world);
    name_of(0, name);
    ck_assert_int_ne(stat(name, &stat_of), 0);
}
END_TEST

START_TEST(what_was_written_comes_back)
{
    struct world world;
    run_writes(1000);
    world_open(&world);
    io_run(world.io);
    ck_assert_uint_eq(world.last[0] + world.last[1] + world.last[2], 1000);
    world_close(&world);
}
END_TEST

START_TEST(all_of_a_turn_shares_one_sync)
{
    struct world world;
    world_open(&world);
    world.writes_per_turn = 500;
    world.writes_max = 500;
    io_run(world.io);
    ck_assert_uint_eq(world.reports_count, 1);
    ck_assert_uint_eq(seglog_stats(world.seglog).commits, 1);
    ck_assert_uint_eq(seglog_stats(world.seglog).records, 500);
    world_close(&world);
}
END_TEST

START_TEST(files_are_used_again_and_stay_within_their_share)
{
    struct world world;
    struct seglog_stats stats;
    world_open(&world);
    world.writes_per_turn = 100;
    world.entry_size = 4000;
    world.compact_every = 50;
    world.writes_max = 10000; /* 40 MB through 16 MiB */
    io_run(world.io);
    ck_assert(!world.has_failed && !world.is_full);
    stats = seglog_stats(world.seglog);
    ck_assert_uint_gt(stats.bytes_written, 10 * (uint64_t)SEGMENT - SEGMENT);
    ck_assert_uint_le(stats.segments_used + stats.segments_free, 4);
    world_close(&world);
    world_open(&world);
    io_run(world.io);
    ck_assert_uint_eq(world.last[0] + world.last[1] + world.last[2], 10000);
    world_close(&world);
}
END_TEST

START_TEST(a_log_that_has_its_share_says_so)
{
    struct world world;
    world_open(&world);
    world.writes_per_turn = 100;
    world.entry_size = 4000;
    world.writes_max = 10000; /* and nothing is compacted */
    io_run(world.io);
    ck_assert(world.is_full && !world.has_failed);
    ck_assert_ptr_nonnull(strstr(world.text, "share of 16 MiB"));
    ck_assert_uint_lt(world.durable, world.writes_max);
    world_close(&world);
}
END_TEST

START_TEST(a_disk_that_is_full_says_so_and_goes_on_when_there_is_room)
{
    struct world world;
    struct rlimit limit = {1 << 20, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0); /* no file grows beyond 1 MiB */
    world_open(&world);
    world.writes_max = 10;
    io_run(world.io);
    ck_assert(world.is_full && !world.has_failed);
    ck_assert_ptr_nonnull(strstr(world.text, "make room"));
    ck_assert_ptr_nonnull(strstr(world.text, directory));
    ck_assert_uint_eq(world.durable, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    io_run(world.io); /* until there is room again */
    ck_assert(world.had_room_again);
    while (world.durable < 10)
        io_run(world.io);
    ck_assert_uint_eq(world.durable, 10);
    world_close(&world);
}
END_TEST

static void serve_until_killed(int report, uint32_t per_turn)
{
    struct world world;
    world_open(&world);
    world.report = report;
    world.writes_per_turn = per_turn;
    world.entry_size = 1000;
    world.compact_every = 500;
    world.writes_max = 1000000;
    io_run(world.io);
    _exit(EXIT_SUCCESS);
}

/* The newest number that the child had called durable when it was killed. */
static uint64_t kill_after(uint32_t reports, uint32_t per_turn)
{
    int pipes[2];
    uint64_t durable = 0;
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) serve_until_killed(pipes[1], per_turn);
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
    uint64_t durable = kill_after(1 + 97 * (uint32_t)_i, _i % 2 == 0 ? 1 : 40), found = 0;
    ck_assert_uint_gt(durable, 0);
    world_open(&world);
    io_run(world.io);
    ck_assert(world.is_recovered);
    for (int g = 0; g < 3; g++) {
        ck_assert_int_eq(world.damage[g], EDGE_LOG_SOUND);
        found += world.last[g];
    }
    ck_assert_uint_ge(found, durable);
    world_close(&world);
}
END_TEST

/* In the first record's entry, which is of group 2: long before the end, and synced. */
static void damage_the_middle(void)
{
    char name[128];
    uint8_t byte = 0;
    int fd;

    name_of(0, name);
    fd = open(name, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, 4096 + 180), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 4096 + 180), 1);
    close(fd);
}

START_TEST(damage_is_told_of_the_group_it_hit)
{
    struct world world;

    run_writes(300);
    damage_the_middle();
    world_open(&world);
    io_run(world.io);
    ck_assert(world.is_recovered && !world.has_failed);
    ck_assert_int_eq(world.damage[1], EDGE_LOG_CORRUPT); /* write 1 was about group 2 */
    ck_assert_int_eq(world.damage[0], EDGE_LOG_SOUND);
    ck_assert_int_eq(world.damage[2], EDGE_LOG_SOUND);
    ck_assert_uint_eq(world.last[1], 0);
    ck_assert_uint_gt(seglog_stats(world.seglog).damaged, 0);
    world_close(&world);
}
END_TEST

/* ---- a consensus group over it ---- */

#define SENT_AGAIN 100u

static struct raft *wounded;
static struct mn_arena wounded_arena;

/* What the group says to a message; what it writes goes to the log. */
static const struct raft_msg *hand_over(struct world *world, struct edge_outbox *outbox,
                                        struct raft_msg msg)
{
    struct raft_outbox out = {.arena = &wounded_arena};
    struct raft_input input = {.type = RAFT_IN_MESSAGE, .msg = &msg};
    const struct raft_msg *answer = NULL;

    msg.from.bytes[0] = 2;
    msg.to.bytes[0] = 1;
    raft_step(wounded, (struct mn_now){2 * MN_SEC, 2 * MN_SEC}, &input, &out);
    for (uint32_t i = 0; i < out.count; i++) {
        if (out.items[i].type == RAFT_OUT_PERSIST)
            raftlog_emit(outbox, ++world->writes_count, 2, &out.items[i].persist);
        if (out.items[i].type == RAFT_OUT_SEND) answer = &out.items[i].msg;
    }
    return answer;
}

/* It has no vote, and is sent again what it lost. */
static void heal(struct world *world, struct edge_outbox *outbox)
{
    struct raft_config config = raft_config_default();
    struct raft_entry *entries = mn_arena_alloc(&wounded_arena, SENT_AGAIN * sizeof *entries);
    struct raft_msg append = {.type = RAFT_MSG_APPEND, .term = 2, .entries = entries};
    const struct raft_recovered *recovered = raftlog_find(world->recovery, 2);
    const struct raft_msg *answer;

    ck_assert_ptr_nonnull(recovered);
    ck_assert_int_eq(recovered->damage, RAFT_DAMAGE_CORRUPT);
    ck_assert_int_eq(raftlog_find(world->recovery, 1)->damage, RAFT_DAMAGE_NONE);
    config.self.bytes[0] = 1;
    ck_assert_int_eq(raft_new(&config, recovered, (struct mn_now){MN_SEC, MN_SEC}, &wounded),
                     MN_OK);
    ck_assert(raft_view(wounded).is_wounded);
    answer = hand_over(
        world, outbox,
        (struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .term = 2, .index = 1000, .log_term = 1});
    ck_assert_ptr_null(answer);
    for (uint32_t i = 0; i < SENT_AGAIN; i++)
        entries[i] = (struct raft_entry){i + 1, 1, RAFT_ENTRY_COMMAND,
                                         value_of(&wounded_arena, i + 1, world->entry_size), NULL};
    append.entries_count = SENT_AGAIN;
    answer = hand_over(world, outbox, append);
    ck_assert_uint_ne(answer->heal, 0);
    append.index = SENT_AGAIN;
    append.log_term = 1;
    append.entries_count = 0;
    append.heal = answer->heal;
    append.heal_index = append.commit = SENT_AGAIN;
    answer = hand_over(world, outbox, append);
    ck_assert_uint_eq(answer->index, SENT_AGAIN);
    ck_assert(!raft_view(wounded).is_wounded);
    world->writes_max = world->writes_count;
}

START_TEST(a_group_that_lost_its_middle_has_no_vote_and_is_sent_it_again)
{
    struct raftlog_recovery recovery = {0};
    struct world world;

    run_writes(300);
    damage_the_middle();
    world_open(&world);
    world.recovery = &recovery;
    world.on_recovered = heal;
    io_run(world.io);
    ck_assert(world.is_recovered && !world.has_failed);
    ck_assert_uint_eq(world.durable, world.writes_max);
    world_close(&world);
    raft_free(wounded);
    raftlog_done(&recovery);
    mn_arena_done(&wounded_arena);
    /* Nothing was cut off to mend it: it is whole because all of it came again. */
    world_open(&world);
    io_run(world.io);
    ck_assert_int_eq(world.damage[1], EDGE_LOG_SOUND);
    ck_assert_uint_eq(world.last[1], SENT_AGAIN);
    ck_assert_uint_eq(world.last[0], 100);
    ck_assert_uint_eq(world.last[2], 100);
    world_close(&world);
}
END_TEST

START_TEST(a_log_in_use_is_refused)
{
    struct world world, other;
    world_open(&world);
    io_run(world.io);
    world_open(&other);
    io_run(other.io);
    ck_assert(other.has_failed);
    ck_assert_int_eq(other.failure, SEGLOG_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(other.text, "in use"));
    ck_assert_ptr_nonnull(strstr(other.text, directory));
    world_close(&other);
    world_close(&world);
}
END_TEST

START_TEST(files_of_two_logs_are_refused)
{
    struct world world;
    char command[256];
    run_writes(10);
    snprintf(command, sizeof command, "mv %s/000.seg %s/kept", directory, directory);
    ck_assert_int_eq(system(command), 0);
    snprintf(command, sizeof command, "rm -f %s/*.seg", directory);
    ck_assert_int_eq(system(command), 0);
    run_writes(10);
    snprintf(command, sizeof command, "mv %s/kept %s/007.seg", directory, directory);
    ck_assert_int_eq(system(command), 0);
    world_open(&world);
    io_run(world.io);
    ck_assert(world.has_failed);
    ck_assert_int_eq(world.failure, SEGLOG_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(world.text, "belongs to another log"));
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
    TCase *tcase = tcase_create("seglog");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_new_log_is_empty_and_makes_no_file_before_it_is_used);
    tcase_add_test(tcase, what_was_written_comes_back);
    tcase_add_test(tcase, all_of_a_turn_shares_one_sync);
    tcase_add_test(tcase, files_are_used_again_and_stay_within_their_share);
    tcase_add_test(tcase, a_log_that_has_its_share_says_so);
    tcase_add_test(tcase, a_disk_that_is_full_says_so_and_goes_on_when_there_is_room);
    tcase_add_loop_test(tcase, what_was_called_durable_survives_kill_9, 0, 6);
    tcase_add_test(tcase, damage_is_told_of_the_group_it_hit);
    tcase_add_test(tcase, a_group_that_lost_its_middle_has_no_vote_and_is_sent_it_again);
    tcase_add_test(tcase, a_log_in_use_is_refused);
    tcase_add_test(tcase, files_of_two_logs_are_refused);
    tcase_add_test(tcase, closing_while_it_opens_ends_cleanly);
    Suite *suite = suite_create("seglog");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
