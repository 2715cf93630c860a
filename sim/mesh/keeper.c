/* Clients of the strong keyspace, through whatever node: they get, put, compare and set, and take a
 * lock that is theirs for as long as they renew its lease. What they saw is judged at the end: each
 * key is linearizable, nothing acknowledged is lost, all who keep it have the same, and a lock has
 * one holder at a time, with a number that rises. */
#include <inttypes.h>
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/raft/raft_sim.h"

#define KEEPERS 3u
#define KEYS 3u
#define LOCKERS 2u
#define PATIENCE (15 * MN_SEC)
#define GIVE_UP (25 * MN_SEC) /* then it is open for ever whether it happened */
#define LEASE_TTL (5 * MN_SEC)
#define LIMITS ((struct json_limits){.depth_max = 8, .depth_kept = 8, .nodes_max = 256})

struct keeper {
    struct sim *sim;
    uint32_t index;
    struct sim_event next;
    mn_id client; /* of its commands; another one when it has given up */
    uint64_t seq;
    bool is_open, may_have_happened, is_asking;
    struct raft_op op;
    uint64_t if_rev;
    uint64_t seen_value[KEYS], seen_rev[KEYS]; /* what it read last */
};

/* One that wants the lock. Its own clock is the world's. */
struct locker {
    struct sim *sim;
    uint32_t index;
    struct sim_event next;
    uint64_t lease; /* 0: none */
    bool is_holder, is_asking;
    mn_time asked, held_until; /* it may believe so: since it asked, not since it was answered */
};

struct sim_keepers {
    struct keeper keepers[KEEPERS];
    struct locker lockers[LOCKERS];
    struct raft_history history[KEYS];
    uint64_t values_next, token_last;
    bool is_over;
};

/* ---- what nodes answer ---- */

struct answer {
    uint32_t code; /* 0: nothing is known */
    uint64_t value, rev, lease;
    bool is_unknown; /* it may have happened, or may yet */
};

static uint64_t number_of(const struct json *root, const char *name)
{
    int64_t number = 0;

    return json_i64(json_find_str(root, name), &number) == MN_OK ? (uint64_t)number : 0;
}

static struct answer read_answer(const struct sim_response *response)
{
    struct json_parser *parser = json_parser_new();
    struct answer answer = {.code = response->is_lost ? 0 : response->code};
    struct mn_arena arena = {0};
    const struct json *root;
    struct mn_span text;

    if (answer.code != 0 &&
        json_parse_copy(parser, response->message, LIMITS, &arena, &root) == MN_OK) {
        text = json_text(json_find_str(root, "value"));
        for (size_t i = 0; i < text.size; i++)
            answer.value = 10 * answer.value + (uint64_t)(text.data[i] - '0');
        answer.rev = number_of(root, "rev");
        answer.lease = number_of(root, "lease");
        text = json_text(json_find_str(json_find_str(root, "error"), "code"));
        answer.is_unknown = mn_span_is(text, "unknown");
    }
    mn_arena_done(&arena);
    json_parser_free(parser);
    return answer;
}

/* Said to be certainly without effect. */
static bool is_nothing_done(const struct answer *answer)
{
    return answer->code >= 400 && !answer->is_unknown;
}

static struct sim_host *pick_host(struct sim *sim)
{
    for (uint32_t tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_keep, sim->hosts_count)];
        if (host->node != NULL && !host->is_frozen && !host->is_stopping) return host;
    }
    return NULL;
}

static void ask(struct sim_host *host, const char *verb, const char *path, const char *body,
                sim_http_end *on_end, void *context)
{
    sim_http_ask(host, &(struct sim_request){.verb = verb,
                                             .path = path,
                                             .is_admin = true,
                                             .body = mn_span_str(body),
                                             .patience = PATIENCE,
                                             .on_end = on_end,
                                             .context = context});
}

/* ---- values ---- */

static void keeper_act(struct sim *sim, void *context);

static void keeper_again(struct keeper *keeper, mn_time most)
{
    struct sim *sim = keeper->sim;

    sim_at(sim, &keeper->next, sim->time + 10 * MN_MS + rng_below_u64(&sim->rng_keep, most),
           keeper_act, keeper);
}

static struct raft_history *history_of(struct keeper *keeper)
{
    return &keeper->sim->keepers->history[keeper->op.command.key];
}

/* Notes what came of it; one that certainly did nothing, or only read, is no part of the history.
 */
static void keeper_end(struct keeper *keeper, bool is_answered, uint64_t result)
{
    struct raft_history *history = history_of(keeper);
    bool is_get = keeper->op.command.kind == RAFT_OP_GET;

    keeper->is_open = false;
    keeper->op.result = result;
    if (is_answered) keeper->op.returned = keeper->sim->time;
    if (!is_answered && (is_get || !keeper->may_have_happened)) return;
    if (!is_answered) { /* its number may still be on its way */
        keeper->client = rng_id(&keeper->sim->rng_keep);
        keeper->seq = 0;
    }
    MN_ASSERT(history->count < RAFT_OPS_MAX);
    history->ops[history->count++] = keeper->op;
    keeper->sim->stats.kept++;
}

static void keeper_read(struct keeper *keeper, const struct answer *answer)
{
    struct raft_command *command = &keeper->op.command;

    if (command->kind == RAFT_OP_GET && (answer->code == 200 || answer->code == 404)) {
        keeper->seen_value[command->key] = answer->code == 200 ? answer->value : 0;
        keeper->seen_rev[command->key] = answer->code == 200 ? answer->rev : 0;
        keeper_end(keeper, true, keeper->seen_value[command->key]);
    } else if (answer->code == 200) {
        keeper->seen_value[command->key] = command->value;
        keeper->seen_rev[command->key] = answer->rev;
        keeper_end(keeper, true, 1);
    } else if (command->kind == RAFT_OP_CAS && answer->code == 409) {
        keeper_end(keeper, true, 0);
    } else if (!is_nothing_done(answer)) {
        keeper->may_have_happened = true;
    }
}

static void keeper_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct keeper *keeper = context;
    struct answer answer = read_answer(response);

    keeper->is_asking = false;
    keeper_read(keeper, &answer);
    if (keeper->is_open && sim->time >= keeper->op.called + GIVE_UP) keeper_end(keeper, false, 0);
    if (!sim->keepers->is_over || keeper->is_open) keeper_again(keeper, MN_SEC);
}

static bool has_room(const struct sim_keepers *keepers, uint32_t key)
{
    uint32_t open = keepers->is_over ? 0 : KEEPERS; /* the final reads */

    for (uint32_t i = 0; i < KEEPERS; i++)
        open += keepers->keepers[i].is_open && keepers->keepers[i].op.command.key == key;
    return keepers->history[key].count + open < RAFT_OPS_MAX;
}

static void keeper_begin(struct keeper *keeper, enum raft_op_kind kind, uint32_t key)
{
    struct sim *sim = keeper->sim;
    struct raft_command *command = &keeper->op.command;

    if (!has_room(sim->keepers, key)) return;
    keeper->op = (struct raft_op){.called = sim->time, .returned = MN_TIME_NEVER};
    command->kind = kind;
    command->key = key;
    command->value = ++sim->keepers->values_next;
    command->expected = keeper->seen_value[key];
    keeper->if_rev = keeper->seen_rev[key];
    keeper->seq++;
    keeper->may_have_happened = false;
    keeper->is_open = true;
}

/* The same command again, through another node maybe, until it is known what became of it. */
static void keeper_try(struct keeper *keeper)
{
    struct sim_host *host = pick_host(keeper->sim);
    const struct raft_command *command = &keeper->op.command;
    char path[64], body[256], condition[48] = "", client[MN_ID_TEXT_SIZE];

    if (host == NULL) {
        keeper_again(keeper, MN_SEC);
        return;
    }
    snprintf(path, sizeof path, "/v1/state/kept-%u?timeout_ms=%u", command->key,
             1000 + rng_below(&keeper->sim->rng_keep, 4000));
    if (command->kind == RAFT_OP_CAS)
        snprintf(condition, sizeof condition, ",\"if_rev\":%" PRIu64, keeper->if_rev);
    mn_id_format(&keeper->client, client);
    snprintf(body, sizeof body,
             "{\"value\":\"%" PRIu64 "\",\"client\":\"%s\",\"seq\":%" PRIu64 "%s}", command->value,
             client, keeper->seq, condition);
    keeper->is_asking = true;
    if (command->kind == RAFT_OP_GET)
        ask(host, "GET", path, "", keeper_answered, keeper);
    else
        ask(host, "PUT", path, body, keeper_answered, keeper);
}

static void keeper_act(struct sim *sim, void *context)
{
    struct keeper *keeper = context;
    uint32_t draw = rng_below(&sim->rng_keep, 10);

    if (keeper->is_asking) return;
    if (!keeper->is_open && !sim->keepers->is_over)
        keeper_begin(keeper,
                     draw < 4   ? RAFT_OP_GET
                     : draw < 7 ? RAFT_OP_PUT
                                : RAFT_OP_CAS,
                     rng_below(&sim->rng_keep, KEYS));
    if (keeper->is_open)
        keeper_try(keeper);
    else if (!sim->keepers->is_over)
        keeper_again(keeper, 5 * MN_SEC);
}

/* ---- the lock ---- */

static void locker_act(struct sim *sim, void *context);

static void locker_again(struct locker *locker)
{
    struct sim *sim = locker->sim;

    if (!sim->keepers->is_over)
        sim_at(sim, &locker->next, sim->time + 50 * MN_MS + rng_below(&sim->rng_keep, 2000000),
               locker_act, locker);
}

static void locker_granted(struct sim *sim, void *context, const struct sim_response *response)
{
    struct locker *locker = context;
    struct answer answer = read_answer(response);

    (void)sim;
    locker->is_asking = false;
    if (answer.code == 200) locker->lease = answer.lease;
    locker->held_until = locker->asked + LEASE_TTL; /* of the lease; the lock is not ours yet */
    locker_again(locker);
}

/* It is ours: nobody else may still believe that it is theirs, and our number is the highest. */
static void locker_locked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct locker *locker = context;
    struct answer answer = read_answer(response);
    struct sim_keepers *keepers = sim->keepers;

    locker->is_asking = false;
    if (answer.code == 200) {
        locker->is_holder = true;
        sim->stats.locks++;
        for (uint32_t i = 0; i < LOCKERS; i++)
            if (i != locker->index && keepers->lockers[i].is_holder &&
                sim->time < keepers->lockers[i].held_until)
                sim_fail(sim, "two hold one lock: %u until %.3f s, %u already now", i,
                         (double)keepers->lockers[i].held_until / 1e6, locker->index);
        if (answer.rev <= keepers->token_last)
            sim_fail(sim, "a lock's number is %" PRIu64 " after %" PRIu64, answer.rev,
                     keepers->token_last);
        keepers->token_last = answer.rev;
    } else if (answer.code == 404) {
        locker->lease = 0; /* it ended */
    } else if (!is_nothing_done(&answer)) {
        locker->lease = 0; /* it may be ours, and ends with the lease */
    }
    locker_again(locker);
}

static void locker_renewed(struct sim *sim, void *context, const struct sim_response *response)
{
    struct locker *locker = context;
    struct answer answer = read_answer(response);

    (void)sim;
    locker->is_asking = false;
    if (answer.code == 200) locker->held_until = locker->asked + LEASE_TTL;
    if (answer.code == 404) locker->lease = 0;
    locker_again(locker);
}

/* Gets a lease, takes the lock with it if nobody has it, holds it for a while, lets it end. */
static void locker_act(struct sim *sim, void *context)
{
    struct locker *locker = context;
    struct sim_host *host = pick_host(sim);
    char path[64], body[128];

    if (locker->is_asking) return;
    if (host == NULL) {
        locker_again(locker);
        return;
    }
    if (locker->lease == 0 || sim->time >= locker->held_until) locker->is_holder = false;
    locker->is_asking = true;
    locker->asked = sim->time;
    if (locker->lease == 0) {
        snprintf(body, sizeof body, "{\"ttl_ms\":%u}", (unsigned)(LEASE_TTL / MN_MS));
        ask(host, "POST", "/v1/leases?timeout_ms=2000", body, locker_granted, locker);
    } else if (!locker->is_holder) {
        snprintf(body, sizeof body, "{\"value\":\"%u\",\"if_rev\":0,\"lease\":%" PRIu64 "}",
                 locker->index, locker->lease);
        ask(host, "PUT", "/v1/state/lock?timeout_ms=2000", body, locker_locked, locker);
    } else if (rng_below(&sim->rng_keep, 12) > 0) {
        snprintf(path, sizeof path, "/v1/leases/%" PRIu64 "/renew?timeout_ms=2000", locker->lease);
        ask(host, "POST", path, "{}", locker_renewed, locker);
    } else {
        locker->lease = 0;
        locker->is_asking = false;
        locker_again(locker);
    }
}

/* ---- a run ---- */

void sim_keeper_start(struct sim *sim)
{
    struct sim_keepers *keepers = mn_alloc(sizeof *keepers);

    sim->keepers = keepers;
    for (uint32_t i = 0; i < KEEPERS; i++) {
        keepers->keepers[i] =
            (struct keeper){.sim = sim, .index = i, .client = rng_id(&sim->rng_keep)};
        keeper_again(&keepers->keepers[i], MN_SEC);
    }
    for (uint32_t i = 0; i < LOCKERS; i++) {
        keepers->lockers[i] = (struct locker){.sim = sim, .index = i};
        locker_again(&keepers->lockers[i]);
    }
}

void sim_keeper_done(struct sim *sim)
{
    mn_free(sim->keepers);
    sim->keepers = NULL;
}

static bool is_any_open(const struct sim_keepers *keepers)
{
    for (uint32_t i = 0; i < KEEPERS; i++)
        if (keepers->keepers[i].is_open) return true;
    return false;
}

static void wait_for_all(struct sim *sim)
{
    mn_time end = sim->time + GIVE_UP + PATIENCE;

    while (!sim->has_failed && is_any_open(sim->keepers) && sim->time < end)
        sim_run_until(sim, sim->time + 20 * MN_MS);
    if (!sim->has_failed && is_any_open(sim->keepers))
        sim_fail(sim, "the strong keyspace does not answer, a while after the last fault");
}

/* All who keep the keyspace, as far as they have applied the log. */
static void check_alike(struct sim *sim)
{
    struct mn_buf *first = NULL;
    uint64_t applied = 0;

    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        const struct state *state = node_state(sim->hosts[i].node);
        struct mn_buf *other;
        struct raft_view view;
        if (state == NULL || !state_view(state, &view) || view.config->members_count == 0) continue;
        if (state_applied(state) == 0) continue;
        other = strong_snapshot(state_strong(state));
        if (first != NULL && applied == state_applied(state) &&
            !mn_span_equal(mn_buf_span(first), mn_buf_span(other)))
            sim_fail(sim, "%s keeps another keyspace at entry %" PRIu64, sim->hosts[i].name,
                     applied);
        if (state_applied(state) > applied) {
            mn_buf_unref(first);
            first = mn_buf_ref(other);
            applied = state_applied(state);
        }
        mn_buf_unref(other);
    }
    mn_buf_unref(first);
}

/* In the form that linearcheck reads. */
static void print_history(const struct raft_history *history)
{
    static const char *const kinds[] = {"", "put", "cas", "get"};

    for (uint32_t i = 0; i < history->count; i++) {
        const struct raft_op *op = &history->ops[i];
        printf("kept %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ", kinds[op->command.kind],
               op->command.value, op->command.expected, op->result, op->called);
        if (op->returned == MN_TIME_NEVER)
            printf("-\n");
        else
            printf("%" PRIu64 "\n", op->returned);
    }
}

void sim_keeper_end(struct sim *sim)
{
    struct sim_keepers *keepers = sim->keepers;

    if (keepers == NULL) return;
    keepers->is_over = true;
    wait_for_all(sim);
    for (uint32_t key = 0; key < KEYS; key++) { /* what is there now is what was acknowledged */
        for (uint32_t i = 0; i < KEEPERS && !sim->has_failed; i++) {
            keeper_begin(&keepers->keepers[i], RAFT_OP_GET, key);
            keeper_try(&keepers->keepers[i]);
        }
        wait_for_all(sim);
    }
    if (sim->has_failed) return;
    for (uint32_t key = 0; key < KEYS; key++) {
        if (raft_linear_check(keepers->history[key].ops, keepers->history[key].count)) continue;
        if (sim->options.is_verbose) print_history(&keepers->history[key]);
        sim_fail(sim, "linearizability: no order explains what was seen of kept-%u", key);
    }
    check_alike(sim);
}
