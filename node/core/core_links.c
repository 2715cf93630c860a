/* core_links.c: connections: what links report, and what is sent over them. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"

/* ---- sending ---- */

void core_send(struct core *core, const struct core_sending *what, struct mn_buf *buf)
{
    struct envelope *envelope = mn_arena_alloc(core->arena, sizeof *envelope);
    struct peers_send *send = mn_arena_alloc(core->arena, sizeof *send);
    struct core_work *work = core_push(core, CORE_WORK_PEERS);

    *envelope = (struct envelope){
        .type = what->type,
        .priority = what->priority,
        .schema = (uint32_t)what->schema,
        .deadline_us = what->timeout,
        .prefix = what->head,
        .payload = mn_buf_span(buf),
    };
    *send = (struct peers_send){
        .node_id = what->to, .envelope = envelope, .payload = buf, .tag = what->tag};
    work->buf = buf;
    work->peers.type = PEERS_IN_SEND;
    work->peers.send = send;
    core->has_sent = true;
}

/* What groups say goes before calls: it is small but for snapshots, and everybody waits for it. */
void core_carry(struct core *core, const mn_id *to, enum core_carried what, struct mn_buf *buf)
{
    static const struct core_sending kinds[] = {
        [CORE_CARRIED_GROUPS] = {.type = ENVELOPE_CONSENSUS,
                                 .priority = ENVELOPE_HIGH,
                                 .schema = CORE_SCHEMA_GROUPS},
        [CORE_CARRIED_STATE] = {.type = ENVELOPE_CONSENSUS,
                                .priority = ENVELOPE_NORMAL,
                                .schema = CORE_SCHEMA_STATE},
        [CORE_CARRIED_RECORDS] = {.type = ENVELOPE_COORDINATION,
                                  .priority = ENVELOPE_NORMAL,
                                  .schema = CORE_SCHEMA_RECORDS},
        [CORE_CARRIED_FINDINGS] = {.type = ENVELOPE_QUERY,
                                   .priority = ENVELOPE_NORMAL,
                                   .schema = CORE_SCHEMA_FINDINGS},
    };
    struct core_sending sending = kinds[what];

    sending.to = *to;
    core_send(core, &sending, buf);
}

static void core_on_carried(struct core *core, const struct peers_output *from,
                            enum core_carried what)
{
    struct core_output *output = core_emit(core, CORE_OUT_CARRIED);

    output->carried.from = from->node_id;
    output->carried.what = what;
    output->carried.bytes = mn_arena_copy(core->arena, from->envelope->payload);
}

/* ---- links that come and go ---- */

static enum admission_link_kind core_link_kind(enum peers_kind kind)
{
    switch (kind) {
    case PEERS_MEMBER: return ADMISSION_LINK_MEMBER;
    case PEERS_GUEST: return ADMISSION_LINK_GUEST;
    case PEERS_SPONSOR: break;
    }
    return ADMISSION_LINK_SPONSOR;
}

static void core_link_to_admission(struct core *core, const struct peers_link *link)
{
    struct admission_link *up = &core_push_admission(core, ADMISSION_IN_LINK_UP)->link_up;
    struct admission_input *refuse;

    up->link = link->link;
    up->kind = core_link_kind(link->kind);
    up->node_id = link->node_id;
    memcpy(up->sign_pk, link->peer->sign_pk, sizeof up->sign_pk);
    memcpy(up->noise_pk, link->peer->noise_pk, sizeof up->noise_pk);
    memcpy(up->handshake, link->peer->handshake, sizeof up->handshake);
    memcpy(up->pin, link->pin, sizeof up->pin);
    up->mesh_id = link->mesh_id;
    up->grant = mn_arena_copy(core->arena, link->grant_bytes);
    up->wall_ms = link->wall_ms;
    up->address = mn_arena_copy(core->arena, mn_span_str(link->address));
    if (link->refuse == MESHNODE__TRUST__CODE__CODE_NONE) return;
    refuse = core_push_admission(core, ADMISSION_IN_REFUSE);
    refuse->refuse.link = link->link;
    refuse->refuse.code = link->refuse;
}

static mn_time core_link_rtt(const struct peers_link *link)
{
    const struct link_stats *stats = peers_link_stats(link);
    return stats == NULL ? 0 : stats->rtt_us;
}

static void core_on_link_up(struct core *core, const struct peers_link *link)
{
    core_link_to_admission(core, link);
    if (link->kind != PEERS_MEMBER) return;
    core_push_membership(core, MEMBERSHIP_IN_LINK_UP)->link_up.node = link->node_id;
    core_push_trustset(core, TRUSTSET_IN_LINK_UP, &link->node_id)->grant =
        mn_arena_copy(core->arena, link->grant_bytes);
    core_push_catalog(core, CATALOG_IN_LINK_UP, &link->node_id);
    core_push_calls(core, CALLS_IN_LINK_UP, &link->node_id)->link.rtt = core_link_rtt(link);
    core_metrics_soon(core);
}

/* A link that another one replaced: the node was never away. */
static void core_on_link_down(struct core *core, const struct peers_output *output)
{
    struct membership_input *input;

    core_push_admission(core, ADMISSION_IN_LINK_DOWN)->link_down.link = output->link;
    if (output->kind != PEERS_MEMBER || output->status == MN_EXISTS) return;
    core_push_trustset(core, TRUSTSET_IN_LINK_DOWN, &output->node_id);
    core_push_calls(core, CALLS_IN_LINK_DOWN, &output->node_id);
    core_push_catalog(core, CATALOG_IN_LINK_DOWN, &output->node_id);
    input = core_push_membership(core, MEMBERSHIP_IN_LINK_DOWN);
    input->link_down.node = output->node_id;
    input->link_down.was_reset = output->status == MN_IO;
    core_emit(core, CORE_OUT_DOWN)->down = output->node_id;
}

/* ---- what comes over them ---- */

static void core_on_decision_message(struct core *core, const struct peers_output *output)
{
    struct decision_input *input = core_push_decision(core, DECISION_IN_MESSAGE);

    input->message.from = output->node_id;
    input->message.bytes = output->envelope->payload;
}

static void core_on_call_message(struct core *core, const struct peers_output *output)
{
    struct calls_input *input = core_push_calls(core, CALLS_IN_MESSAGE, &output->node_id);

    input->message.bytes = output->envelope->payload;
    input->message.whole = output->parts;
}

static void core_on_envelope(struct core *core, const struct peers_output *output)
{
    const struct envelope *envelope = output->envelope;
    struct membership_input *packet;
    struct peers_input *fault;

    switch (envelope->schema) {
    case CORE_SCHEMA_MEMBER:
        packet = core_push_membership(core, MEMBERSHIP_IN_PACKET);
        packet->packet.from = output->node_id;
        packet->packet.bytes = envelope->payload;
        return;
    case CORE_SCHEMA_CATALOG:
        core_push_catalog(core, CATALOG_IN_MESSAGE, &output->node_id)->message = envelope->payload;
        return;
    case CORE_SCHEMA_CALL: core_on_call_message(core, output); return;
    case CORE_SCHEMA_TRUST:
        core_push_trustset(core, TRUSTSET_IN_MESSAGE, &output->node_id)->bytes = envelope->payload;
        return;
    case CORE_SCHEMA_DECISION: core_on_decision_message(core, output); return;
    case CORE_SCHEMA_METRICS: core_on_metrics(core, &output->node_id, envelope->payload); return;
    case CORE_SCHEMA_GROUPS: core_on_carried(core, output, CORE_CARRIED_GROUPS); return;
    case CORE_SCHEMA_STATE: core_on_carried(core, output, CORE_CARRIED_STATE); return;
    case CORE_SCHEMA_RECORDS: core_on_carried(core, output, CORE_CARRIED_RECORDS); return;
    case CORE_SCHEMA_FINDINGS: core_on_carried(core, output, CORE_CARRIED_FINDINGS); return;
    default: break; /* a newer node may say more than we understand */
    }
    if (envelope->schema != 0) return;
    fault = core_push_peers(core, PEERS_IN_FAULT);
    fault->node_id = output->node_id;
    fault->points = PEERS_FAULT_MALFORMED;
}

static void core_on_control(struct core *core, const struct peers_output *output)
{
    struct admission_input *input = core_push_admission(core, ADMISSION_IN_MESSAGE);

    input->message.link = output->link;
    input->message.bytes = output->bytes;
}

static void core_on_unsent(struct core *core, const struct peers_output *output)
{
    if (output->tag == 0) return;
    core_push_calls(core, CALLS_IN_UNSENT, &output->node_id)->tag = output->tag;
}

/* ---- refusals, mistakes ---- */

/* A member we know says that somebody else runs with our key. Whoever we do not know cannot stop us
 * by saying so; while we join, admission judges. */
static void core_on_refused_by(struct core *core, const struct peers_output *output)
{
    bool is_known = core_known_find(core, &output->node_id) != NULL;
    struct admission_input *clock, *behind;

    /* Its grant is good but for the time: whose clock is wrong, is for the majority to say. */
    if (!output->flag && (output->status == MN_EXPIRED || output->status == MN_NOT_YET)) {
        clock = core_push_admission(core, ADMISSION_IN_CLOCK);
        clock->clock.node_id = output->node_id;
        clock->clock.wall_ms = output->wall_ms;
    }
    /* Its grant was made under an authority we do not know; or ours is revoked, it says: without a
     * link to any other member we are in again as a guest, or hear so from one that proves itself.
     */
    if (output->status == (output->flag ? MN_REVOKED : MN_NOT_FOUND)) {
        behind = core_push_admission(core, ADMISSION_IN_BEHIND);
        if (output->flag) behind->behind.refused_by = output->node_id;
    }
    if (!output->flag || output->code != MESHNODE__TRUST__CODE__CODE_IDENTITY_IN_USE) return;
    if (core->state != CORE_MEMBER || !is_known || peers_counts(core->peers).members > 0) return;
    core_fatal(core, 77,
               "refused by the mesh: identity_in_use; another running node has the same "
               "identity.key: give each its own data directory");
}

static void core_on_own_address(struct core *core)
{
    core->own_addresses++;
    if (core->state != CORE_JOINING || core->membership != NULL) return;
    if (core->own_addresses < core->config.seeds_count) return;
    core_fatal(core, 78,
               "--join names only this node itself: name another one, or found a new mesh with "
               "--bootstrap");
}

static void core_on_idle(struct core *core)
{
    core->state = CORE_STOPPED;
    core_emit(core, CORE_OUT_STOPPED);
}

/* ---- outputs ---- */

static void core_on_net(struct core *core, enum core_output_type type,
                        const struct peers_output *from)
{
    struct core_output *output = core_emit(core, type);

    output->net.conn = from->conn;
    output->net.flag = from->flag;
    if (type == CORE_OUT_NET_DIAL) output->net.text = from->address;
    if (type == CORE_OUT_NET_SEND) output->net.buf = mn_buf_ref(from->buf);
}

void core_on_peers(struct core *core, const struct peers_output *output)
{
    switch (output->type) {
    case PEERS_OUT_DIAL: core_on_net(core, CORE_OUT_NET_DIAL, output); return;
    case PEERS_OUT_SEND: core_on_net(core, CORE_OUT_NET_SEND, output); return;
    case PEERS_OUT_PAUSE: core_on_net(core, CORE_OUT_NET_PAUSE, output); return;
    case PEERS_OUT_CLOSE: core_on_net(core, CORE_OUT_NET_CLOSE, output); return;
    case PEERS_OUT_UP: core_on_link_up(core, output->info); return;
    case PEERS_OUT_DOWN: core_on_link_down(core, output); return;
    case PEERS_OUT_ENVELOPE: core_on_envelope(core, output); return;
    case PEERS_OUT_CONTROL: core_on_control(core, output); return;
    case PEERS_OUT_UNSENT: core_on_unsent(core, output); return;
    case PEERS_OUT_REFUSED: core_on_refused_by(core, output); return;
    case PEERS_OUT_OWN_ADDRESS: core_on_own_address(core); return;
    case PEERS_OUT_DIAL_FAILED: return; /* traced by links; they try again */
    case PEERS_OUT_IDLE: core_on_idle(core); return;
    }
    MN_ASSERT(false && "an output of the list");
}
