/* Signed Grants as a peer shows them in HELLO and in its record. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct authority authority = {.version = 1, .issuers_count = 1};
    struct grant grant;

    if (sodium_init() < 0) abort();
    if (grant_decode(mn_span(data, size), &grant) != MN_OK) return 0;
    if (!grant_name_is_valid(mn_span_str(grant.name))) abort();
    if (!grant_region_is_valid(mn_span_str(grant.region))) abort();
    if (grant.body.data < data || grant.body.data + grant.body.size > data + size) abort();
    authority.mesh_id = grant.mesh_id;
    if (grant_check(&grant, &authority, NULL, grant.not_before_ms) == MN_OK) abort();
    return 0;
}
