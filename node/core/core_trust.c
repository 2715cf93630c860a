/* core_trust.c: admission's outputs, and what the node does at the beginning of its life. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"

#define JOIN_REQUIRED_TIME (30 * MN_SEC)
#define KEY_MAX 128

/* ---- the newest authority ---- */

static void core_authority_free(struct core_authority *authority)
{
    while (authority != NULL) {
        struct core_authority *next = authority->next;
        authority_done(&authority->document);
        mn_free(authority);
        authority = next;
    }
}

void core_authority_bury(struct core *core)
{
    core_authority_free(core->authority_old);
    core->authority_old = NULL;
}

void core_authority_done(struct core *core)
{
    core_authority_bury(core);
    core_authority_free(core->authority);
}

const struct authority *core_head(const struct core *core)
{
    return core->authority == NULL ? NULL : &core->authority->document;
}

/* Admission may let go of a document in any step; links and membership keep looking at it. */
static void core_authority_copy(struct core *core)
{
    const struct authority *head = admission_authority(core->admission);
    const struct authority *have = core_head(core);
    struct core_authority *copy;
    mn_status status;

    if (head == NULL || (have != NULL && memcmp(have->hash, head->hash, sizeof have->hash) == 0))
        return;
    copy = mn_alloc(sizeof *copy);
    status = authority_decode(mn_buf_span(head->document), &copy->document);
    MN_ASSERT(status == MN_OK); /* it was decoded before */
    if (core->authority != NULL) {
        core->authority->next = core->authority_old;
        core->authority_old = core->authority;
    }
    core->authority = copy;
    core_push_trustset(core, TRUSTSET_IN_AUTHORITY, NULL)->authority = &copy->document;
}

/* ---- what we are ---- */

static peers_hello core_hello(enum admission_hello hello)
{
    switch (hello) {
    case ADMISSION_HELLO_MEMBER: return MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER;
    case ADMISSION_HELLO_JOIN: return MESHNODE__WIRE__HELLO_KIND__HELLO_JOIN;
    case ADMISSION_HELLO_RENEW: break;
    }
    return MESHNODE__WIRE__HELLO_KIND__HELLO_RENEW;
}

void core_tell_self(struct core *core)
{
    struct peers_self *self = mn_arena_alloc(core->arena, sizeof *self);

    core_authority_copy(core);
    core->hello = admission_hello(core->admission);
    *self = (struct peers_self){
        .hello = core_hello(core->hello),
        .mesh_id = admission_mesh_id(core->admission),
        .grant = mn_arena_copy(core->arena, admission_grant_bytes(core->admission)),
        .authority = core_head(core),
        .revoked = trustset_revoked(core->trustset),
    };
    core_push_peers(core, PEERS_IN_SELF)->self = self;
}

/* Becoming a member is told by JOINED, once it is durable; ceasing to be one is told here. */
void core_check_hello(struct core *core)
{
    enum admission_hello hello = admission_hello(core->admission);

    if (core->hello == 0 || core->hello == hello || hello == ADMISSION_HELLO_MEMBER) return;
    core_tell_self(core);
    if (core->state == CORE_MEMBER) core->state = CORE_JOINING;
    core_dial_seeds(core, true);
}

/* ---- beginning ---- */

static void core_dial(struct core *core, const mn_id *node, const struct mn_span *addrs,
                      uint32_t count, bool is_kept)
{
    struct peers_dial *dial = mn_arena_alloc(core->arena, sizeof *dial);

    *dial = (struct peers_dial){.addrs_count = count, .is_kept = is_kept};
    if (node != NULL) dial->node_id = *node;
    for (uint32_t i = 0; i < count; i++)
        dial->addrs[i] = addrs[i];
    core_push_peers(core, PEERS_IN_DIAL)->dial = dial;
}

void core_dial_seeds(struct core *core, bool is_kept)
{
    struct mn_map_entry *entry = NULL;

    for (uint32_t i = 0; i < core->config.seeds_count; i++)
        core_dial(core, NULL, &core->config.seeds[i], 1, is_kept);
    while ((entry = mn_map_next(&core->known, entry)) != NULL) {
        const struct core_known *known = MN_CONTAINER(entry, struct core_known, in_map);
        struct mn_span addrs[PEERS_ADDRS_MAX];
        uint32_t count = core_known_addrs(known, addrs, PEERS_ADDRS_MAX);
        if (count > 0) core_dial(core, &known->node, addrs, count, false);
    }
}

static void core_forget_seeds(struct core *core)
{
    for (uint32_t i = 0; i < core->config.seeds_count; i++)
        core_push_peers(core, PEERS_IN_FORGET)->address = core->config.seeds[i];
}

static void core_push_join(struct core *core)
{
    struct admission_input *input = core_push_admission(core, ADMISSION_IN_JOIN);

    input->join.token = core->config.token;
    input->join.seeds_count = core->config.seeds_count;
    input->join.is_known = core->config.is_identity_old;
}

static void core_begin_empty(struct core *core)
{
    core->state = CORE_JOINING;
    if (core->config.bootstrap || core->config.seeds_count == 0) {
        core_push_admission(core, ADMISSION_IN_FOUND)->found.token = core->config.token;
        return;
    }
    if (core->config.is_join_required)
        core->join_until = mn_time_after(core->now.mono, JOIN_REQUIRED_TIME);
    core_push_join(core);
    core_run(core);
    if (core->state != CORE_JOINING) return; /* a token that cannot be read */
    core_tell_self(core);
    core_dial_seeds(core, true);
}

void core_begin(struct core *core)
{
    MN_ASSERT(core->state == CORE_RECOVERING);
    if (admission_has_foreign_state(core->admission)) {
        core_fatal(core, 77,
                   "the stored state was made with another identity.key: put that key back, or "
                   "start with an empty data directory");
        return;
    }
    if (admission_state(core->admission) == ADMISSION_EMPTY) {
        core_begin_empty(core);
        return;
    }
    core_tell_self(core);
    core_become_member(core, false);
    if (core->config.token.size > 0) core_push_join(core); /* of another mesh: it stops */
    core_dial_seeds(core, false);
}

/* ---- outputs ---- */

static const char *core_refusal_advice(admission_code code)
{
    switch (code) {
    case MESHNODE__TRUST__CODE__CODE_TOKEN_UNKNOWN:
        return "the mesh does not know this token: copy it again, whole";
    case MESHNODE__TRUST__CODE__CODE_TOKEN_EXPIRED:
    case MESHNODE__TRUST__CODE__CODE_TOKEN_USED:
    case MESHNODE__TRUST__CODE__CODE_TOKEN_WITHDRAWN:
        return "make a new token at a member: meshctl token create";
    case MESHNODE__TRUST__CODE__CODE_ROLE_NOT_ALLOWED:
        return "the token does not allow this role: see --role";
    case MESHNODE__TRUST__CODE__CODE_IDENTITY_REVOKED:
        return "this node's key was revoked: start with an empty data directory";
    case MESHNODE__TRUST__CODE__CODE_IDENTITY_IN_USE:
        return "another running node has the same identity.key: give each its own data directory";
    case MESHNODE__TRUST__CODE__CODE_MESH_MISMATCH:
        return "the token or the stored state belongs to another mesh than --join leads to";
    case MESHNODE__TRUST__CODE__CODE_DEV_MISMATCH:
        return "a mesh made with --dev and a real one do not mix: use another data directory";
    case MESHNODE__TRUST__CODE__CODE_DENIED:
        return "somebody denied this node, for a day (meshctl nodes deny); a token of the mesh "
               "does "
               "not change that";
    case MESHNODE__TRUST__CODE__CODE_NAME_TAKEN:
        return "a live member has this name: choose another one with --name";
    case MESHNODE__TRUST__CODE__CODE_NONE:
    case MESHNODE__TRUST__CODE__CODE_ISSUER_UNAVAILABLE:
    case MESHNODE__TRUST__CODE__CODE_PENDING_FULL:
    case MESHNODE__TRUST__CODE__CODE_PENDING:
    case MESHNODE__TRUST__CODE__CODE_BUSY:
    case _MESHNODE__TRUST__CODE_IS_INT_SIZE: break;
    }
    return "see the log of the seed";
}

static void core_on_refused(struct core *core, admission_code code)
{
    core_fatal(core, 77,
               mn_arena_format(core->arena, "refused by the mesh: %s; %s",
                               admission_code_name(code), core_refusal_advice(code)));
}

static void core_do_persist(struct core *core, const struct admission_output *output)
{
    MN_ASSERT(output->persist.key.size <= KEY_MAX);
    core_write(core,
               mn_arena_format(core->arena, "trust/%.*s", (int)output->persist.key.size,
                               (const char *)output->persist.key.data),
               output->persist.is_delete ? mn_span(NULL, 0) : output->persist.value);
}

static void core_do_send(struct core *core, const struct admission_output *output)
{
    struct peers_input *input = core_push_peers(core, PEERS_IN_CONTROL);

    input->link = output->send.link;
    input->bytes = output->send.bytes;
    input->flag = output->send.refused != MESHNODE__TRUST__CODE__CODE_NONE;
}

static void core_do_joined(struct core *core)
{
    bool is_first = core->membership == NULL;

    if (core->state == CORE_STOPPED) return;
    core->join_until = MN_TIME_NEVER;
    core_tell_self(core);
    if (is_first) core_become_member(core, core->config.seeds_count > 0 && !core->config.bootstrap);
    if (core->state == CORE_JOINING) core->state = CORE_MEMBER;
    core_forget_seeds(core);
    core_list_self(core);
    if (is_first) return;
    core_tell_trust(core);
    core_tell_record(core);
}

const char *core_token_advice(mn_status status)
{
    switch ((int)status) {
    case MN_OK: return "";
    case MN_DENIED: return "only an issuer can do this: meshctl keys ls names them";
    case MN_NOT_FOUND: return "no token has an id that begins so: meshctl token ls";
    case MN_EXISTS: return "several tokens have ids that begin so: give more of it";
    case MN_FULL: return "too many tokens are valid: withdraw some, meshctl token revoke ID";
    case MN_CONFIG: return "uses must be 0 to 1000, and the time at most 30 days";
    case MN_STATE: return "this node is not a member of a mesh yet";
    case MN_NOT_YET:
        return "this node's clock is off by more than five minutes from most members': set it "
               "first";
    default: return mn_status_text(status);
    }
}

static void core_do_token(struct core *core, const struct admission_output *output)
{
    struct admission_token *item;
    struct core_reply *reply;

    if (output->token.request == 0) { /* of founding: the file is written by a SECRET */
        if (output->token.status != MN_OK)
            core_fatal(core, 78,
                       "the token given cannot found a mesh: it must be one made by `meshnode "
                       "token new`; to enter an existing mesh, add --join");
        return;
    }
    item = mn_arena_alloc(core->arena, sizeof *item);
    *item = output->token.token;
    reply = &core_emit(core, CORE_OUT_REPLY)->reply;
    reply->request = output->token.request;
    reply->status = output->token.status;
    reply->text = output->token.status == MN_OK
                      ? mn_arena_copy(core->arena, output->token.text)
                      : mn_span_str(core_token_advice(output->token.status));
    reply->items = item;
    reply->count = output->token.status == MN_OK ? 1 : 0;
}

static void core_do_tokens(struct core *core, const struct admission_output *output)
{
    size_t size = output->tokens.count * sizeof *output->tokens.items;
    struct admission_token *items = mn_arena_alloc(core->arena, size);
    struct core_reply *reply = &core_emit(core, CORE_OUT_REPLY)->reply;

    if (size > 0) memcpy(items, output->tokens.items, size);
    reply->request = output->tokens.request;
    reply->status = output->tokens.status;
    reply->text = mn_span_str(core_token_advice(output->tokens.status));
    reply->items = items;
    reply->count = output->tokens.count;
}

static void core_do_secret(struct core *core, const struct admission_output *output)
{
    struct core_output *secret = core_emit(core, CORE_OUT_SECRET);

    secret->secret.what = output->secret.what;
    secret->secret.bytes = output->secret.bytes.size == 0
                               ? mn_span(NULL, 0)
                               : mn_arena_copy(core->arena, output->secret.bytes);
}

static void core_do_close(struct core *core, uint64_t link, mn_status status)
{
    struct peers_input *input = core_push_peers(core, PEERS_IN_CLOSE);

    input->link = link;
    input->status = status;
}

static void core_do_item(struct core *core, const struct admission_output *output)
{
    struct trustset_input *input = core_push_trustset(core, TRUSTSET_IN_ADD, NULL);

    input->kind = output->item.is_withdrawal ? MESHNODE__TRUST__ITEM_KIND__ITEM_KIND_WITHDRAW
                                             : MESHNODE__TRUST__ITEM_KIND__ITEM_KIND_INVITE;
    input->bytes = output->item.bytes;
}

void core_do_admission(struct core *core, const struct admission_output *output)
{
    switch (output->type) {
    case ADMISSION_OUT_PERSIST: core_do_persist(core, output); return;
    case ADMISSION_OUT_SECRET: core_do_secret(core, output); return;
    case ADMISSION_OUT_SEND: core_do_send(core, output); return;
    case ADMISSION_OUT_CLOSE: core_do_close(core, output->close.link, output->close.status); return;
    case ADMISSION_OUT_ADMITTED:
        core_push_peers(core, PEERS_IN_ADMITTED)->link = output->admitted.link;
        return;
    case ADMISSION_OUT_JOINED: core_do_joined(core); return;
    case ADMISSION_OUT_RENEWED:
        core_tell_self(core);
        core_tell_trust(core);
        core_tell_record(core);
        return;
    case ADMISSION_OUT_FAILED: core_on_refused(core, output->failed.code); return;
    case ADMISSION_OUT_TOKEN: core_do_token(core, output); return;
    case ADMISSION_OUT_TOKENS: core_do_tokens(core, output); return;
    case ADMISSION_OUT_WAITS: core_do_waits(core, output); return;
    case ADMISSION_OUT_PENDING: core_do_pending(core, output); return;
    case ADMISSION_OUT_ITEM: core_do_item(core, output); return;
    }
    MN_ASSERT(false && "an output of the list");
}

void core_on_admission(struct core *core, const struct admission_output *output)
{
    if (output->after_write)
        core_park_admission(core, output);
    else
        core_do_admission(core, output);
}

/* ---- commands ---- */

static void core_refuse_command(struct core *core, uint64_t request, mn_status status)
{
    struct core_reply *reply = &core_emit(core, CORE_OUT_REPLY)->reply;

    reply->request = request;
    reply->status = status;
    reply->text = mn_span_str(core_token_advice(status));
}

void core_on_command(struct core *core, const struct core_command *command)
{
    struct admission_input *input;

    if (core->membership == NULL) {
        core_refuse_command(core, command->request, MN_STATE);
        return;
    }
    switch (command->type) {
    case CORE_TOKEN_CREATE:
        input = core_push_admission(core, ADMISSION_IN_TOKEN_CREATE);
        input->token_create.request = command->request;
        input->token_create.uses = command->uses;
        input->token_create.ttl_ms = command->ttl_ms;
        input->token_create.role_max = command->role;
        return;
    case CORE_TOKEN_LIST:
        core_push_admission(core, ADMISSION_IN_TOKEN_LIST)->token_list.request = command->request;
        return;
    case CORE_TOKEN_WITHDRAW:
        if (command->nodes)
            core_on_revoke_token(core, command);
        else
            core_withdraw_token(core, command->request, command->id, false);
        return;
    case CORE_PENDING_LIST:
    case CORE_PENDING_APPROVE:
    case CORE_PENDING_DENY: core_on_pending_command(core, command); return;
    case CORE_NODE_REVOKE: core_on_revoke(core, command); return;
    case CORE_NODE_REMOVE: core_on_remove(core, command); return;
    case CORE_DECISION_PROPOSE:
    case CORE_DECISION_VOTE: core_on_decision_command(core, command); return;
    }
    MN_ASSERT(false && "a command of the list");
}

/* ---- orders to consensus ---- */

struct mn_buf *core_recovery_sign(const struct core *core, struct recovery *recovery)
{
    mn_id mesh_id = admission_mesh_id(core->admission);

    MN_ASSERT(admission_is_issuer(core->admission));
    recovery->at_ms = mn_wall_ms(core->now);
    return recovery_sign(recovery, &mesh_id, &core->identity.key);
}

mn_status core_recovery_check(const struct core *core, struct mn_span order)
{
    const struct authority *head = core_head(core);
    struct recovery recovery;
    mn_status status = recovery_decode(order, &recovery);

    if (status != MN_OK) return status;
    return head == NULL ? MN_STATE : recovery_check(&recovery, head);
}
