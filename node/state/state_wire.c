/* state_wire.c: what nodes ask each other about the strong keyspace, as bytes (proto/state.proto).
 */
#include "consensus/raft_wire.h"
#include "node/state/state_internal.h"
#include "proto/pb.h"
#include "proto/state.pb-c.h"

/* ---- asks ---- */

struct mn_buf *state_ask_encode(const struct state_op *op)
{
    Meshnode__State__Ask pb = MESHNODE__STATE__ASK__INIT;
    Meshnode__State__Read read = MESHNODE__STATE__READ__INIT;
    Meshnode__State__Change change = MESHNODE__STATE__CHANGE__INIT;
    Meshnode__State__Survey survey = MESHNODE__STATE__SURVEY__INIT;
    Meshnode__State__Message message = MESHNODE__STATE__MESSAGE__INIT;

    pb.ask = op->number;
    pb.is_status = op->type == STATE_PROGRESS;
    if (op->command != NULL) pb.command = pb_bytes(mn_buf_span(op->command));
    if (op->type == STATE_READ || op->type == STATE_WATCH) {
        read.key = pb_bytes(mn_buf_span(op->key));
        read.is_watch = op->type == STATE_WATCH;
        read.is_now = op->is_now;
        read.after_rev = op->place.rev;
        read.after_part = op->place.part;
        read.is_list = op->is_list;
        read.after = pb_bytes(mn_buf_span(op->after));
        read.limit = op->limit;
        read.is_leases = op->is_leases;
        read.after_lease = op->after_lease;
        pb.read = &read;
    }
    if (op->type == STATE_TRANSFER) {
        change.node = pb_id_bytes(&op->node);
        pb.change = &change;
    }
    if (op->survey != NULL) {
        survey.digest_at = op->survey->digest_at;
        survey.order = pb_bytes(mn_buf_span(op->survey->order));
        pb.survey = &survey;
    }
    message.ask = &pb;
    return pb_pack(&message.base);
}

struct mn_buf *state_order_encode(struct mn_span order)
{
    Meshnode__State__Message message = MESHNODE__STATE__MESSAGE__INIT;

    message.order = pb_bytes(order);
    return pb_pack(&message.base);
}

static void on_survey(struct state *state, const mn_id *from, const Meshnode__State__Ask *pb)
{
    struct state_answer answer = {.status = MN_OK, .positions_count = 1};
    struct state_position position;
    struct state_output *output;

    if (pb->survey->order.len > 0) state_recover_heard(state, pb_span(pb->survey->order));
    state_recover_position(state, pb->survey->digest_at, &position);
    answer.positions = &position;
    output = state_emit(state, STATE_OUT_MESSAGE);
    output->send.to = *from;
    output->send.buf = state_answer_encode(state, pb->ask, &answer);
}

static bool read_is_sound(const Meshnode__State__Read *read)
{
    return read->key.len > 0 && read->key.len <= STRONG_KEY_MAX &&
           read->after.len <= STRONG_KEY_MAX &&
           (!(read->is_list || read->is_leases) ||
            (read->limit > 0 && read->limit <= STRONG_LIST_MAX));
}

static void on_ask(struct state *state, const mn_id *from, const Meshnode__State__Ask *pb)
{
    struct state_op op = {.from = *from, .ask = pb->ask, .is_remote = true};
    struct strong_command command;

    if (pb->survey != NULL) {
        on_survey(state, from, pb);
        return;
    }
    if (pb->command.len > 0) {
        op.type = STATE_COMMAND;
        if (strong_command_decode(pb_span(pb->command), &state->arena, &command) != MN_OK) return;
        op.command = mn_buf_copy(pb_span(pb->command));
    } else if (pb->read != NULL) {
        if (!read_is_sound(pb->read)) return;
        op.type = pb->read->is_watch ? STATE_WATCH : STATE_READ;
        op.is_now = pb->read->is_now;
        op.place = (struct strong_place){pb->read->after_rev, pb->read->after_part};
        op.key = mn_buf_copy(pb_span(pb->read->key));
        if (pb->read->after.len > 0) op.after = mn_buf_copy(pb_span(pb->read->after));
        op.is_list = pb->read->is_list;
        op.is_leases = pb->read->is_leases;
        op.after_lease = pb->read->after_lease;
        op.limit = pb->read->limit;
    } else if (pb->change != NULL) {
        op.type = STATE_TRANSFER;
        if (pb_id(pb->change->node, &op.node) != MN_OK) return;
    } else if (pb->is_status) {
        op.type = STATE_PROGRESS;
    } else {
        return; /* a newer node may ask what we do not understand */
    }
    state_ops_on_ask(state, &op);
}

/* ---- answers ---- */

static void write_pairs(Meshnode__State__Answer *pb, const struct state_answer *answer,
                        struct mn_arena *arena)
{
    pb->pairs = mn_arena_alloc(arena, (answer->pairs_count + 1) * sizeof *pb->pairs);
    pb->n_pairs = answer->pairs_count;
    for (uint32_t i = 0; i < answer->pairs_count; i++) {
        Meshnode__State__Pair *pair = mn_arena_alloc(arena, sizeof *pair);
        meshnode__state__pair__init(pair);
        pair->key = pb_bytes(answer->pairs[i].key);
        pair->value = pb_bytes(answer->pairs[i].value);
        pair->rev = answer->pairs[i].rev;
        pair->created = answer->pairs[i].created;
        pair->lease = answer->pairs[i].lease;
        pb->pairs[i] = pair;
    }
}

static void write_leases(Meshnode__State__Answer *pb, const struct state_answer *answer,
                         struct mn_arena *arena)
{
    pb->leases = mn_arena_alloc(arena, (answer->leases_count + 1) * sizeof *pb->leases);
    pb->n_leases = answer->leases_count;
    for (uint32_t i = 0; i < answer->leases_count; i++) {
        Meshnode__State__LeaseRow *row = mn_arena_alloc(arena, sizeof *row);
        meshnode__state__lease_row__init(row);
        row->id = answer->leases[i].id;
        row->ttl_ms = answer->leases[i].ttl_ms;
        row->left_ms = answer->leases[i].left_ms;
        row->renewals = answer->leases[i].renewals;
        row->keys = answer->leases[i].keys_count;
        pb->leases[i] = row;
    }
}

static void write_changes(Meshnode__State__Answer *pb, const struct state_answer *answer,
                          struct mn_arena *arena)
{
    pb->changes = mn_arena_alloc(arena, (answer->changes_count + 1) * sizeof *pb->changes);
    pb->n_changes = answer->changes_count;
    for (uint32_t i = 0; i < answer->changes_count; i++) {
        Meshnode__State__Changed *change = mn_arena_alloc(arena, sizeof *change);
        meshnode__state__changed__init(change);
        change->key = pb_bytes(answer->changes[i].key);
        change->value = pb_bytes(answer->changes[i].value);
        change->is_removed = answer->changes[i].is_removed;
        change->rev = answer->changes[i].place.rev;
        change->part = answer->changes[i].place.part;
        change->created = answer->changes[i].created;
        pb->changes[i] = change;
    }
    pb->place_rev = answer->place.rev;
    pb->place_part = answer->place.part;
}

static void write_progress(Meshnode__State__Answer *pb, const struct state_answer *answer,
                           struct mn_arena *arena)
{
    pb->progress = mn_arena_alloc(arena, (answer->progress_count + 1) * sizeof *pb->progress);
    pb->n_progress = answer->progress_count;
    for (uint32_t i = 0; i < answer->progress_count; i++) {
        Meshnode__State__Progress *progress = mn_arena_alloc(arena, sizeof *progress);
        meshnode__state__progress__init(progress);
        progress->node = pb_id_bytes(&answer->progress[i].node);
        progress->match = answer->progress[i].match;
        progress->is_member = answer->progress[i].is_member;
        progress->ack_us = answer->progress[i].ack;
        progress->advised = answer->progress[i].advised;
        progress->role = (uint32_t)answer->progress[i].wish.role;
        progress->weight = answer->progress[i].wish.weight;
        pb->progress[i] = progress;
    }
}

static void write_position(Meshnode__State__Position *pb, const struct state_position *position)
{
    pb->epoch = position->epoch;
    pb->term = position->term;
    pb->commit = position->commit;
    pb->applied = position->applied;
    pb->last_index = position->last_index;
    pb->last_term = position->last_term;
    pb->is_member = position->is_member;
    pb->is_wounded = position->is_wounded;
    pb->has_leader = position->has_leader;
    pb->is_leader = position->is_leader;
    pb->keys = position->keys_count;
    if (position->has_digest) pb->digest = pb_bytes(mn_span(position->digest, STRONG_DIGEST_SIZE));
}

struct mn_buf *state_answer_encode(const struct state *state, uint64_t ask,
                                   const struct state_answer *answer)
{
    Meshnode__State__Answer pb = MESHNODE__STATE__ANSWER__INIT;
    Meshnode__State__Reply reply = MESHNODE__STATE__REPLY__INIT;
    Meshnode__State__Position position = MESHNODE__STATE__POSITION__INIT;
    struct mn_buf *config = NULL;
    struct mn_arena arena = {0};
    mn_id leader = state_leader(state);
    Meshnode__State__Message message = MESHNODE__STATE__MESSAGE__INIT;
    struct mn_buf *buf;

    pb.ask = ask;
    pb.status = answer->status;
    if (!mn_id_is_zero(&leader)) pb.leader = pb_id_bytes(&leader);
    reply.status = answer->reply.status;
    reply.rev = answer->reply.rev;
    reply.number = answer->reply.number;
    pb.reply = &reply;
    write_pairs(&pb, answer, &arena);
    write_leases(&pb, answer, &arena);
    write_changes(&pb, answer, &arena);
    write_progress(&pb, answer, &arena);
    pb.has_more = answer->has_more;
    pb.is_advised = answer->is_advised;
    pb.gain_permille = answer->gain_permille;
    pb.commit = answer->commit;
    pb.term = answer->term;
    if (answer->positions_count > 0) {
        write_position(&position, answer->positions);
        if (answer->positions->config.members_count > 0)
            config = raft_config_encode(&answer->positions->config);
        position.config = pb_bytes(mn_buf_span(config));
        pb.position = &position;
    }
    message.answer = &pb;
    buf = pb_pack(&message.base);
    mn_buf_unref(config);
    mn_arena_done(&arena);
    return buf;
}

static void read_pairs(struct state *state, const Meshnode__State__Answer *pb,
                       struct state_answer *answer)
{
    struct mn_arena *arena = state->outbox->arena;

    answer->pairs = mn_arena_alloc(arena, (pb->n_pairs + 1) * sizeof *answer->pairs);
    for (size_t i = 0; i < pb->n_pairs; i++)
        answer->pairs[answer->pairs_count++] =
            (struct strong_pair){.key = mn_arena_copy(arena, pb_span(pb->pairs[i]->key)),
                                 .value = mn_arena_copy(arena, pb_span(pb->pairs[i]->value)),
                                 .rev = pb->pairs[i]->rev,
                                 .created = pb->pairs[i]->created,
                                 .lease = pb->pairs[i]->lease};
}

static void read_leases(struct state *state, const Meshnode__State__Answer *pb,
                        struct state_answer *answer)
{
    struct mn_arena *arena = state->outbox->arena;

    answer->leases = mn_arena_alloc(arena, (pb->n_leases + 1) * sizeof *answer->leases);
    for (size_t i = 0; i < pb->n_leases; i++)
        answer->leases[answer->leases_count++] =
            (struct state_lease){.id = pb->leases[i]->id,
                                 .ttl_ms = pb->leases[i]->ttl_ms,
                                 .left_ms = pb->leases[i]->left_ms,
                                 .renewals = pb->leases[i]->renewals,
                                 .keys_count = pb->leases[i]->keys};
}

static void read_changes(struct state *state, const Meshnode__State__Answer *pb,
                         struct state_answer *answer)
{
    struct mn_arena *arena = state->outbox->arena;

    answer->changes = mn_arena_alloc(arena, (pb->n_changes + 1) * sizeof *answer->changes);
    for (size_t i = 0; i < pb->n_changes; i++)
        answer->changes[answer->changes_count++] =
            (struct state_change){.place = {pb->changes[i]->rev, pb->changes[i]->part},
                                  .is_removed = pb->changes[i]->is_removed,
                                  .key = mn_arena_copy(arena, pb_span(pb->changes[i]->key)),
                                  .value = mn_arena_copy(arena, pb_span(pb->changes[i]->value)),
                                  .created = pb->changes[i]->created};
}

static mn_status read_position(struct state *state, const Meshnode__State__Position *pb,
                               struct state_answer *answer)
{
    struct state_position *position = mn_arena_alloc(state->outbox->arena, sizeof *position);

    *position = (struct state_position){.epoch = pb->epoch,
                                        .term = pb->term,
                                        .commit = pb->commit,
                                        .applied = pb->applied,
                                        .last_index = pb->last_index,
                                        .last_term = pb->last_term,
                                        .is_member = pb->is_member,
                                        .is_wounded = pb->is_wounded,
                                        .has_leader = pb->has_leader,
                                        .is_leader = pb->is_leader,
                                        .keys_count = pb->keys};
    answer->positions = position;
    answer->positions_count = 1;
    if (pb->digest.len > 0) {
        position->has_digest = true;
        if (pb_fixed(pb->digest, position->digest, STRONG_DIGEST_SIZE) != MN_OK)
            return MN_MALFORMED;
    }
    if (pb->config.len == 0) return MN_OK;
    return raft_config_decode(pb_span(pb->config), &position->config);
}

static bool read_progress(struct state *state, const Meshnode__State__Answer *pb,
                          struct state_answer *answer)
{
    struct mn_arena *arena = state->outbox->arena;

    answer->progress = mn_arena_alloc(arena, (pb->n_progress + 1) * sizeof *answer->progress);
    for (size_t i = 0; i < pb->n_progress; i++) {
        struct state_progress *progress = &answer->progress[answer->progress_count++];
        progress->match = pb->progress[i]->match;
        progress->is_member = pb->progress[i]->is_member;
        progress->ack = pb->progress[i]->ack_us;
        progress->advised = pb->progress[i]->advised;
        progress->wish.weight = pb->progress[i]->weight;
        if (pb->progress[i]->role <= METADATA_VOTER)
            progress->wish.role = (enum metadata_role)pb->progress[i]->role;
        if (pb_id(pb->progress[i]->node, &progress->node) != MN_OK) return false;
    }
    return true;
}

static void on_answer(struct state *state, const mn_id *from, const Meshnode__State__Answer *pb)
{
    struct state_answer answer = {.ticket = pb->ask,
                                  .status = (mn_status)pb->status,
                                  .has_more = pb->has_more,
                                  .is_advised = pb->is_advised,
                                  .gain_permille = pb->gain_permille,
                                  .place = {pb->place_rev, pb->place_part},
                                  .commit = pb->commit,
                                  .term = pb->term};
    mn_id leader = {0};

    if (pb->n_pairs > STRONG_LIST_MAX || pb->n_changes > STRONG_LIST_MAX ||
        pb->n_leases > STRONG_LIST_MAX || pb->n_progress > STATE_PROGRESS_MAX)
        return;
    if (pb->leader.len > 0 && pb_id(pb->leader, &leader) != MN_OK) return;
    if (pb->reply != NULL)
        answer.reply = (struct strong_reply){.status = (mn_status)pb->reply->status,
                                             .rev = pb->reply->rev,
                                             .number = pb->reply->number};
    read_pairs(state, pb, &answer);
    read_leases(state, pb, &answer);
    read_changes(state, pb, &answer);
    if (pb->position != NULL && read_position(state, pb->position, &answer) != MN_OK) return;
    if (read_progress(state, pb, &answer)) state_ops_on_answer(state, from, &leader, &answer);
}

void state_wire_on_message(struct state *state, const mn_id *from, struct mn_span bytes)
{
    const Meshnode__State__Message *pb;

    if (bytes.size > STATE_MESSAGE_MAX) return;
    pb = pb_unpack(&meshnode__state__message__descriptor, &state->arena, bytes);
    if (pb == NULL) return;
    if (pb->ask != NULL) on_ask(state, from, pb->ask);
    if (pb->order.len > 0) state_recover_heard(state, pb_span(pb->order));
    if (pb->answer != NULL) on_answer(state, from, pb->answer);
}
