/* decision_net.h: six nodes with real signatures on a net that loses nothing unless a test says so.
 * Loss, crashes and liars in numbers are bftsim's. Each test program has its own copy. */
#ifndef DECISION_NET_H
#define DECISION_NET_H

#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "consensus/decision_internal.h"
#include "consensus/metrics.h"
#include "crypto/digest.h"
#include "tests/consensus/decision_records.h"

#define NODES 6u
#define LETTERS_MAX 65536u

struct letter {
    uint32_t from, to;
    struct mn_buf *buf;
};

struct node {
    struct decision *core;
    struct decision_records disk;
    uint32_t asked, convicted;
    uint64_t write;
    mn_id asked_id, replied_id;
    mn_status status;
    enum decision_outcome outcome;
};

static const mn_id mesh_id = {{5}};
static struct sign_key keys[NODES];
static mn_id ids[NODES];
static struct decision_member members[NODES];
static struct node nodes[NODES];
static struct letter letters[LETTERS_MAX];
static uint32_t letters_first, letters_count, decisions_max;
static struct mn_now now;
static mn_time patience;
static bool is_disk_stuck, abstains, is_byzantine;

static void step(uint32_t node, const struct decision_input *input);

/* What it says of itself now, so that it weighs so much. */
static __attribute__((unused)) void weigh(uint32_t node, uint32_t weight)
{
    struct metrics said = {.values[METRIC_LINKS] = weight / 1000.0};

    mn_buf_unref(members[node].record);
    members[node].record = NULL;
    members[node].weight = weight;
    if (weight == 0) return;
    members[node].record = metrics_encode(&said, &mesh_id, &keys[node], now);
    ck_assert_uint_eq(metrics_weight(&said), weight);
}

static __attribute__((unused)) void tell_members(uint32_t node)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};

    input.members.items = members;
    input.members.count = NODES;
    step(node, &input);
}

static __attribute__((unused)) void start(uint32_t node)
{
    struct decision_config config = {.mesh_id = mesh_id,
                                     .key = &keys[node],
                                     .decisions_max = decisions_max,
                                     .agreements_max = 8,
                                     .resend = 250 * MN_MS,
                                     .delay = 100 * MN_MS,
                                     .patience = patience,
                                     .abstains = abstains,
                                     .seed = {(uint8_t)(node + now.mono / MN_SEC)}};
    struct mn_span records[RECORDS_MAX];
    uint32_t count;

    count = decision_records_spans(&nodes[node].disk, records);
    ck_assert_int_eq(decision_new(&config, records, count, now, &nodes[node].core), MN_OK);
    nodes[node].write = 0;
    tell_members(node);
}

static __attribute__((unused)) void stop(uint32_t node)
{
    decision_free(nodes[node].core);
    nodes[node].core = NULL;
}

static __attribute__((unused)) void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    now = (struct mn_now){MN_SEC, 1700000000 * MN_SEC};
    is_disk_stuck = abstains = is_byzantine = false;
    decisions_max = 16;
    patience = 0;
    letters_first = letters_count = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        uint8_t seed[SIGN_SEED_SIZE] = {(uint8_t)(i + 1)};
        sign_key_init(&keys[i], seed);
        ids[i] = digest_node_id(keys[i].pk);
        memcpy(members[i].pk, keys[i].pk, SIGN_PK_SIZE);
        members[i].record = NULL;
        weigh(i, 1000);
        nodes[i] = (struct node){0};
    }
    for (uint32_t i = 0; i < NODES; i++)
        start(i);
}

static __attribute__((unused)) void drop_letters(void)
{
    for (; letters_first < letters_count; letters_first++)
        mn_buf_unref(letters[letters_first].buf);
}

static __attribute__((unused)) void teardown(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        stop(i);
        decision_records_done(&nodes[i].disk);
        mn_buf_unref(members[i].record);
    }
    drop_letters();
}

static void take(uint32_t node, const struct decision_output *out)
{
    switch (out->type) {
    case DECISION_OUT_SEND:
        for (uint32_t to = 0; to < NODES; to++)
            if (mn_id_equal(&ids[to], &out->send.to)) {
                ck_assert_uint_lt(letters_count, LETTERS_MAX);
                letters[letters_count++] = (struct letter){node, to, mn_buf_ref(out->send.buf)};
            }
        break;
    case DECISION_OUT_PERSIST:
        nodes[node].write = out->persist.write;
        ck_assert(decision_records_take(&nodes[node].disk, out));
        break;
    case DECISION_OUT_ASKED:
        nodes[node].asked++;
        nodes[node].asked_id = out->asked.id;
        break;
    case DECISION_OUT_EVIDENCE: nodes[node].convicted++; break;
    case DECISION_OUT_OUTCOME: nodes[node].outcome = out->outcome.outcome; break;
    case DECISION_OUT_REPLY:
        nodes[node].status = out->reply.status;
        nodes[node].replied_id = out->reply.id;
        break;
    }
}

static void step(uint32_t node, const struct decision_input *input)
{
    struct mn_arena arena = {0};
    struct decision_outbox out = {.arena = &arena};
    uint64_t before = nodes[node].write;

    decision_step(nodes[node].core, now, input, &out);
    decision_check(nodes[node].core);
    for (uint32_t i = 0; i < out.count; i++)
        take(node, &out.items[i]);
    decision_outbox_reset(&out);
    mn_arena_done(&arena);
    if (nodes[node].write != before && !is_disk_stuck)
        step(node,
             &(struct decision_input){.type = DECISION_IN_DURABLE, .durable = nodes[node].write});
}

static __attribute__((unused)) void hand_over(uint32_t to, uint32_t from, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MESSAGE};

    input.message.from = ids[from];
    input.message.bytes = bytes;
    step(to, &input);
}

static __attribute__((unused)) void deliver_all(void)
{
    for (; letters_first < letters_count; letters_first++) {
        struct letter *letter = &letters[letters_first];
        if (nodes[letter->to].core != NULL)
            hand_over(letter->to, letter->from, mn_buf_span(letter->buf));
        mn_buf_unref(letter->buf);
    }
}

static __attribute__((unused)) void pass(mn_time time)
{
    for (mn_time until = now.mono + time; now.mono < until;) {
        now.mono += 50 * MN_MS;
        now.wall += 50 * MN_MS;
        for (uint32_t i = 0; i < NODES; i++)
            if (nodes[i].core != NULL && decision_deadline(nodes[i].core) <= now.mono)
                step(i, &(struct decision_input){.type = DECISION_IN_TICK});
        deliver_all();
    }
}

static __attribute__((unused)) mn_id propose(uint32_t node, const char *topic, const char *value)
{
    struct decision_input input = {.type = DECISION_IN_PROPOSE};

    input.propose.topic = mn_span_str(topic);
    input.propose.value = mn_span_str(value);
    input.propose.quorum_num = 3;
    input.propose.quorum_den = 4;
    input.propose.timeout = 2 * MN_SEC;
    input.propose.basis = DECISION_METRIC;
    input.propose.is_byzantine = is_byzantine;
    step(node, &input);
    return nodes[node].replied_id;
}

static __attribute__((unused)) void answer(uint32_t node, const mn_id *id,
                                           enum decision_choice choice)
{
    struct decision_input input = {.type = DECISION_IN_ANSWER};

    input.answer.id = *id;
    input.answer.choice = choice;
    input.answer.cause = DECISION_BY_HAND;
    step(node, &input);
}

static __attribute__((unused)) struct decision_view view_of(uint32_t node, const mn_id *id)
{
    struct decision_view view;

    ck_assert_int_eq(decision_find(nodes[node].core, id, &view), MN_OK);
    return view;
}

#endif
