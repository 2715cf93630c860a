/* core_decision.c: signed one-shot decisions in a node: who has a vote, what is stored. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"

#define PREFIX_DECISION "decision/"
#define PREFIX_AGREEMENT "agreement/"
#define PREFIX_EVIDENCE "evidence/"
#define RESEND (250 * MN_MS)
#define PATIENCE \
    (10 * MN_SEC) /* who came, died or was restarted is known everywhere by then, mostly */
#define DELAY (200 * MN_MS) /* of an agreement, at least; more where round trips are long */
#define RECORDS_MAX                                                               \
    32768u /* read back at the start: 256 decisions, 16 agreements of up to 1,000 \
            * records, and evidence, with room to spare */

/* A record of the core and the write of the store that carries it. */
struct core_decision_write {
    struct mn_list list;
    uint64_t record, write;
};

/* A record that was read before the mesh was known. */
struct core_decision_record {
    struct mn_list list;
    struct mn_buf *buf;
};

void core_decision_init(struct core *core)
{
    mn_list_init(&core->decision_writes);
    mn_list_init(&core->decision_records);
}

void core_decision_done(struct core *core)
{
    struct mn_list *item;

    while ((item = mn_list_take(&core->decision_writes)) != NULL)
        mn_free(MN_CONTAINER(item, struct core_decision_write, list));
    while ((item = mn_list_take(&core->decision_records)) != NULL) {
        struct core_decision_record *record = MN_CONTAINER(item, struct core_decision_record, list);
        mn_buf_unref(record->buf);
        mn_free(record);
    }
    decision_free(core->decision);
}

static bool core_begins(struct mn_span key, const char *prefix)
{
    size_t size = strlen(prefix);

    return key.size > size && memcmp(key.data, prefix, size) == 0;
}

bool core_decision_recover(struct core *core, struct mn_span key, struct mn_span value)
{
    struct core_decision_record *record;

    if (!core_begins(key, PREFIX_DECISION) && !core_begins(key, PREFIX_AGREEMENT) &&
        !core_begins(key, PREFIX_EVIDENCE))
        return false;
    if (core->decision_records_count >= RECORDS_MAX) return true;
    core->decision_records_count++;
    record = mn_alloc(sizeof *record);
    record->buf = mn_buf_copy(value);
    mn_list_push_back(&core->decision_records, &record->list);
    return true;
}

/* The mesh is known now: what was stored is read, and decisions can be made. */
void core_decision_begin(struct core *core)
{
    struct decision_config config = {.mesh_id = admission_mesh_id(core->admission),
                                     .key = &core->identity.key,
                                     .decisions_max = 256,
                                     .agreements_max = 16,
                                     .resend = RESEND,
                                     .delay = DELAY,
                                     .patience = PATIENCE};
    struct mn_span *records =
        mn_arena_alloc(core->arena, (core->decision_records_count + 1) * sizeof *records);
    uint32_t count = 0;

    MN_LIST_FOR_EACH (item, &core->decision_records) {
        records[count++] = mn_buf_span(MN_CONTAINER(item, struct core_decision_record, list)->buf);
    }
    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    if (decision_new(&config, records, count, core->now, &core->decision) != MN_OK)
        MN_ASSERT(false && "a configuration within its ranges");
}

/* ---- in ---- */

/* Everybody alive has a vote, but for edge nodes; who has not said for long what it measures has
 * none where metrics weigh. */
static void core_tell_decision_members(struct core *core)
{
    struct decision_input *input = &core_push(core, CORE_WORK_DECISION)->decision;
    uint32_t total = membership_count(core->membership, MEMBER_ALIVE) +
                     membership_count(core->membership, MEMBER_SUSPECT);
    struct decision_member *members = mn_arena_alloc(core->arena, (total + 1) * sizeof *members);
    uint32_t count = 0;

    for (const struct member *member = membership_next(core->membership, NULL); member != NULL;
         member = membership_next(core->membership, member)) {
        if (member->status != MEMBER_ALIVE && member->status != MEMBER_SUSPECT) continue;
        if (member->record->said.role == MESHNODE__TRUST__ROLE__ROLE_EDGE || count > total)
            continue;
        memcpy(members[count].pk, member->record->sign_pk, SIGN_PK_SIZE);
        members[count].record = core_metrics_record(core, &member->node_id, &members[count].weight);
        count++;
    }
    input->type = DECISION_IN_MEMBERS;
    input->members.items = members;
    input->members.count = count;
    input->members.rtt = core_longest_rtt(core);
}

struct decision_input *core_push_decision(struct core *core, enum decision_input_type type)
{
    struct decision_input *input;

    if (core->membership != NULL && type != DECISION_IN_DURABLE) /* which asks nobody */
        core_tell_decision_members(core);
    input = &core_push(core, CORE_WORK_DECISION)->decision;
    input->type = type;
    return input;
}

void core_decision_durable(struct core *core, uint64_t write)
{
    uint64_t upto = 0;

    while (!mn_list_is_empty(&core->decision_writes)) {
        struct core_decision_write *item =
            MN_CONTAINER(core->decision_writes.next, struct core_decision_write, list);
        if (item->write > write) break;
        upto = item->record;
        mn_list_remove(&item->list);
        mn_free(item);
    }
    if (upto > 0) core_push_decision(core, DECISION_IN_DURABLE)->durable = upto;
}

static void core_on_decision_propose(struct core *core, const struct core_command *command)
{
    struct decision_input *input;

    input = core_push_decision(core, DECISION_IN_PROPOSE);
    input->propose.request = command->request;
    input->propose.topic = command->decision.topic;
    input->propose.value = command->decision.value;
    input->propose.quorum_num = command->decision.quorum_num;
    input->propose.quorum_den = command->decision.quorum_den;
    input->propose.timeout = command->decision.timeout;
    input->propose.basis = command->decision.basis;
    input->propose.is_byzantine = command->decision.is_byzantine;
}

void core_on_decision_command(struct core *core, const struct core_command *command)
{
    struct decision_input *input;

    if (command->type == CORE_DECISION_PROPOSE) {
        core_on_decision_propose(core, command);
        return;
    }
    input = core_push_decision(core, DECISION_IN_ANSWER);
    input->answer.request = command->request;
    input->answer.id = command->node; /* ids are ids */
    input->answer.choice = command->decision.choice;
    input->answer.cause = DECISION_BY_HAND;
}

/* Nobody's vote is made up: the node says nothing until a rule applies, or somebody votes for it.
 * Rules are looked at each time it is asked: what they depend on changes. */
static void core_on_asked(struct core *core, const mn_id *id)
{
    struct decision_view view;

    if (decision_find(core->decision, id, &view) != MN_OK) return;
    core_vote_by_rule(core, &view);
    if (mn_id_equal(&core->decision_asked_id, id)) return; /* again about the same one */
    core->decision_asked_id = *id;
    core_trace(core, MN_EV_DECISION_ASKED, id, view.deadline_ms, 0, view.topic);
}

/* ---- out ---- */

/* Parts sort as they were written, so they come back in this order. */
static const char *core_decision_key(struct core *core, const struct decision_output *output)
{
    char text[MN_ID_TEXT_SIZE];

    mn_id_format(&output->persist.id, text);
    switch (output->persist.what) {
    case DECISION_RECORD_KNOWN: return mn_arena_format(core->arena, PREFIX_DECISION "%s", text);
    case DECISION_RECORD_EVIDENCE: return mn_arena_format(core->arena, PREFIX_EVIDENCE "%s", text);
    case DECISION_RECORD_AGREEMENT: break;
    }
    return mn_arena_format(core->arena, PREFIX_AGREEMENT "%s/%08x", text, output->persist.part);
}

static void core_do_decision_persist(struct core *core, const struct decision_output *output)
{
    struct core_decision_write *item = mn_alloc(sizeof *item);

    core_write(core, core_decision_key(core, output), mn_buf_span(output->persist.record));
    item->record = output->persist.write;
    item->write = core->write_last;
    mn_list_push_back(&core->decision_writes, &item->list);
}

static void core_on_decision_reply(struct core *core, const struct decision_output *output)
{
    struct core_reply *reply;

    if (core_is_by_rule(output->reply.request)) return;
    reply = &core_emit(core, CORE_OUT_REPLY)->reply;
    reply->request = output->reply.request;
    reply->status = output->reply.status;
    reply->id = output->reply.id;
}

void core_on_decision(struct core *core, const struct decision_output *output)
{
    struct core_sending sending = {
        .type = ENVELOPE_COORDINATION, .priority = ENVELOPE_HIGH, .schema = CORE_SCHEMA_DECISION};
    struct decision_view view;

    switch (output->type) {
    case DECISION_OUT_SEND:
        sending.to = output->send.to;
        core_send(core, &sending, mn_buf_ref(output->send.buf));
        return;
    case DECISION_OUT_PERSIST: core_do_decision_persist(core, output); return;
    case DECISION_OUT_ASKED: core_on_asked(core, &output->asked.id); return;
    case DECISION_OUT_OUTCOME:
        if (decision_find(core->decision, &output->outcome.id, &view) == MN_OK)
            core_trace(core, MN_EV_DECISION_OUTCOME, &output->outcome.id,
                       (uint64_t)output->outcome.outcome, view.yes, view.topic);
        return;
    case DECISION_OUT_EVIDENCE:
        core_trace(core, MN_EV_DECISION_LIAR, &output->evidence.node,
                   (uint64_t)output->evidence.lie, 0,
                   mn_span_str(decision_lie_name(output->evidence.lie)));
        return;
    case DECISION_OUT_REPLY: core_on_decision_reply(core, output); return;
    }
    MN_ASSERT(false && "an output of the list");
}
