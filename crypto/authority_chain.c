#include "crypto/authority.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

void authority_chain_init(struct authority_chain *chain)
{
    *chain = (struct authority_chain){.items = NULL};
}

/* Keeps the first [count] documents. */
static void authority_chain_cut(struct authority_chain *chain, uint32_t count)
{
    while (chain->count > count) {
        struct authority *last = chain->items[--chain->count];
        authority_done(last);
        mn_free(last);
    }
}

void authority_chain_done(struct authority_chain *chain)
{
    authority_chain_cut(chain, 0);
    mn_free(chain->items);
    mn_free(chain->by_root);
    authority_chain_init(chain);
}

const struct authority *authority_chain_head(const struct authority_chain *chain)
{
    return chain->count == 0 ? NULL : chain->items[chain->count - 1];
}

const struct authority *authority_chain_find(const struct authority_chain *chain,
                                             const uint8_t pin[DIGEST_PIN_SIZE])
{
    for (uint32_t i = 0; i < chain->count; i++)
        if (memcmp(authority_pin(chain->items[i]), pin, DIGEST_PIN_SIZE) == 0)
            return chain->items[i];
    return NULL;
}

uint64_t authority_chain_since(const struct authority_chain *chain, const uint8_t pk[SIGN_PK_SIZE])
{
    uint64_t since = 0;

    for (uint32_t i = chain->count; i-- > 0 && authority_is_issuer(chain->items[i], pk);)
        since = chain->items[i]->version;
    return since;
}

/* Takes over what [document] holds. */
static void authority_chain_push(struct authority_chain *chain, const struct authority *document,
                                 bool by_root)
{
    struct authority *item = mn_alloc(sizeof *item);

    *item = *document;
    if (chain->count == chain->capacity) {
        chain->capacity = chain->capacity == 0 ? 2 : 2 * chain->capacity;
        chain->items = mn_realloc(chain->items, chain->capacity * sizeof chain->items[0]);
        chain->by_root = mn_realloc(chain->by_root, chain->capacity * sizeof chain->by_root[0]);
    }
    chain->items[chain->count] = item;
    chain->by_root[chain->count++] = by_root;
}

mn_status authority_chain_start(struct authority_chain *chain, struct mn_span document)
{
    struct authority first;
    mn_status status = authority_decode(document, &first);

    MN_ASSERT(chain->count == 0);
    if (status == MN_OK) authority_chain_push(chain, &first, first.version == 1);
    return status;
}

/* Index of the document with this hash; chain->count when there is none. */
static uint32_t authority_chain_index(const struct authority_chain *chain,
                                      const uint8_t hash[AUTHORITY_HASH_SIZE])
{
    uint32_t i = 0;

    while (i < chain->count && memcmp(chain->items[i]->hash, hash, AUTHORITY_HASH_SIZE) != 0)
        i++;
    return i;
}

/* A root beats a bad majority of issuers, but rewrites nothing that a root has signed. */
static bool authority_chain_yields(const struct authority_chain *chain, uint32_t from, bool by_root)
{
    for (uint32_t i = from; i < chain->count; i++)
        if (chain->by_root[i]) return false;
    return by_root;
}

static mn_status authority_chain_place(struct authority_chain *chain, const struct authority *next)
{
    uint32_t prev = authority_chain_index(chain, next->prev);
    bool by_root;
    mn_status status;

    if (next->version == 1 || prev == chain->count) return MN_STATE;
    status = authority_next(chain->items[prev], next, &by_root);
    if (status != MN_OK) return status;
    if (!authority_chain_yields(chain, prev + 1, by_root) && prev + 1 != chain->count) {
        MN_PROBE("authority: a second successor is refused");
        if (prev + 2 == chain->count) return MN_EXISTS;
        chain->forks_count++;
        return MN_STATE;
    }
    if (prev + 1 >= AUTHORITY_CHAIN_MAX) return MN_FULL;
    authority_chain_cut(chain, prev + 1);
    authority_chain_push(chain, next, by_root);
    return MN_OK;
}

mn_status authority_chain_add(struct authority_chain *chain, struct mn_span document)
{
    struct authority next;
    mn_status status = authority_decode(document, &next);

    if (status != MN_OK) return status;
    if (authority_chain_index(chain, next.hash) < chain->count) {
        authority_done(&next); /* known; whoever signed it besides does not matter */
        return MN_OK;
    }
    status = authority_chain_place(chain, &next);
    if (status != MN_OK) authority_done(&next);
    return status;
}
