/* Nodes that wait to be let in, and what an operator decides about them. */
#include "node/admin/admin_internal.h"

#define ADVICE "meshctl nodes pending"

static void write_row(struct reply *reply, struct admin_request *request,
                      const struct admission_pending_row *row)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *sponsor =
        membership == NULL ? NULL : membership_find(membership, &row->sponsor);

    reply_id(reply, "id", &row->node_id);
    if (row->words[0] == '\0') return; /* denied before it came: nothing is known of it */
    reply_text(reply, "name", row->name);
    reply_text(reply, "words", row->words);
    reply_text(reply, "role", grant_role_name(row->role));
    reply_text(reply, "region", row->region);
    reply_text(reply, "address", row->address);
    if (sponsor != NULL)
        reply_text(reply, "sponsor", sponsor->record->grant.name);
    else
        reply_null(reply, "sponsor");
    reply_time(reply, "since", row->since_ms * MN_MS);
    reply_u64(reply, "heard_ms", row->heard_ms);
}

static void list_handle(struct admin_request *request)
{
    admin_ask_core(request, (struct core_command){.type = CORE_PENDING_LIST});
}

static void on_list(struct admin_request *request, const struct core_reply *answer)
{
    struct reply reply;

    if (answer->status != MN_OK) {
        admin_fail_core(request, answer, ADVICE);
        return;
    }
    reply_list_begin(&reply, "PendingList");
    for (uint32_t i = 0; i < answer->count; i++) {
        reply_object(&reply, NULL);
        write_row(&reply, request, &answer->pending[i]);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void approve_handle(struct admin_request *request)
{
    struct core_command command = {.type = CORE_PENDING_APPROVE, .id = request->exchange->rest};
    const struct json *body = admin_body(request), *role;

    if (body == NULL) return;
    role = json_find_str(body, "role");
    command.has_role = role != NULL;
    if (role != NULL && grant_role_parse(json_text(role), &command.role) != MN_OK)
        admin_fail_text(request, 400, "bad_request", "role: auto, edge, learner or voter",
                        "meshctl nodes approve ID --role edge");
    else
        admin_ask_core(request, command);
}

static void deny_handle(struct admin_request *request)
{
    admin_ask_core(request,
                   (struct core_command){.type = CORE_PENDING_DENY, .id = request->exchange->rest});
}

static void on_one(struct admin_request *request, const struct core_reply *answer)
{
    struct reply reply;

    if (answer->status != MN_OK) {
        admin_fail_core(request, answer, ADVICE);
        return;
    }
    reply_begin(&reply, "PendingNode");
    if (answer->count > 0) write_row(&reply, request, &answer->pending[0]);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_pending_routes[] = {
    {"GET", "/v1/pending", NULL, list_handle, NULL, on_list, NULL},
    {"POST", "/v1/pending/*/approve", NULL, approve_handle, NULL, on_one, NULL},
    {"DELETE", "/v1/pending/*", NULL, deny_handle, NULL, on_one, NULL},
    {0},
};
