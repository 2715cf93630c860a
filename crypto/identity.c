#include "crypto/identity.h"

#include <sodium.h>

#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

#define LINK_PAYLOAD_MAX 256 /* bytes accepted; ours has 100 */

_Static_assert(IDENTITY_NOISE_SIZE == crypto_scalarmult_BYTES, "X25519");

void identity_init(struct identity *identity, const uint8_t seed[IDENTITY_SEED_SIZE])
{
    uint8_t sign_seed[SIGN_SEED_SIZE];
    int failed;

    digest_kdf(seed, 1, "mn-sign_", sign_seed);
    sign_key_init(&identity->key, sign_seed);
    sodium_memzero(sign_seed, sizeof sign_seed);

    digest_kdf(seed, 1, "mn-noise", identity->noise_sk);
    failed = crypto_scalarmult_base(identity->noise_pk, identity->noise_sk);
    MN_ASSERT(failed == 0);

    digest_kdf(seed, 1, "mn-rest_", identity->rest_key);
    identity->node_id = digest_node_id(identity->key.pk);
    sign_make(&identity->key, SIGN_STATIC, NULL,
              mn_span(identity->noise_pk, sizeof identity->noise_pk), identity->static_sig);
}

void identity_done(struct identity *identity)
{
    sodium_memzero(identity, sizeof *identity);
}

struct mn_buf *identity_link_payload(const struct identity *identity)
{
    Meshnode__Trust__LinkIdentity payload = MESHNODE__TRUST__LINK_IDENTITY__INIT;

    payload.sign_pk = pb_bytes(mn_span(identity->key.pk, sizeof identity->key.pk));
    payload.static_sig = pb_bytes(mn_span(identity->static_sig, sizeof identity->static_sig));
    return pb_pack(&payload.base);
}

mn_status identity_link_check(struct mn_span payload, const uint8_t noise_pk[IDENTITY_NOISE_SIZE],
                              uint8_t ret_sign_pk[SIGN_PK_SIZE])
{
    struct mn_arena arena = {0};
    const Meshnode__Trust__LinkIdentity *link;
    mn_status status = MN_MALFORMED;

    if (payload.size > LINK_PAYLOAD_MAX) return MN_MALFORMED;
    link = pb_unpack(&meshnode__trust__link_identity__descriptor, &arena, payload);
    if (link == NULL || link->sign_pk.len != SIGN_PK_SIZE || link->static_sig.len != SIGN_SIZE)
        goto done;
    status = sign_check(link->sign_pk.data, SIGN_STATIC, NULL,
                        mn_span(noise_pk, IDENTITY_NOISE_SIZE), link->static_sig.data);
    if (status == MN_OK) memcpy(ret_sign_pk, link->sign_pk.data, SIGN_PK_SIZE);
done:
    mn_arena_done(&arena);
    return status;
}
