/* Whose each name is, who claims it besides, and the word that frees one (node/node_owners.c). */
#include "node/admin/admin_internal.h"

#define TIMEOUT (5 * MN_SEC)

const char *admin_name_state(const struct services_name *name)
{
    bool is_claimed = admin_name_claimants(name, NULL, NULL) > 0;

    if (name->owner == NULL) return name->main_count > 0 ? "new" : "contested";
    if (name->main_count > 0) return is_claimed ? "claimed" : "held";
    if (name->providers_count == 0) return "away";
    return is_claimed ? "kept" : "contested";
}

/* Those that offer the name and are not its owner's; [text]: "NAME.n2, NAME.n3". */
uint32_t admin_name_claimants(const struct services_name *name, struct mn_arena *arena,
                              const char **text)
{
    uint32_t count = 0;

    if (text != NULL) *text = "";
    for (uint32_t i = 0; name->owner != NULL && i < name->providers_count; i++) {
        const struct services_provider *provider = &name->providers[i];
        if (services_is_owners(name->owner, provider)) continue;
        if (text != NULL)
            *text = mn_arena_format(arena, "%s%s%.*s.%.*s", *text, count == 0 ? "" : ", ",
                                    (int)name->name.size, (const char *)name->name.data,
                                    (int)provider->node_name.size,
                                    (const char *)provider->node_name.data);
        count++;
    }
    return count;
}

/* ---- the list ---- */

static void write_providers(struct reply *reply, const char *key,
                            const struct services_provider *providers, uint32_t count,
                            const struct services_owner *but)
{
    reply_array(reply, key);
    for (uint32_t i = 0; i < count; i++)
        if (but == NULL || !services_is_owners(but, &providers[i]))
            reply_str(reply, NULL, providers[i].node_name);
    reply_array_end(reply);
}

static void write_name(struct reply *reply, struct admin_request *request,
                       const struct services_name *name)
{
    reply_object(reply, NULL);
    reply_str(reply, "name", name->name);
    reply_text(reply, "state", admin_name_state(name));
    if (name->owner != NULL) {
        reply_text(reply, "owner", admin_member_name(request, &name->owner->node));
        reply_id(reply, "owner_id", &name->owner->node);
        reply_u64(reply, "at_ms", name->owner->at_ms);
    } else {
        reply_null(reply, "owner");
        reply_null(reply, "owner_id");
        reply_null(reply, "at_ms");
    }
    write_providers(reply, "nodes", name->main, name->main_count, NULL);
    write_providers(reply, "claimed_by", name->providers,
                    name->owner == NULL ? 0 : name->providers_count, name->owner);
    reply_object_end(reply);
}

static void names_handle(struct admin_request *request)
{
    const struct services *services = core_services(request->admin->config.core);
    uint32_t count;
    struct services_name *names = services_names(services, request->outbox->arena, &count);
    struct reply reply;

    reply_list_begin(&reply, "NameList");
    for (uint32_t i = 0; i < count; i++)
        write_name(&reply, request, &names[i]);
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

/* ---- release ---- */

static void release_handle(struct admin_request *request)
{
    struct mn_span name = request->exchange->rest;
    struct state_request state = {
        .type = STATE_COMMAND, .space = STATE_SPACE_CURATION, .timeout = TIMEOUT};

    state.command.verb = STRONG_REMOVE;
    state.command.key = mn_span_str(mn_arena_format(request->outbox->arena, "owner/%.*s",
                                                    (int)name.size, (const char *)name.data));
    admin_ask_state(request, state);
}

static void release_on_done(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (answer->status == MN_OK && answer->reply.status == MN_NOT_FOUND) {
        admin_fail_text(request, 404, "not_found", "that name is nobody's",
                        "meshctl servers names");
        return;
    }
    if (admin_state_refused(request, STRONG_PUT, answer)) return;
    reply_begin(&reply, "Done");
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_name_routes[] = {
    {"GET", "/v1/names", NULL, names_handle, NULL, NULL, NULL},
    {"DELETE", "/v1/names/*", NULL, release_handle, NULL, NULL, release_on_done},
    {0},
};
