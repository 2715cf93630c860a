/* core_trustset.c: the trust set's outputs, and who is thrown out. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

/* ---- who makes mesh keys ---- */

static bool core_is_alive(const struct core *core, const mn_id *node)
{
    const struct member *member = membership_find(core->membership, node);

    return member != NULL && member->status == MEMBER_ALIVE;
}

/* The live issuer with the lowest node id. Two that do not see each other make one each: harmless.
 */
static bool core_is_minter(const struct core *core)
{
    const struct authority *head = core_head(core);
    const mn_id *self = &core->identity.node_id;

    if (head == NULL || core->membership == NULL || core->state != CORE_MEMBER) return false;
    if (!admission_is_issuer(core->admission)) return false;
    if (admission_clock_off_ms(core->admission) != 0) return false;
    for (uint32_t i = 0; i < head->issuers_count; i++) {
        mn_id issuer = digest_node_id(head->issuers[i]);
        if (mn_id_compare(&issuer, self) < 0 && core_is_alive(core, &issuer)) return false;
    }
    return true;
}

void core_tick_trustset(struct core *core)
{
    core_push_trustset(core, TRUSTSET_IN_TICK, NULL)->is_minter = core_is_minter(core);
}

/* ---- commands ---- */

void core_reply_status(struct core *core, uint64_t request, mn_status status, struct mn_span text)
{
    struct core_reply *reply = &core_emit(core, CORE_OUT_REPLY)->reply;

    reply->request = request;
    reply->status = status;
    reply->text = text;
}

/* [is_revoked]: who came by it is out; then a token that nobody knows any more is as good as
 * withdrawn. */
void core_withdraw_token(struct core *core, uint64_t request, struct mn_span hex, bool is_revoked)
{
    struct admission_input *input = core_push_admission(core, ADMISSION_IN_TOKEN_WITHDRAW);

    input->token_withdraw.request = request;
    input->token_withdraw.id = hex;
    input->token_withdraw.is_revoked = is_revoked;
}

/* First who came by it, for that is what can fail; then the token itself. */
void core_on_revoke_token(struct core *core, const struct core_command *command)
{
    struct trustset_input *input;
    mn_status status = MN_OK;
    mn_id token;

    if (mn_hex_decode(command->id, token.bytes, sizeof token.bytes) != MN_OK ||
        mn_id_is_zero(&token))
        status = MN_NOT_FOUND;
    else if (admission_clock_off_ms(core->admission) != 0)
        status = MN_NOT_YET;
    if (status != MN_OK) {
        core_reply_status(core, command->request, status, mn_span_str(core_token_advice(status)));
        return;
    }
    input = core_push_trustset(core, TRUSTSET_IN_REVOKE, NULL);
    input->revoke.request = command->request;
    input->revoke.token_id = token;
}

static struct trustset_input *core_push_revoke(struct core *core,
                                               const struct core_command *command)
{
    struct trustset_input *input = core_push_trustset(core, TRUSTSET_IN_REVOKE, NULL);

    input->revoke.request = command->request;
    input->revoke.node_id = command->node;
    input->revoke.reason = command->reason;
    return input;
}

void core_on_revoke(struct core *core, const struct core_command *command)
{
    if (mn_id_equal(&command->node, &core->identity.node_id) ||
        admission_clock_off_ms(core->admission) != 0) {
        core_reply_status(core, command->request, MN_STATE,
                          mn_span_str("a node does not revoke itself, nor while its clock is off: "
                                      "do it at another issuer"));
        return;
    }
    core_push_revoke(core, command);
}

static const char *core_revoke_advice(mn_status status)
{
    switch ((int)status) {
    case MN_OK: return "";
    case MN_DENIED:
        return "only an issuer can do this, and issuers are put out by a change of the authority: "
               "meshctl keys ls names them";
    case MN_EXISTS: return "it is revoked already";
    case MN_FULL: return "the trust set is full";
    case MN_BUSY: return "this issuer has signed 1,000 documents within the hour";
    default: return mn_status_text(status);
    }
}

static void core_on_revoke_token_done(struct core *core, const struct trustset_output *output)
{
    const char *hex;
    char text[2 * sizeof(mn_id) + 1];

    if (output->status != MN_OK && output->status != MN_EXISTS) {
        const char *advice = output->status == MN_DENIED ? core_token_advice(MN_DENIED)
                                                         : core_revoke_advice(output->status);
        core_reply_status(core, output->request, output->status, mn_span_str(advice));
        return;
    }
    mn_hex_encode(mn_span(output->token_id.bytes, sizeof(mn_id)), text);
    hex = mn_arena_format(core->arena, "%s", text);
    core_withdraw_token(core, output->request, mn_span_str(hex), true);
}

static void core_on_revoke_done(struct core *core, const struct trustset_output *output)
{
    if (!mn_id_is_zero(&output->token_id))
        core_on_revoke_token_done(core, output);
    else if (output->status == MN_OK)
        core_park_revoked(core, output->request, MN_OK);
    else
        core_reply_status(core, output->request, output->status,
                          mn_span_str(core_revoke_advice(output->status)));
}

/* One that is gone for good: out, as if revoked, but with no reason to replace keys. */
void core_on_remove(struct core *core, const struct core_command *command)
{
    const struct member *member = membership_find(core->membership, &command->node);

    if (member == NULL) {
        core_reply_status(core, command->request, MN_NOT_FOUND, mn_span_str("no such node"));
        return;
    }
    if (member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT) {
        core_reply_status(core, command->request, MN_STATE,
                          mn_span_str("it is alive: stop it first, or revoke it"));
        return;
    }
    core_push_revoke(core, command)->revoke.is_benign = true;
}

/* ---- outputs ---- */

static void core_do_set_persist(struct core *core, const struct trustset_output *output)
{
    const char *key = mn_arena_format(core->arena, "set/%.*s", (int)output->key.size,
                                      (const char *)output->key.data);

    core_write(core, key, output->is_delete ? mn_span(NULL, 0) : output->value);
}

static void core_on_set_send(struct core *core, const struct trustset_output *output)
{
    struct core_sending sending = {.to = output->node,
                                   .type = ENVELOPE_EVENT,
                                   .priority = ENVELOPE_HIGH,
                                   .schema = CORE_SCHEMA_TRUST};

    core_send(core, &sending, mn_buf_copy(output->bytes));
}

static void core_on_set_item(struct core *core, const struct trustset_output *output)
{
    struct admission_input *input = core_push_admission(core, ADMISSION_IN_ITEM);

    input->item.is_withdrawal = output->kind == MESHNODE__TRUST__ITEM_KIND__ITEM_KIND_WITHDRAW;
    input->item.bytes = output->bytes;
}

static void core_on_set_fault(struct core *core, const struct trustset_output *output)
{
    struct peers_input *input = core_push_peers(core, PEERS_IN_FAULT);

    input->node_id = output->node;
    input->points = output->status == MN_BAD_SIGNATURE ? PEERS_FAULT_SIGNATURE
                    : output->status == MN_BUSY        ? PEERS_FAULT_RATE
                                                       : PEERS_FAULT_MALFORMED;
}

void core_on_trustset(struct core *core, const struct trustset_output *output)
{
    switch (output->type) {
    case TRUSTSET_OUT_PERSIST: core_do_set_persist(core, output); return;
    case TRUSTSET_OUT_SEND: core_on_set_send(core, output); return;
    case TRUSTSET_OUT_ITEM: core_on_set_item(core, output); return;
    case TRUSTSET_OUT_REVOKED: /* every link and every member is judged again, in this step */
        core_tell_self(core);
        core_tell_trust(core);
        return;
    case TRUSTSET_OUT_SELF_REVOKED:
        core_fatal(core, 77,
                   "refused by the mesh: identity_revoked; an issuer revoked this node's key: "
                   "start with an empty data directory and a new token");
        return;
    case TRUSTSET_OUT_KEYS: core_emit(core, CORE_OUT_KEYS); return;
    case TRUSTSET_OUT_CHAIN_NEEDED:
        core_push_admission(core, ADMISSION_IN_PULL)->pull.node_id = output->node;
        return;
    case TRUSTSET_OUT_FAULT: core_on_set_fault(core, output); return;
    case TRUSTSET_OUT_REVOKE_DONE: core_on_revoke_done(core, output); return;
    }
    MN_ASSERT(false && "an output of the list");
}
