/* The driver's order: one input at a time, its outputs before the next, deadlines by ticks. */
#include <check.h>
#include <stdlib.h>

#include "node/io/loop.h"
#include "tests/suite.h"

#define SEEN_MAX 128

/* A machine that notes what it gets; its outputs and deadline are set by the test. */
struct machine {
    struct io *io;
    char seen[SEEN_MAX];
    uint32_t seen_count;
    mn_time deadline;
    uint32_t ticks, ticks_max; /* the loop is stopped after so many */
    bool echoes;               /* a reported dial makes the wrapper report at once */
    char late_text[32], late_header[32];
    uint32_t turns;
    mn_time step_us; /* what a tick takes */
};

static void note(struct machine *machine, char what)
{
    ck_assert_uint_lt(machine->seen_count, SEEN_MAX - 1);
    machine->seen[machine->seen_count++] = what;
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    struct machine *machine = owner;
    ck_assert_uint_gt(now.mono, 0);
    ck_assert_uint_gt(now.wall, 0);
    if (input->type == EDGE_IN_TICK) {
        note(machine, 't');
        while (io_now(machine->io).mono < now.mono + machine->step_us)
            continue;
        if (++machine->ticks == machine->ticks_max) io_stop(machine->io);
        machine->deadline = machine->ticks < machine->ticks_max ? now.mono : MN_TIME_NEVER;
    } else if (input->type == EDGE_IN_HTTP_OPEN) {
        note(machine, 'h');
        memcpy(machine->late_text, input->http->target.data, input->http->target.size);
        memcpy(machine->late_header, input->http->headers[0].value.data,
               input->http->headers[0].value.size);
    } else if (input->type == EDGE_IN_NET_CLOSED) {
        note(machine, 'c');
    } else {
        note(machine, 'i');
        edge_emit(outbox, EDGE_OUT_NET_DIAL, 2);
        edge_emit(outbox, EDGE_OUT_NET_DIAL, 4);
    }
}

static mn_time deadline(void *owner)
{
    return ((struct machine *)owner)->deadline;
}

/* Reports from inside, from memory that is gone when it is handled. */
static void report_at_once(struct machine *machine)
{
    char target[] = "/mcp", value[] = "json";
    const struct edge_header header = {mn_span_str("accept"), mn_span_str(value)};
    const struct edge_http_request http = {
        .target = mn_span_str(target), .headers = &header, .headers_count = 1};
    const struct edge_input open = {.type = EDGE_IN_HTTP_OPEN, .id = 1, .http = &http};
    const struct edge_input closed = {.type = EDGE_IN_NET_CLOSED, .id = 2};
    io_input(machine->io, &open);
    io_input(machine->io, &closed);
    memset(target, 'x', sizeof target);
    memset(value, 'x', sizeof value);
}

static void carry_out(void *owner, const struct edge_output *output)
{
    struct machine *machine = owner;
    note(machine, output->id == 2 ? 'd' : 'D');
    if (machine->echoes && output->id == 2) report_at_once(machine);
}

static void stepped(void *owner)
{
    note(owner, '.');
}

static void turn_end(void *owner)
{
    ((struct machine *)owner)->turns++;
}

static void make(struct machine *machine)
{
    const struct io_config config = {machine, step, deadline, carry_out, stepped, turn_end};
    *machine = (struct machine){.deadline = MN_TIME_NEVER};
    machine->io = io_new(&config);
}

START_TEST(outputs_are_carried_out_in_order_before_the_next_input)
{
    struct machine machine;
    const struct edge_input input = {.type = EDGE_IN_NET_ACCEPTED, .id = 1};
    make(&machine);
    io_input(machine.io, &input);
    io_input(machine.io, &input);
    ck_assert_str_eq(machine.seen, "i.dDi.dD");
    io_free(machine.io);
}
END_TEST

START_TEST(what_is_reported_during_a_step_is_copied_and_handled_after_it)
{
    struct machine machine;
    const struct edge_input input = {.type = EDGE_IN_NET_ACCEPTED, .id = 1};
    make(&machine);
    machine.echoes = true;
    io_input(machine.io, &input);
    ck_assert_str_eq(machine.seen, "i.dDh.c.");
    ck_assert_str_eq(machine.late_text, "/mcp");
    ck_assert_str_eq(machine.late_header, "json");
    io_free(machine.io);
}
END_TEST

START_TEST(a_machine_that_always_has_work_does_not_starve_the_outside)
{
    struct machine machine;
    make(&machine);
    machine.deadline = 0;
    machine.ticks_max = 40;
    io_run(machine.io);
    ck_assert_uint_eq(machine.ticks, 40);
    ck_assert_uint_ge(machine.turns, 3); /* at most 16 ticks a turn */
    io_free(machine.io);
}
END_TEST

START_TEST(slow_ticks_are_fewer_in_a_turn)
{
    struct machine machine;
    make(&machine);
    machine.deadline = 0;
    machine.ticks_max = 40;
    machine.step_us = 60;
    io_run(machine.io);
    ck_assert_uint_eq(machine.ticks, 40);
    ck_assert_uint_ge(machine.turns, 20); /* the second one of a turn is the last */
    io_free(machine.io);
}
END_TEST

START_TEST(who_moves_bytes_leaves_fewer_to_others_of_the_turn)
{
    struct machine machine;
    make(&machine);
    ck_assert_uint_eq(io_share(machine.io, IO_READ), IO_SHARE_MAX);
    io_moved(machine.io, IO_READ, IO_SHARE_MAX / 2);
    ck_assert_uint_eq(io_share(machine.io, IO_READ), IO_SHARE_MAX / 2);
    io_moved(machine.io, IO_READ, IO_SHARE_MAX);
    ck_assert_uint_eq(io_share(machine.io, IO_READ), IO_SHARE_MIN);
    ck_assert_uint_eq(io_share(machine.io, IO_WRITE), IO_SHARE_WRITES * IO_SHARE_MAX);
    io_moved(machine.io, IO_WRITE, IO_SHARE_WRITES * IO_SHARE_MAX);
    ck_assert_uint_eq(io_share(machine.io, IO_WRITE), IO_SHARE_WRITES * IO_SHARE_MIN);
    machine.deadline = 0;
    machine.ticks_max = 1;
    io_run(machine.io);
    ck_assert_uint_eq(io_share(machine.io, IO_READ), IO_SHARE_MAX);
    io_free(machine.io);
}
END_TEST

START_TEST(whole_answers_of_a_turn_are_bounded)
{
    struct machine machine;
    make(&machine);
    ck_assert(!io_takes_whole(machine.io, IO_WHOLE_MAX + 1));
    for (size_t taken = 0; taken < IO_WHOLES_MAX; taken += IO_WHOLE_MAX)
        ck_assert(io_takes_whole(machine.io, IO_WHOLE_MAX));
    ck_assert(!io_takes_whole(machine.io, 1));
    machine.deadline = 0;
    machine.ticks_max = 1;
    io_run(machine.io);
    ck_assert(io_takes_whole(machine.io, IO_WHOLE_MAX));
    io_free(machine.io);
}
END_TEST

START_TEST(a_deadline_is_met_and_never_early)
{
    struct machine machine;
    make(&machine);
    machine.ticks_max = 1;
    mn_time due = io_now(machine.io).mono + 5 * MN_MS;
    machine.deadline = due;
    io_run(machine.io);
    ck_assert_uint_ge(io_now(machine.io).mono, due);
    ck_assert_uint_eq(machine.ticks, 1);
    io_free(machine.io);
}
END_TEST

static void on_timer(uv_timer_t *timer)
{
    io_stop(timer->data);
    uv_close((uv_handle_t *)timer, NULL);
}

START_TEST(without_a_deadline_there_is_no_tick)
{
    struct machine machine;
    uv_timer_t timer;
    make(&machine);
    uv_timer_init(io_uv(machine.io), &timer);
    timer.data = machine.io;
    uv_timer_start(&timer, on_timer, 20, 0);
    io_run(machine.io);
    ck_assert_uint_eq(machine.ticks, 0);
    ck_assert_uint_le(machine.turns, 3); /* it slept */
    io_free(machine.io);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("loop");
    tcase_add_test(tcase, outputs_are_carried_out_in_order_before_the_next_input);
    tcase_add_test(tcase, what_is_reported_during_a_step_is_copied_and_handled_after_it);
    tcase_add_test(tcase, a_machine_that_always_has_work_does_not_starve_the_outside);
    tcase_add_test(tcase, slow_ticks_are_fewer_in_a_turn);
    tcase_add_test(tcase, who_moves_bytes_leaves_fewer_to_others_of_the_turn);
    tcase_add_test(tcase, whole_answers_of_a_turn_are_bounded);
    tcase_add_test(tcase, a_deadline_is_met_and_never_early);
    tcase_add_test(tcase, without_a_deadline_there_is_no_tick);
    Suite *suite = suite_create("loop");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
