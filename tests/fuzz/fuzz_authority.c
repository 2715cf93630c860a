/* Authority documents from a stranger: alone, as a genesis, and as the next one of a chain. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/authority.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A chain whose root and only issuer are keys of known seeds. */
static void start_chain(struct authority_chain *chain)
{
    static const uint8_t root_seed[SIGN_SEED_SIZE] = {1}, founder_seed[SIGN_SEED_SIZE] = {2};
    struct sign_key root, founder;
    struct mn_buf *document;

    sign_key_init(&root, root_seed);
    sign_key_init(&founder, founder_seed);
    document = authority_genesis_make(&(struct authority_genesis){
        .root = &root, .founder = founder.pk, .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS});
    authority_chain_init(chain);
    if (authority_chain_start(chain, mn_buf_span(document)) != MN_OK) abort();
    mn_buf_unref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct authority_chain chain;
    struct authority authority;

    if (sodium_init() < 0) abort();
    if (authority_decode(mn_span(data, size), &authority) == MN_OK) {
        struct mn_buf *body = authority_body(&authority);
        mn_buf_unref(body);
        if (authority_check_genesis(&authority) == MN_OK && authority.version != 1) abort();
        authority_done(&authority);
    }
    start_chain(&chain);
    if (authority_chain_add(&chain, mn_span(data, size)) == MN_OK && chain.count > 2) abort();
    authority_chain_done(&chain);
    return 0;
}
