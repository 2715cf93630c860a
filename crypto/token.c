#include "crypto/token.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/text.h"

#define PREFIX_SIZE 5
#define CHECK_SIZE 4
#define BODY_SIZE (1 + DIGEST_PIN_SIZE + TOKEN_SECRET_SIZE) /* type, pin, secret */
#define PIN_BODY_SIZE (1 + DIGEST_PIN_SIZE)

enum { TYPE_TOKEN = 1, TYPE_PIN = 2 };

_Static_assert(TOKEN_TEXT_SIZE == PREFIX_SIZE + MN_BASE32_SIZE(BODY_SIZE + CHECK_SIZE) + 1,
               "base32");
_Static_assert(TOKEN_PIN_TEXT_SIZE == PREFIX_SIZE + MN_BASE32_SIZE(PIN_BODY_SIZE + CHECK_SIZE) + 1,
               "base32");

void token_init(struct token *token, const uint8_t *pin, const uint8_t secret[TOKEN_SECRET_SIZE])
{
    memset(token, 0, sizeof *token);
    token->has_secret = true;
    if (pin != NULL) memcpy(token->pin, pin, sizeof token->pin);
    memcpy(token->secret, secret, sizeof token->secret);
}

void token_done(struct token *token)
{
    sodium_memzero(token, sizeof *token);
}

static void token_check(struct mn_span body, uint8_t ret[CHECK_SIZE])
{
    uint8_t hash[16];

    digest_one(DIGEST_TOKEN_CHECK, body, hash, sizeof hash);
    memcpy(ret, hash, CHECK_SIZE);
}

/* Undoes prefix, base32 and check of a string whose body has [size] bytes and begins with [type].
 */
static mn_status token_unwrap(struct mn_span text, const char *prefix, uint8_t type, uint8_t *body,
                              size_t size)
{
    uint8_t bytes[BODY_SIZE + CHECK_SIZE], check[CHECK_SIZE];
    mn_status status;

    if (text.size < PREFIX_SIZE || memcmp(text.data, prefix, PREFIX_SIZE) != 0) return MN_MALFORMED;
    text = mn_span(text.data + PREFIX_SIZE, text.size - PREFIX_SIZE);
    status = mn_base32_decode(text, bytes, size + CHECK_SIZE);
    if (status != MN_OK) goto done;
    token_check(mn_span(bytes, size), check);
    if (sodium_memcmp(check, bytes + size, CHECK_SIZE) != 0)
        status = MN_BAD_SIGNATURE;
    else if (bytes[0] != type)
        status = MN_MALFORMED;
    else
        memcpy(body, bytes, size);
done:
    sodium_memzero(bytes, sizeof bytes);
    return status;
}

mn_status token_decode(struct mn_span text, struct token *ret)
{
    uint8_t body[BODY_SIZE] = {0};
    bool is_pin = text.size == TOKEN_PIN_TEXT_SIZE - 1;
    mn_status status;

    if (is_pin)
        status = token_unwrap(text, "mnp1-", TYPE_PIN, body, PIN_BODY_SIZE);
    else if (text.size == TOKEN_TEXT_SIZE - 1)
        status = token_unwrap(text, "mnt1-", TYPE_TOKEN, body, BODY_SIZE);
    else
        return MN_MALFORMED;

    if (status == MN_OK) {
        ret->has_secret = !is_pin;
        memcpy(ret->pin, body + 1, sizeof ret->pin);
        memcpy(ret->secret, body + 1 + DIGEST_PIN_SIZE, sizeof ret->secret);
    }
    sodium_memzero(body, sizeof body);
    return status;
}

static void token_wrap(const char *prefix, uint8_t *bytes, size_t size, char *ret)
{
    token_check(mn_span(bytes, size), bytes + size);
    memcpy(ret, prefix, PREFIX_SIZE);
    mn_base32_encode(mn_span(bytes, size + CHECK_SIZE), ret + PREFIX_SIZE);
}

void token_encode(const struct token *token, char ret[TOKEN_TEXT_SIZE])
{
    uint8_t bytes[BODY_SIZE + CHECK_SIZE] = {TYPE_TOKEN};

    MN_ASSERT(token->has_secret);
    memcpy(bytes + 1, token->pin, sizeof token->pin);
    memcpy(bytes + 1 + sizeof token->pin, token->secret, sizeof token->secret);
    token_wrap("mnt1-", bytes, BODY_SIZE, ret);
    sodium_memzero(bytes, sizeof bytes);
}

void token_encode_pin(const uint8_t pin[DIGEST_PIN_SIZE], char ret[TOKEN_PIN_TEXT_SIZE])
{
    uint8_t bytes[PIN_BODY_SIZE + CHECK_SIZE] = {TYPE_PIN};

    memcpy(bytes + 1, pin, DIGEST_PIN_SIZE);
    token_wrap("mnp1-", bytes, PIN_BODY_SIZE, ret);
}

bool token_has_pin(const struct token *token)
{
    return !sodium_is_zero(token->pin, sizeof token->pin);
}

void token_key(const struct token *token, struct sign_key *ret)
{
    uint8_t seed[SIGN_SEED_SIZE];

    MN_ASSERT(token->has_secret);
    digest_one(DIGEST_TOKEN_KEY, mn_span(token->secret, sizeof token->secret), seed, sizeof seed);
    sign_key_init(ret, seed);
    sodium_memzero(seed, sizeof seed);
}

mn_id token_id(const struct token *token)
{
    struct sign_key key;
    mn_id id;

    token_key(token, &key);
    id = digest_token_id(key.pk);
    sign_key_done(&key);
    return id;
}

char *token_id_format(const mn_id *id, char ret[TOKEN_ID_TEXT_SIZE])
{
    mn_hex_encode(mn_span(id->bytes, (TOKEN_ID_TEXT_SIZE - 1) / 2), ret);
    return ret;
}
