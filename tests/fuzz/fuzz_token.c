/* Token strings as people paste them; what decodes must encode to the same text. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TOKEN_TEXT_SIZE];
    struct token token;

    if (sodium_init() < 0) abort();
    if (token_decode(mn_span(data, size), &token) != MN_OK) return 0;
    if (token.has_secret)
        token_encode(&token, text);
    else
        token_encode_pin(token.pin, text);
    if (!mn_span_is(mn_span(data, size), text)) abort();
    return 0;
}
