/* core_pending.c: nodes without a token, which wait for people: what admission says of them, and
 * what people say to it. */
#include "node/core/core_internal.h"
#include "proto/base/check.h"

/* ---- outputs of admission ---- */

void core_do_waits(struct core *core, const struct admission_output *output)
{
    core_push_peers(core, PEERS_IN_WAIT)->link = output->waits.link;
}

/* Who of the members may decide: "n1 (id), n2 (id)". */
static const char *core_issuers_text(struct core *core)
{
    const struct authority *head = core_head(core);
    const char *text = "";

    for (uint32_t i = 0; head != NULL && i < head->issuers_count; i++) {
        mn_id id = digest_node_id(head->issuers[i]);
        const struct member *member =
            core->membership == NULL ? NULL : membership_find(core->membership, &id);
        char digits[MN_ID_TEXT_SIZE];
        text = mn_arena_format(core->arena, "%s%s%s (%s)", text, i == 0 ? "" : ", ",
                               member == NULL ? "unknown" : member->record->grant.name,
                               mn_id_format(&id, digits));
    }
    return text;
}

static const char *core_pending_advice(struct core *core, mn_status status)
{
    switch ((int)status) {
    case MN_OK: return "";
    case MN_DENIED:
        return mn_arena_format(core->arena, "only an issuer decides who is let in; ask at: %s",
                               core_issuers_text(core));
    case MN_NOT_FOUND:
        return "no node of this id or of these words waits here: give the whole id or all eight "
               "words, as `meshctl nodes pending` shows them";
    case MN_EXISTS: return "a member has the name that it asks for: start it with another --name";
    case MN_FULL: return "there is no room for it: see the limits in docs/SECURITY.md";
    case MN_STATE: return "this node is not a member of a mesh yet";
    case MN_NOT_YET:
        return "this node's clock is off by more than five minutes from most members': set it "
               "first";
    default: return mn_status_text(status);
    }
}

void core_do_pending(struct core *core, const struct admission_output *output)
{
    size_t size = output->pending.count * sizeof *output->pending.items;
    struct admission_pending_row *items = mn_arena_alloc(core->arena, size + 1);
    struct core_reply *reply;

    if (size > 0) memcpy(items, output->pending.items, size);
    reply = &core_emit(core, CORE_OUT_REPLY)->reply;
    reply->request = output->pending.request;
    reply->status = output->pending.status;
    reply->text = mn_span_str(core_pending_advice(core, output->pending.status));
    reply->pending = items;
    reply->count = output->pending.count;
}

/* ---- commands ---- */

void core_on_pending_command(struct core *core, const struct core_command *command)
{
    enum admission_input_type type = command->type == CORE_PENDING_LIST ? ADMISSION_IN_PENDING_LIST
                                     : command->type == CORE_PENDING_APPROVE
                                         ? ADMISSION_IN_PENDING_APPROVE
                                         : ADMISSION_IN_PENDING_DENY;
    struct admission_input *input = core_push_admission(core, type);

    input->pending.request = command->request;
    input->pending.who = command->id;
    input->pending.has_role = command->has_role;
    input->pending.role = command->role;
}
