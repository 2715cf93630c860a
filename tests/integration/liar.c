/* liar.c: a node that equivocates. It is meshnode, but for what it says about decisions to every
 * second member: the opposite vote, and votes of the agreement for a block that does not exist.
 * The linker puts these functions between the node and the core; the product knows nothing of it.
 */
#include <string.h>

#include "consensus/decision_internal.h"
#include "proto/base/check.h"
#include "proto/simplex.pb-c.h"

mn_status __real_decision_new(const struct decision_config *config, const struct mn_span *records,
                              uint32_t records_count, struct mn_now now, struct decision **ret);
mn_status __wrap_decision_new(const struct decision_config *config, const struct mn_span *records,
                              uint32_t records_count, struct mn_now now, struct decision **ret);
void __real_decision_step(struct decision *decision, struct mn_now now,
                          const struct decision_input *input, struct decision_outbox *outbox);
void __wrap_decision_step(struct decision *decision, struct mn_now now,
                          const struct decision_input *input, struct decision_outbox *outbox);

static struct decision_config own;
static mn_id heard[64]; /* members in the order in which they first hear of us */
static uint32_t heard_count;

static bool is_lied_to(const mn_id *to)
{
    uint32_t at = 0;

    while (at < heard_count && !mn_id_equal(&heard[at], to))
        at++;
    if (at == heard_count && at < 64) heard[heard_count++] = *to;
    return at % 2 == 1;
}

mn_status __wrap_decision_new(const struct decision_config *config, const struct mn_span *records,
                              uint32_t records_count, struct mn_now now, struct decision **ret)
{
    own = *config;
    return __real_decision_new(config, records, records_count, now, ret);
}

/* Our own vote, the other way round. */
static void bend_vote(Meshnode__Decision__Signed *wire, struct mn_arena *arena)
{
    struct decision_vote vote;
    struct decision_signed bent;

    if (decision_read_vote(&own.mesh_id, wire, false, &vote) != MN_OK) return;
    if (memcmp(vote.pk, own.key->pk, sizeof vote.pk) != 0) return;
    vote.choice = vote.choice == DECISION_YES ? DECISION_NO : DECISION_YES;
    bent = decision_sign(&own, SIGN_BALLOT, decision_pack_vote(&vote));
    wire->body = pb_bytes(mn_arena_copy(arena, mn_buf_span(bent.body)));
    wire->signature = pb_bytes(mn_arena_copy(arena, mn_span(bent.signature, SIGN_SIZE)));
    mn_buf_unref(bent.body);
}

/* What we say about a block, about another one. */
static void bend_statement(Meshnode__Simplex__Statement *wire, struct mn_span instance,
                           struct mn_arena *arena)
{
    uint8_t body[sizeof(mn_id) + 4 + SIMPLEX_HASH_SIZE], signature[SIGN_SIZE];

    if (wire->kind != SIMPLEX_VOTE && wire->kind != SIMPLEX_FINAL) return;
    if (wire->hash.len != SIMPLEX_HASH_SIZE || instance.size != sizeof(mn_id)) return;
    memcpy(body, instance.data, sizeof(mn_id));
    mn_store_u32(body + sizeof(mn_id), wire->iteration);
    memset(body + sizeof(mn_id) + 4, 0x11, SIMPLEX_HASH_SIZE);
    sign_make(own.key, wire->kind == SIMPLEX_VOTE ? SIGN_BFT_VOTE : SIGN_BFT_FINAL, &own.mesh_id,
              mn_span(body, sizeof body), signature);
    wire->hash =
        pb_bytes(mn_arena_copy(arena, mn_span(body + sizeof(mn_id) + 4, SIMPLEX_HASH_SIZE)));
    wire->signature = pb_bytes(mn_arena_copy(arena, mn_span(signature, sizeof signature)));
}

static struct mn_buf *bend(struct mn_buf *buf)
{
    struct mn_arena arena = {0};
    Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(buf));
    Meshnode__Simplex__Message *inner;
    struct mn_buf *bent;

    MN_ASSERT(wire != NULL);
    for (size_t i = 0; i < wire->n_votes; i++)
        bend_vote(wire->votes[i], &arena);
    if (wire->agreement.len > 0) {
        inner =
            pb_unpack(&meshnode__simplex__message__descriptor, &arena, pb_span(wire->agreement));
        MN_ASSERT(inner != NULL);
        for (size_t i = 0; i < inner->n_statements; i++)
            bend_statement(inner->statements[i], pb_span(inner->instance), &arena);
        wire->agreement = pb_bytes(pb_pack_arena(&inner->base, &arena));
    }
    bent = pb_pack(&wire->base);
    mn_arena_done(&arena);
    mn_buf_unref(buf);
    return bent;
}

void __wrap_decision_step(struct decision *decision, struct mn_now now,
                          const struct decision_input *input, struct decision_outbox *outbox)
{
    __real_decision_step(decision, now, input, outbox);
    for (uint32_t i = 0; i < outbox->count; i++) {
        struct decision_output *out = &outbox->items[i];
        if (out->type == DECISION_OUT_SEND && is_lied_to(&out->send.to))
            out->send.buf = bend(out->send.buf);
    }
}
