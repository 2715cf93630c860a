/* Who is thrown out; and which keys the mesh has: issuers, roots, mesh keys. */
#include "node/admin/admin_internal.h"
#include "proto/base/text.h"

#define ADVICE "meshctl keys ls"

/* ---- revoking and removing ---- */

/* Asks the core about the member of the path; the member may be gone when the answer comes. */
static void ask_about(struct admin_request *request, enum core_command_type type,
                      struct mn_span reason)
{
    const struct member *member = admin_find_node(request, request->exchange->rest);

    if (member == NULL) return;
    request->exchange->node = member->node_id;
    memcpy(request->exchange->node_name, member->record->grant.name,
           sizeof request->exchange->node_name);
    admin_ask_core(request,
                   (struct core_command){.type = type, .node = member->node_id, .reason = reason});
}

static void revoke_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request);

    if (body != NULL)
        ask_about(request, CORE_NODE_REVOKE, json_text(json_find_str(body, "reason")));
}

static void remove_handle(struct admin_request *request)
{
    ask_about(request, CORE_NODE_REMOVE, mn_span(NULL, 0));
}

static void on_out(struct admin_request *request, const struct core_reply *answer)
{
    struct reply reply;

    if (answer->status != MN_OK) {
        admin_fail_core(request, answer, answer->status == MN_DENIED ? ADVICE : "meshctl nodes");
        return;
    }
    reply_begin(&reply, "Done");
    reply_id(&reply, "id", &request->exchange->node);
    reply_text(&reply, "name", request->exchange->node_name);
    admin_answer(request, 200, &reply);
}

/* ---- keys ---- */

static void write_kid(struct reply *reply, const uint8_t pk[SIGN_PK_SIZE])
{
    uint8_t kid[DIGEST_KID_SIZE];
    char hex[2 * DIGEST_KID_SIZE + 1];

    digest_key_id(pk, kid);
    mn_hex_encode(mn_span(kid, sizeof kid), hex);
    reply_text(reply, "id", hex);
}

static void write_issuer(struct reply *reply, const struct core *core,
                         const uint8_t pk[SIGN_PK_SIZE], const struct authority *head)
{
    const struct membership *membership = core_membership(core);
    mn_id node = digest_node_id(pk);
    const struct member *member = membership == NULL ? NULL : membership_find(membership, &node);

    reply_object(reply, NULL);
    reply_text(reply, "kind", "issuer");
    write_kid(reply, pk);
    reply_text(reply, "state", member == NULL ? "unknown" : member_status_name(member->status));
    if (member != NULL)
        reply_text(reply, "node", member->record->grant.name);
    else
        reply_id(reply, "node", &node);
    reply_time(reply, "created", head->created_ms * MN_MS);
    reply_null(reply, "until");
    reply_object_end(reply);
}

static void write_plain(struct reply *reply, const char *kind, const uint8_t pk[SIGN_PK_SIZE],
                        const char *state, uint64_t until_ms)
{
    reply_object(reply, NULL);
    reply_text(reply, "kind", kind);
    write_kid(reply, pk);
    reply_text(reply, "state", state);
    reply_null(reply, "node");
    reply_null(reply, "created");
    if (until_ms == 0)
        reply_null(reply, "until");
    else
        reply_time(reply, "until", until_ms * MN_MS);
    reply_object_end(reply);
}

static const char *key_state(const struct keyring *ring, const struct keyring_key *key,
                             uint64_t wall_ms)
{
    if (keyring_is_closed(ring, key)) return "closed";
    if (!key->has_secret) return "missing";
    if (key->announced.kind == MESHKEY_RECON)
        return keyring_recon(ring) == key ? "in use" : "spare";
    if (keyring_sealing(ring, wall_ms) == key) return "seals";
    return keyring_opening(ring, key->announced.key_id, wall_ms) != NULL ? "opens" : "ended";
}

static void write_mesh_key(struct reply *reply, const struct keyring *ring,
                           const struct keyring_key *key, uint64_t wall_ms)
{
    const struct meshkey *announced = &key->announced;
    uint8_t bytes[4];
    char hex[2 * sizeof bytes + 1];

    mn_store_u32(bytes, announced->key_id);
    mn_hex_encode(mn_span(bytes, sizeof bytes), hex);
    reply_object(reply, NULL);
    reply_text(reply, "kind", announced->kind == MESHKEY_SEAL ? "seal" : "recon");
    reply_text(reply, "id", hex);
    reply_text(reply, "state", key_state(ring, key, wall_ms));
    reply_null(reply, "node");
    reply_time(reply, "created", announced->created_ms * MN_MS);
    if (announced->open_until_ms == 0)
        reply_null(reply, "until");
    else
        reply_time(reply, "until", announced->open_until_ms * MN_MS);
    reply_object_end(reply);
}

static void keys_handle(struct admin_request *request)
{
    const struct core *core = request->admin->config.core;
    const struct authority *head = admission_authority(core_admission(core));
    const struct keyring *ring = trustset_keyring(core_trustset(core));
    uint64_t wall_ms = mn_wall_ms(request->now);
    struct reply reply;

    reply_list_begin(&reply, "KeyList");
    for (uint32_t i = 0; head != NULL && i < head->issuers_count; i++)
        write_issuer(&reply, core, head->issuers[i], head);
    for (uint32_t i = 0; head != NULL && i < head->retired_count; i++)
        write_plain(&reply, "issuer", head->retired[i].key, "retired", head->retired[i].until_ms);
    for (uint32_t i = 0; head != NULL && i < head->roots_count; i++)
        write_plain(&reply, "root", head->roots[i], "offline", 0);
    for (uint32_t i = 0; i < ring->count; i++)
        write_mesh_key(&reply, ring, &ring->keys[i], wall_ms);
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_trust_routes[] = {
    {"POST", "/v1/nodes/*/revoke", NULL, revoke_handle, NULL, on_out, NULL},
    {"DELETE", "/v1/nodes/*", NULL, remove_handle, NULL, on_out, NULL},
    {"GET", "/v1/keys", NULL, keys_handle, NULL, NULL, NULL},
    {0},
};
