/* What clients keep for us and bring back: cursors, states of rounds, ids of sessions. Sealed with
 * the mesh's key, so that any node can open them; as long as this node has none, with one of its
 * own, which is as good until the client goes elsewhere. */
#include <sodium.h>

#include "node/mcp/front_state.h"

#define OWN_KEY 0 /* its id; those of the mesh are random, and this one is not looked for there */
#define LIFE_DEFAULT MN_DAY

void front_seal_init(struct front *front)
{
    rng_bytes(&front->rng, front->seal_key, sizeof front->seal_key);
}

void front_seal_done(struct front *front)
{
    sodium_memzero(front->seal_key, sizeof front->seal_key);
}

struct mn_span front_seal(struct front *front, enum sealed_what what, const mn_id *principal,
                          const mn_id *context, mn_time life, struct mn_span plain)
{
    struct sealed_scope scope = {.what = what, .principal = *principal, .context = *context};
    uint64_t now_ms = front->now.wall / MN_MS;
    uint64_t expires_ms = (front->now.wall + (life == 0 ? LIFE_DEFAULT : life)) / MN_MS;
    struct mn_span text = mn_span(NULL, 0);

    if (front->keys != NULL && keyring_sealing(&front->keys->ring, now_ms) != NULL) {
        scope.mesh_id = front->keys->ring.mesh_id;
        if (keyring_seal(&front->keys->ring, now_ms, &scope, life == 0 ? 0 : expires_ms, plain,
                         &front->scratch, &text) != MN_OK)
            text = mn_span(NULL, 0);
    } else if (sealed_make(&scope, front->seal_key, OWN_KEY, (uint32_t)(expires_ms / 1000), plain,
                           &front->scratch, &text) != MN_OK) {
        text = mn_span(NULL, 0);
    }
    return text;
}

bool front_unseal(struct front *front, enum sealed_what what, const mn_id *principal,
                  const mn_id *context, struct mn_span text, struct mn_span *ret)
{
    struct sealed_scope scope = {.what = what, .principal = *principal, .context = *context};
    uint64_t now_ms = front->now.wall / MN_MS;
    struct sealed_header header;
    uint32_t key_id;
    mn_status status;

    if (sealed_peek(text, what, &header) != MN_OK) return false;
    if (header.key_id == OWN_KEY)
        return sealed_open(text, &scope, front->seal_key, now_ms, &front->scratch, ret) == MN_OK;
    if (front->keys == NULL) return false;
    scope.mesh_id = front->keys->ring.mesh_id;
    status = keyring_open(&front->keys->ring, now_ms, text, &scope, &front->scratch, ret, &key_id);
    if (status == MN_NOT_FOUND) mcp_keys_want(front->keys, key_id);
    return status == MN_OK;
}
