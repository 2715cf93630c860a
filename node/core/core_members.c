/* core_members.c: what follows from who is a member: records, catalogs, names, wishes for links. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"

#define PROTOCOL_VERSION 1
#define EPOCH_MINOR_BITS 40 /* seconds of the wall clock */
#define EPOCH_MAJOR_MAX (((uint64_t)1 << 24) - 1)
#define READY_TIME (5 * MN_SEC) /* for catalogs of others; then ready without them */

/* ---- ourselves ---- */

static struct record_self core_record(struct core *core)
{
    const struct grant *grant = admission_grant(core->admission);
    struct record_self self = {
        .addrs_count = core->config.addresses_count,
        .region = core->config.region,
        .zone = core->config.zone,
        .role = core->config.role,
        .weight = core->config.weight,
        .protocol_min = PROTOCOL_VERSION,
        .protocol_max = PROTOCOL_VERSION,
        .catalog_version = core->catalog_version,
        .grant = admission_grant_bytes(core->admission),
    };

    memcpy(self.catalog_root, core->catalog_root, sizeof self.catalog_root);
    for (uint32_t i = 0; i < self.addrs_count; i++)
        self.addrs[i] = core->config.addresses[i];
    if (grant->region[0] != '\0') self.region = mn_span_str(grant->region);
    if (!grant_role_allows(grant->role_max, self.role)) self.role = grant->role_max;
    return self;
}

/* The spans in it point to what admission may let go of before membership is stepped. */
void core_tell_record(struct core *core)
{
    struct record_self *self;

    if (core->membership == NULL) return;
    self = mn_arena_alloc(core->arena, sizeof *self);
    *self = core_record(core);
    self->grant = mn_arena_copy(core->arena, self->grant);
    self->region = mn_arena_copy(core->arena, self->region);
    core_push_membership(core, MEMBERSHIP_IN_SET_SELF)->set_self.self = self;
}

void core_tell_trust(struct core *core)
{
    struct membership_input *input;

    if (core->membership == NULL) return;
    input = core_push_membership(core, MEMBERSHIP_IN_TRUST);
    input->trust.authority = core_head(core);
    input->trust.revoked = trustset_revoked(core->trustset);
}

void core_list_self(struct core *core)
{
    const struct core_self self = core_self(core);
    uint32_t count;
    const struct catalog_offer *offers = catalog_offers(core->catalog, &self.node_id, &count);

    services_set(core->services, &self.node_id, self.name, offers, count);
}

/* Where to look for others while no link is up: seeds, and members known from earlier. */
static uint32_t core_seeds(struct core *core, struct mn_span seeds[CORE_SEEDS_MAX])
{
    struct mn_map_entry *entry = NULL;
    uint32_t count = core->config.seeds_count;

    for (uint32_t i = 0; i < count; i++)
        seeds[i] = core->config.seeds[i];
    while (count < CORE_SEEDS_MAX && (entry = mn_map_next(&core->known, entry)) != NULL)
        count += core_known_addrs(MN_CONTAINER(entry, struct core_known, in_map), &seeds[count],
                                  CORE_SEEDS_MAX - count);
    return count;
}

void core_become_member(struct core *core, bool is_joining)
{
    struct mn_span seeds[CORE_SEEDS_MAX];
    struct membership_config config = {
        .identity = &core->identity,
        .mesh_id = admission_mesh_id(core->admission),
        .boot_id = core->boot_id,
        .incarnation = core->incarnation,
        .expects_peers = is_joining || (core->incarnation == 0 && core->known.count > 0),
        .self = core_record(core),
        .seeds = seeds,
        .seeds_count = core_seeds(core, seeds),
        .authority = core_head(core),
        .revoked = trustset_revoked(core->trustset),
        .members_max = MEMBERSHIP_MEMBERS_MAX,
        .memory_max = core->config.memory_max / 4,
        .timing = core->config.timing.membership,
        .trace = core->config.trace,
    };

    MN_ASSERT(core->membership == NULL);
    rng_bytes(&core->rng, config.seed, sizeof config.seed);
    if (membership_new(&config, &core->membership) != MN_OK) {
        core_fatal(core, 78,
                   "this node's record does not fit: check --advertise (at most four addresses of "
                   "printable characters) and --zone");
        return;
    }
    if (core->state != CORE_LEAVING) core->state = CORE_MEMBER;
    core_push_catalog(core, CATALOG_IN_MESH, NULL)->mesh_id = admission_mesh_id(core->admission);
    core_push_membership(core, MEMBERSHIP_IN_TICK); /* asks for its incarnation */
    core_decision_begin(core);
    core_tick_metrics(core);
}

/* A number for what this run says, catalogs and calls, higher than that of any earlier run: by its
 * first incarnation or, when a disk was lost and nobody told us of our latest one, by the clock. */
static uint64_t core_epoch(const struct core *core)
{
    uint64_t major = core->incarnation < EPOCH_MAJOR_MAX ? core->incarnation : EPOCH_MAJOR_MAX;
    return major << EPOCH_MINOR_BITS |
           (mn_wall_ms(core->now) / 1000 & (((uint64_t)1 << EPOCH_MINOR_BITS) - 1));
}

/* [is_reborn]: an earlier run, of which we knew nothing, may have used the numbers of this one. */
void core_on_persisted(struct core *core, uint64_t incarnation, bool is_reborn)
{
    bool is_first = core->epoch == 0;

    core->incarnation = incarnation;
    core_push_membership(core, MEMBERSHIP_IN_PERSISTED)->persisted.incarnation = incarnation;
    if (!is_first && !is_reborn) return;
    core->epoch = core_epoch(core);
    core_push_catalog(core, CATALOG_IN_START, NULL)->epoch = core->epoch;
    core_push_calls(core, CALLS_IN_START, NULL)->epoch = core->epoch;
    if (!is_first) return;
    core_trace(core, MN_EV_NODE_STARTED, &core->identity.node_id, incarnation, 0,
               core_self(core).name);
}

void core_check_ready(struct core *core)
{
    bool is_known =
        core->membership != NULL && core->epoch != 0 && membership_has_joined(core->membership);

    if (core->is_ready || core->state != CORE_MEMBER || !is_known) return;
    if (core->ready_until == MN_TIME_NEVER)
        core->ready_until = mn_time_after(core->now.mono, READY_TIME);
    if (catalog_stats(core->catalog).pulls > 0 && core->now.mono < core->ready_until) return;
    core->is_ready = true;
    core->ready_until = MN_TIME_NEVER;
    core_trace(core, MN_EV_NODE_READY, &core->identity.node_id,
               membership_count(core->membership, MEMBER_ALIVE), 0, core_self(core).name);
}

/* ---- others ---- */

static struct mn_span core_member_name(const struct member *member)
{
    return mn_span_str(member->record->grant.name);
}

static bool core_is_live(const struct member *member)
{
    return member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT;
}

static void core_list_member(struct core *core, const struct member *member)
{
    uint32_t count;
    const struct catalog_offer *offers = catalog_offers(core->catalog, &member->node_id, &count);

    services_set(core->services, &member->node_id, core_member_name(member), offers, count);
    services_set_suspect(core->services, &member->node_id, member->status == MEMBER_SUSPECT);
}

/* Remembers its addresses, and wishes for a link to it. */
static void core_reach(struct core *core, const struct member *member, bool is_new)
{
    const struct record_self *said = &member->record->said;
    struct peers_dial *dial;

    if (!core_known_set(core, &member->node_id, said->addrs, said->addrs_count) && !is_new) return;
    if (said->addrs_count == 0) return; /* it dials us */
    dial = mn_arena_alloc(core->arena, sizeof *dial);
    *dial = (struct peers_dial){
        .node_id = member->node_id, .addrs_count = said->addrs_count, .is_kept = true};
    for (uint32_t i = 0; i < said->addrs_count; i++)
        dial->addrs[i] = mn_arena_copy(core->arena, said->addrs[i]);
    core_push_peers(core, PEERS_IN_DIAL)->dial = dial;
}

static void core_tell_admission(struct core *core, const struct member *member)
{
    struct admission_input *input = core_push_admission(core, ADMISSION_IN_PEER);

    input->peer.node_id = member->node_id;
    input->peer.is_live = core_is_live(member);
    input->peer.grant = mn_arena_copy(core->arena, member->record->said.grant);
    input->peer.zone = mn_arena_copy(core->arena, member->record->said.zone);
}

static void core_tell_record_of(struct core *core, const struct member *member)
{
    struct catalog_input *catalog = core_push_catalog(core, CATALOG_IN_MEMBER, &member->node_id);
    struct peers_input *grant;

    memcpy(catalog->member.sign_pk, member->record->sign_pk, sizeof catalog->member.sign_pk);
    memcpy(catalog->member.root, member->record->said.catalog_root, sizeof catalog->member.root);
    grant = core_push_peers(core, PEERS_IN_GRANT);
    grant->node_id = member->node_id;
    grant->bytes = mn_arena_copy(core->arena, member->record->said.grant);
}

static void core_tell_routable(struct core *core, const struct member *member)
{
    core_push_calls(core, CALLS_IN_ROUTABLE, &member->node_id)->flag =
        member->status == MEMBER_ALIVE && !member->is_conflicted;
    services_set_suspect(core->services, &member->node_id, member->status == MEMBER_SUSPECT);
}

static void core_on_alive(struct core *core, const struct member *member)
{
    core_tell_admission(core, member);
    core_tell_record_of(core, member);
    core_tell_routable(core, member);
    core_list_member(core, member);
    core_reach(core, member, true);
    core_metrics_soon(core); /* it takes ours only once it knows us, and we it */
}

static void core_on_record(struct core *core, const struct member *member)
{
    core_tell_admission(core, member);
    core_tell_routable(core, member); /* a conflict may be over */
    if (!core_is_live(member)) return;
    core_tell_record_of(core, member);
    core_list_member(core, member);
    core_reach(core, member, false);
}

/* What it offers vanishes; what it has of ours is lost, if it is dead rather than on its way out.
 */
static void core_on_gone(struct core *core, const struct member *member)
{
    struct peers_input *cut;
    bool is_dead = member->status == MEMBER_DEAD;

    core_tell_admission(core, member);
    core_tell_routable(core, member);
    services_drop(core->services, &member->node_id);
    core_push_catalog(core, CATALOG_IN_GONE, &member->node_id);
    core_push_peers(core, PEERS_IN_FORGET)->node_id = member->node_id;
    if (!is_dead) return;
    cut = core_push_peers(core, PEERS_IN_DISCONNECT);
    cut->node_id = member->node_id;
    cut->status = MN_TIMEOUT;
}

static void core_on_removed(struct core *core, const mn_id *node)
{
    struct peers_input *cut;
    struct admission_input *gone = core_push_admission(core, ADMISSION_IN_PEER);

    gone->peer.node_id = *node;

    services_drop(core->services, node);
    core_known_forget(core, node);
    core_metrics_forget(core, node);
    core_push_catalog(core, CATALOG_IN_GONE, node);
    core_push_peers(core, PEERS_IN_FORGET)->node_id = *node;
    cut = core_push_peers(core, PEERS_IN_DISCONNECT);
    cut->node_id = *node;
    cut->status = MN_EXPIRED;
    core_push_calls(core, CALLS_IN_FORGET, node);
}

/* ---- membership's outputs ---- */

static void core_on_packet(struct core *core, const mn_id *to, struct mn_span packet)
{
    struct core_sending sending = {.to = *to,
                                   .type = ENVELOPE_HEARTBEAT,
                                   .priority = ENVELOPE_HIGH,
                                   .schema = CORE_SCHEMA_MEMBER};

    if (peers_find(core->peers, to) == NULL)
        core_push_membership(core, MEMBERSHIP_IN_UNREACHABLE)->unreachable.node = *to;
    else
        core_send(core, &sending, mn_buf_copy(packet));
}

static void core_on_dial(struct core *core, const struct membership_output *output)
{
    struct peers_dial *dial = mn_arena_alloc(core->arena, sizeof *dial);

    *dial =
        (struct peers_dial){.node_id = output->dial.node, .addrs_count = output->dial.addrs_count};
    for (uint32_t i = 0; i < output->dial.addrs_count; i++)
        dial->addrs[i] = mn_arena_copy(core->arena, output->dial.addrs[i]);
    core_push_peers(core, PEERS_IN_DIAL)->dial = dial;
}

static void core_on_soft(struct core *core, const struct membership_output *output)
{
    const struct peers_link *link = peers_find(core->peers, &output->soft.node);
    struct calls_input *input;

    if (output->soft.bytes.size < sizeof(uint32_t)) return;
    input = core_push_calls(core, CALLS_IN_LOAD, &output->soft.node);
    input->link.load = mn_load_u32(output->soft.bytes.data);
    if (link != NULL) input->link.rtt = peers_link_stats(link)->rtt_us;
}

static void core_on_fault(struct core *core, const struct membership_output *output)
{
    struct peers_input *input = core_push_peers(core, PEERS_IN_FAULT);

    input->node_id = output->fault.node;
    input->points =
        output->fault.status == MN_MALFORMED ? PEERS_FAULT_MALFORMED : PEERS_FAULT_SIGNATURE;
}

void core_on_membership(struct core *core, const struct membership_output *output)
{
    switch (output->type) {
    case MEMBERSHIP_OUT_SEND: core_on_packet(core, &output->send.to, output->send.packet); return;
    case MEMBERSHIP_OUT_DIAL: core_on_dial(core, output); return;
    case MEMBERSHIP_OUT_PERSIST:
        core_park_incarnation(core, output->persist.incarnation, output->persist.is_reborn);
        return;
    case MEMBERSHIP_OUT_ALIVE: core_on_alive(core, output->member); return;
    case MEMBERSHIP_OUT_SUSPECT: core_tell_routable(core, output->member); return;
    case MEMBERSHIP_OUT_DEAD:
    case MEMBERSHIP_OUT_LEFT: core_on_gone(core, output->member); return;
    case MEMBERSHIP_OUT_RECORD_CHANGED: core_on_record(core, output->member); return;
    case MEMBERSHIP_OUT_SELF_CHANGED: return;
    case MEMBERSHIP_OUT_REMOVED: core_on_removed(core, &output->node); return;
    case MEMBERSHIP_OUT_KEY_CONFLICT: core_tell_routable(core, output->member); return;
    case MEMBERSHIP_OUT_JOINED: return; /* see core_check_ready() */
    case MEMBERSHIP_OUT_LEAVE_DONE: core_push_peers(core, PEERS_IN_STOP); return;
    case MEMBERSHIP_OUT_SOFT: core_on_soft(core, output); return;
    case MEMBERSHIP_OUT_TRUST_NEEDED:
        core_push_admission(core, ADMISSION_IN_PULL)->pull.node_id = output->node;
        return;
    case MEMBERSHIP_OUT_FAULT: core_on_fault(core, output); return;
    }
    MN_ASSERT(false && "an output of the list");
}

/* ---- the catalog's outputs ---- */

static void core_on_changed(struct core *core, const mn_id *node)
{
    const struct member *member;

    if (mn_id_equal(node, &core->identity.node_id)) {
        core_list_self(core);
        return;
    }
    member = core->membership == NULL ? NULL : membership_find(core->membership, node);
    if (member != NULL && core_is_live(member)) core_list_member(core, member);
}

void core_on_catalog(struct core *core, const struct catalog_output *output)
{
    struct core_sending sending = {.to = output->node,
                                   .type = ENVELOPE_QUERY,
                                   .priority = ENVELOPE_NORMAL,
                                   .schema = CORE_SCHEMA_CATALOG};

    switch (output->type) {
    case CATALOG_OUT_SEND:
        /* A list of thousands of tools must not stand in the way of calls. */
        if (output->buf->size > CORE_SMALL_MAX) sending.priority = ENVELOPE_LOW;
        core_send(core, &sending, output->buf);
        return;
    case CATALOG_OUT_PUBLISH:
        core->catalog_version = output->version;
        memcpy(core->catalog_root, output->root, sizeof core->catalog_root);
        core_tell_record(core);
        return;
    case CATALOG_OUT_CHANGED: core_on_changed(core, &output->node); return;
    }
    MN_ASSERT(false && "an output of the list");
}
