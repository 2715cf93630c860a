/* What clients keep for us and bring back: cursors, states of rounds, ids of sessions. Sealed with
 * the mesh's key, so that any node can open them; as long as this node has none, with one of its
 * own, which is as good until the client goes elsewhere. */
#include <sodium.h>

#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"

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

/* ---- who guesses ---- */

/* Its row; guessers_count: it has none. */
static uint32_t guesser_find(const struct front *front, const mn_id *principal)
{
    uint32_t row = 0;

    while (row < front->guessers_count && !mn_id_equal(&front->guessers[row].principal, principal))
        row++;
    return row;
}

static bool guesser_is_fresh(const struct front *front, const struct front_guesser *guesser)
{
    return front->now.mono - guesser->since < MN_MINUTE;
}

uint32_t front_seal_code(mn_status status, uint32_t code)
{
    return status == MN_BUSY ? 429 : code;
}

static struct front_guesser *guesser_make(struct front *front)
{
    struct front_guesser *oldest = &front->guessers[0];

    if (front->guessers_count < FRONT_GUESSERS_MAX)
        return &front->guessers[front->guessers_count++];
    for (uint32_t i = 1; i < FRONT_GUESSERS_MAX; i++)
        if (front->guessers[i].since < oldest->since) oldest = &front->guessers[i];
    return oldest;
}

/* MN_BUSY: too many of these within a minute. */
static mn_status guesser_count(struct front *front, const mn_id *principal)
{
    uint32_t row = guesser_find(front, principal);
    bool is_new = row == front->guessers_count;
    struct front_guesser *guesser = is_new ? guesser_make(front) : &front->guessers[row];

    if (is_new || !guesser_is_fresh(front, guesser))
        *guesser = (struct front_guesser){.principal = *principal, .since = front->now.mono};
    if (guesser->failures == FRONT_OPENINGS_MAX) return MN_BUSY;
    if (++guesser->failures == FRONT_OPENINGS_MAX)
        MN_PROBE("front: sealed strings of one client do not open, again and again");
    return MN_CRYPTO;
}

/* ---- opening ---- */

/* A key that this node lacks is nobody's guess: it may be on its way. */
static mn_status seal_open(struct front *front, struct sealed_scope *scope, struct mn_span text,
                           struct mn_span *ret)
{
    uint64_t now_ms = front->now.wall / MN_MS;
    struct sealed_header header;
    mn_status status = sealed_peek(text, scope->what, &header);
    uint32_t key_id;

    if (status != MN_OK) return status;
    if (header.key_id == OWN_KEY)
        return sealed_open(text, scope, front->seal_key, now_ms, &front->scratch, ret);
    if (front->keys == NULL) return MN_NOT_FOUND;
    scope->mesh_id = front->keys->ring.mesh_id;
    status = keyring_open(&front->keys->ring, now_ms, text, scope, &front->scratch, ret, &key_id);
    if (status == MN_NOT_FOUND) mcp_keys_want(front->keys, key_id);
    return status;
}

mn_status front_unseal(struct front *front, enum sealed_what what, const mn_id *principal,
                       const mn_id *context, struct mn_span text, struct mn_span *ret)
{
    struct sealed_scope scope = {.what = what, .principal = *principal, .context = *context};
    mn_status status = seal_open(front, &scope, text, ret);

    /* Who has no secret shares a principal with all others: what opens is served whatever they do,
     * and what is too old, or was never one of ours, is nobody's guess. */
    return status == MN_CRYPTO ? guesser_count(front, principal) : status;
}
