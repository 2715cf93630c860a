/* One-shot decisions as hosts run them, proposers and voters that lie, and what must hold. Honest
 * hosts vote by a rule on the value. */
#include "sim/bft/bft_decide.h"
#include "consensus/metrics.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define PROPOSALS_MAX 12u

struct council *council(struct bft_world *world)
{
    return world->scratch;
}

uint32_t council_host_of(struct bft_world *world, const mn_id *id)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (mn_id_equal(&council(world)->ids[i], id)) return i;
    return UINT32_MAX;
}

uint64_t council_value_of(struct mn_span value)
{
    return value.size == 8 ? mn_load_u64(value.data) : 0;
}

struct mn_buf *council_record_of(struct bft_world *world, const struct bft_host *host,
                                 uint32_t weight)
{
    struct metrics said = {.values[METRIC_LINKS] = weight / 10.0};

    MN_ASSERT(metrics_weight(&said) == 100 * weight);
    return metrics_encode(&said, &council(world)->mesh_id, &host->key, bft_now(host));
}

/* ---- hosts ---- */

static void feed(struct bft_host *host, const struct decision_input *input);

/* The rule of honest hosts: odd values are good; what a multiple of 16 asks for nobody knows. */
static void vote(struct bft_host *host, const mn_id *id)
{
    struct decision_input input = {.type = DECISION_IN_ANSWER};
    struct decision_view view;
    uint64_t value;

    if (decision_find(host->core, id, &view) != MN_OK) return;
    value = council_value_of(view.value);
    if (value % 16 == 0) return;
    input.answer.id = *id;
    input.answer.choice = value % 2 == 1 ? DECISION_YES : DECISION_NO;
    input.answer.cause = DECISION_BY_POLICY;
    feed(host, &input);
}

static void carry_out(struct bft_host *host, const struct decision_outbox *outbox)
{
    struct bft_world *world = host->world;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct decision_output *out = &outbox->items[i];
        uint32_t to;
        mn_id key;
        switch (out->type) {
        case DECISION_OUT_SEND:
            to = council_host_of(world, &out->send.to);
            if (!host->is_liar) council_check_sent(host, mn_buf_span(out->send.buf));
            if (to >= world->hosts_count) break;
            if (host->is_liar)
                council_liar_send(host, to, out->send.buf);
            else
                bft_host_send(host, to, out->send.buf);
            break;
        case DECISION_OUT_PERSIST:
            key = out->persist.id; /* one per kind and part */
            key.bytes[0] ^= (uint8_t)out->persist.what;
            for (uint32_t k = 0; k < 4; k++)
                key.bytes[1 + k] ^= (uint8_t)(out->persist.part >> 8 * k);
            bft_host_persist(host, out->persist.write, &key, out->persist.record);
            break;
        case DECISION_OUT_ASKED: vote(host, &out->asked.id); break;
        case DECISION_OUT_OUTCOME:
            if (!host->is_liar) council_check_outcome(host, out);
            break;
        case DECISION_OUT_EVIDENCE:
            council_check_evidence(host, &out->evidence.node, out->evidence.lie);
            break;
        case DECISION_OUT_REPLY:
            if (out->reply.request == 0 || out->reply.status != MN_OK) break;
            if (world->is_quiet && host->index == council(world)->live_host) {
                council(world)->live = out->reply.id;
                council(world)->has_live = true;
            }
            break;
        }
    }
}

static void step(struct bft_host *host, const struct decision_input *input)
{
    struct mn_arena arena = {0};
    struct decision_outbox outbox = {.arena = &arena};

    decision_step(host->core, bft_now(host), input, &outbox);
    decision_check(host->core);
    carry_out(host, &outbox);
    decision_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

/* Who is a member, as this host knows by now. */
static void tell_members(struct bft_host *host)
{
    const struct council *run = council(host->world);
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    struct decision_member known[BFT_HOSTS_MAX];

    for (uint32_t i = 0; i < host->world->hosts_count; i++)
        if (i != run->guest || host->world->time >= run->learns_at[host->index])
            known[input.members.count++] = run->members[i];
    input.members.items = known;
    step(host, &input);
}

/* As a node does: before anything that may look at the members. */
static void feed(struct bft_host *host, const struct decision_input *input)
{
    if (input->type != DECISION_IN_DURABLE && host->core != NULL) tell_members(host);
    if (host->core != NULL) step(host, input);
}

static void start(struct bft_host *host)
{
    struct decision_config config = {.mesh_id = council(host->world)->mesh_id,
                                     .key = &host->key,
                                     .decisions_max = council(host->world)->decisions_max,
                                     .agreements_max = 16,
                                     .resend = 50 * MN_MS,
                                     .delay = 50 * MN_MS,
                                     .patience = COUNCIL_PATIENCE,
                                     .abstains = host->is_restored};
    const struct mn_span *records;
    struct decision *core;
    uint32_t count;

    records = bft_host_records(host, &count);
    rng_bytes(&host->world->rng_work, config.seed, sizeof config.seed);
    if (decision_new(&config, records, count, bft_now(host), &core) != MN_OK) {
        bft_world_fail(host->world, "n%u does not start", host->index);
        return;
    }
    host->core = core;
    tell_members(host);
}

static void stop(struct bft_host *host)
{
    decision_free(host->core);
}

static void durable(struct bft_host *host, uint64_t upto)
{
    feed(host, &(struct decision_input){.type = DECISION_IN_DURABLE, .durable = upto});
}

static void tick(struct bft_host *host)
{
    feed(host, &(struct decision_input){.type = DECISION_IN_TICK});
}

static mn_time deadline(const struct bft_host *host)
{
    return decision_deadline(host->core);
}

/* ---- load ---- */

static void propose(struct bft_host *host, uint64_t value, mn_time timeout)
{
    struct bft_world *world = host->world;
    struct decision_input input = {.type = DECISION_IN_PROPOSE};
    char topic[2] = {(char)('a' + bft_draw(&world->rng_strike, COUNCIL_TOPICS)), '\0'};
    uint8_t bytes[8];

    if (world->is_quiet) topic[0] = 'z'; /* nobody has said anything about it */
    mn_store_u64(bytes, value);
    input.propose.request = ++council(world)->requests;
    input.propose.topic = mn_span_str(topic);
    input.propose.value = mn_span(bytes, sizeof bytes);
    input.propose.quorum_num = 67 + bft_draw(&world->rng_strike, world->is_quiet ? 1 : 25);
    input.propose.quorum_den = 100;
    input.propose.timeout = timeout;
    input.propose.basis = bft_draw(&world->rng_strike, 2) == 0 ? DECISION_EQUAL : DECISION_METRIC;
    if (world->is_quiet) input.propose.basis = DECISION_METRIC; /* by which liars are few */
    input.propose.is_byzantine = bft_draw(&world->rng_strike, 3) == 0;
    feed(host, &input);
    bft_host_arm(host);
}

static void propose_one(struct bft_world *world)
{
    struct bft_host *host = &world->hosts[bft_draw(&world->rng_strike, world->hosts_count)];

    if (world->is_quiet || host->core == NULL || host->paused_until > world->time) return;
    propose(host, 1 + bft_draw(&world->rng_strike, 40),
            50 * MN_MS + bft_draw(&world->rng_strike, 1000000));
}

static void propose_next(struct bft_world *world, struct bft_event *event)
{
    (void)event;
    if (world->is_quiet || council(world)->proposals++ >= PROPOSALS_MAX) return;
    bft_world_decide(world, BFT_OP, 0, rng_u64(&world->rng_work));
    bft_world_at(world, world->time + bft_draw(&world->rng_work, 400000), propose_next, NULL);
}
/* An owner who does not wait until the node asks. */
static void vote_unasked(struct bft_host *host)
{
    struct decision_view view;

    if (!decision_at(host->core, 0, &view) || !view.is_voter) return;
    if (view.outcome == DECISION_OPEN && view.own == DECISION_NONE) vote(host, &view.id);
}

static void message(struct bft_host *host, uint32_t from, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MESSAGE};

    input.message.from = council(host->world)->ids[from];
    input.message.bytes = bytes;
    feed(host, &input);
    if (!host->is_liar && bft_draw(&host->world->rng_work, 8) == 0) vote_unasked(host);
}

/* ---- a run ---- */

/* One of five or more comes later than the others, about when they propose. It knows them all. */
static void draw_guest(struct bft_world *world)
{
    struct council *run = council(world);
    mn_time at;

    run->guest = UINT32_MAX;
    if (world->hosts_count <= DECISION_VOTERS_MIN || bft_draw(&world->rng_work, 2) == 0) return;
    run->guest = bft_draw(&world->rng_work, world->hosts_count);
    at = bft_draw(&world->rng_work, 1500) * MN_MS;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        run->learns_at[i] =
            i == run->guest ? 0 : at + rng_below_u64(&world->rng_work, COUNCIL_SPREAD);
}

static void begin(struct bft_world *world)
{
    struct council *run = mn_alloc(sizeof *run);

    world->scratch = run;
    run->mesh_id.bytes[0] = 1;
    run->decisions_max = bft_draw(&world->rng_work, 3) == 0 ? 8 : 1024;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct bft_host *host = &world->hosts[i];
        memcpy(run->members[i].pk, host->key.pk, SIGN_PK_SIZE);
        run->members[i].weight = 100 * host->weight;
        run->members[i].record = council_record_of(world, host, host->weight);
        run->ids[i] = digest_node_id(host->key.pk);
        if (host->is_liar && !world->options.is_told)
            bft_world_at(world, bft_draw(&world->rng_liar, 50000), council_liar_next, host);
    }
    if (!world->options.is_told)
        bft_world_at(world, bft_draw(&world->rng_work, 100000), propose_next, NULL);
    draw_guest(world);
}

/* What the honest ones that may vote have, after the caps. */
static bool do_honest_suffice(struct bft_world *world)
{
    uint32_t weights[BFT_HOSTS_MAX];
    uint64_t total = 0, honest = 0;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        weights[i] = council(world)->members[i].weight;
    if (!decision_cap(weights, world->hosts_count)) return false;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        total += weights[i];
        if (!world->hosts[i].is_liar && !world->hosts[i].is_restored) honest += weights[i];
    }
    return 100 * honest >= 67 * total;
}

/* One more decision, which everybody honest likes. */
static void quiet(struct bft_world *world)
{
    struct council *run = council(world);

    while (world->hosts[run->live_host].is_liar)
        run->live_host++;
    story_rng(&world->rng_strike, world->options.story->seed);
    propose(&world->hosts[run->live_host], 1, 2 * MN_SEC);
}

static bool has_open(struct bft_world *world)
{
    struct decision_view view;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        for (uint32_t k = 0;
             !world->hosts[i].is_liar && decision_at(world->hosts[i].core, k, &view); k++)
            if (view.outcome == DECISION_OPEN) return true;
    return false;
}

/* Of those the run left open, and of the last one. Who gives a byzantine one up does so a minute
 * after its deadline, or after it heard of it, if that was later; and until they gave up, others
 * still talk of it. */
static bool is_done(struct bft_world *world)
{
    mn_time since = world->time - world->options.story->faults_for;

    return since >= 140 * MN_SEC || (since >= 80 * MN_SEC && !has_open(world));
}

static void end(struct bft_world *world)
{
    struct council *run = council(world);
    struct decision_view view;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct bft_host *host = &world->hosts[i];
        if (host->is_liar) continue;
        for (uint32_t k = 0; decision_at(host->core, k, &view); k++)
            if (view.outcome == DECISION_OPEN)
                bft_world_fail(world,
                               "liveness: n%u has one open for ever (%s, value %llu, created at "
                               "%llu ms, deadline %llu ms, %u members, voter %d)",
                               i, view.is_byzantine ? "byzantine" : "plain",
                               (unsigned long long)council_value_of(view.value),
                               (unsigned long long)view.created_ms,
                               (unsigned long long)view.deadline_ms, view.ballots_count,
                               view.is_voter);
        if (!run->has_live || run->decisions_max < 1024 || !do_honest_suffice(world)) continue;
        if (decision_find(host->core, &run->live, &view) != MN_OK ||
            view.outcome != DECISION_ACHIEVED)
            bft_world_fail(world, "liveness: n%u does not see the last one achieved", i);
    }
}

static void finish(struct bft_world *world)
{
    for (uint32_t i = 0; world->scratch != NULL && i < world->hosts_count; i++)
        mn_buf_unref(council(world)->members[i].record);
    for (uint32_t i = 0; world->scratch != NULL && i < 2; i++)
        mn_buf_unref(council(world)->bent.halves[i]);
    mn_free(world->scratch);
}

const struct bft_scenario bft_decide = {.name = "decision",
                                        .begin = begin,
                                        .start = start,
                                        .stop = stop,
                                        .lie = council_lie,
                                        .propose = propose_one,
                                        .message = message,
                                        .durable = durable,
                                        .tick = tick,
                                        .deadline = deadline,
                                        .quiet = quiet,
                                        .is_done = is_done,
                                        .end = end,
                                        .finish = finish};
