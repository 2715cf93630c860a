/* Mesh-key announcements, revocations and orders of recovery, as they come from the store or from
 * other members. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/meshkey.h"
#include "crypto/recovery.h"
#include "crypto/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct authority nobody = {.version = 1};
    struct revocation revocation;
    struct recovery recovery;
    struct meshkey meshkey;

    if (sodium_init() < 0) abort();
    if (meshkey_decode(mn_span(data, size), &meshkey) == MN_OK) {
        if (meshkey.kind == MESHKEY_SEAL && meshkey.open_until_ms <= meshkey.created_ms) abort();
        if (meshkey_check(&meshkey, &nobody) == MN_OK) abort();
    }
    if (revocation_decode(mn_span(data, size), &revocation) == MN_OK) {
        if (!revocation_reason_is_valid(mn_span_str(revocation.reason))) abort();
        if (revocation_check(&revocation, &nobody) == MN_OK) abort();
    }
    if (recovery_decode(mn_span(data, size), &recovery) == MN_OK) {
        if (recovery.epoch == 0 || recovery.lost_count > RECOVERY_LOST_MAX) abort();
        if (recovery_check(&recovery, &nobody) == MN_OK) abort();
    }
    return 0;
}
