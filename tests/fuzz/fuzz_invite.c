/* Invites, withdrawals and founds, as they come from the store or from other members. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct authority nobody = {.version = 1};
    static const uint8_t token_pk[SIGN_PK_SIZE] = {1};
    struct invite_withdraw withdraw;
    struct invite_found found;
    struct invite invite;

    if (sodium_init() < 0) abort();
    if (invite_decode(mn_span(data, size), &invite) == MN_OK) {
        if (invite.uses > INVITE_USES_MAX) abort();
        if (invite_check(&invite, &nobody, invite.created_ms) == MN_OK) abort();
    }
    if (invite_found_check(mn_span(data, size), token_pk, &found) == MN_OK) abort();
    if (invite_withdraw_check(mn_span(data, size), &nobody, &withdraw) == MN_OK) abort();
    return 0;
}
